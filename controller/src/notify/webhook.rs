//! A generic webhook: our own JSON, or the shape that receivers of Alertmanager's webhook know (version "4").
//!
//! With a secret the body is signed: `X-Kfleet-Timestamp` has the seconds, `X-Kfleet-Signature` is `v1=` and the hexadecimal
//! HMAC-SHA256 over `timestamp.body`; a receiver refuses old times. Any status 2xx is success.

use super::alerts::alerts;
use super::channel::{
    Answer, Channel, Context, HttpRequest, Kind, Repeat, Request, Style, Tls, Verdict, masked, status_verdict,
};
use super::fields::{Fields, Plain};
use super::message::{Limit, Message, RenderError, Shown, fit};
use super::secret::Secret;
use super::sign::hmac_hex;
use jiff::SignedDuration;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The schema of our own JSON; within one schema fields are only added.
pub const SCHEMA: &str = "kfleet-notice/1";

/// Our own bound; receivers behind proxies often have this one.
const BODY_BYTES: usize = 1024 * 1024;

/// How long an alert of the other shape is taken to hold: see the channel `alertmanager`.
const LASTS: SignedDuration = SignedDuration::from_hours(36);

/// The kind.
pub const KIND: Kind = Kind {
    name: "webhook",
    about: "any HTTP receiver: kfleet's JSON, or Alertmanager's version 4",
    style: Style::Chat,
    // Every body names its key and its inspection, by which a receiver knows it again.
    repeat: Repeat::Harmless,
    pace: &[],
    build,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Kfleet,
    Alertmanager,
}

#[derive(Debug)]
struct Webhook {
    url: Secret,
    secret: Option<Secret>,
    authorization: Option<Secret>,
    format: Format,
    name: String,
    tls: Tls,
}

fn build(fields: &mut Fields<'_, '_>) -> Option<Box<dyn Channel>> {
    let authorization = fields.authorization();
    let url = fields.url("url", if authorization.is_some() { Plain::Loopback } else { Plain::Anywhere });
    let secret = fields.secret("secret");
    let format = match fields.word("format", &["kfleet", "alertmanager"]) {
        Some(1) => Format::Alertmanager,
        Some(_) | None => Format::Kfleet,
    };
    let tls = fields.tls_with_identity();
    let name = fields.name().to_owned();
    Some(Box::new(Webhook { url: url?, secret, authorization, format, name, tls }))
}

impl Webhook {
    fn body(&self, message: &Message, shown: Shown) -> String {
        match self.format {
            Format::Kfleet => own(message, shown),
            Format::Alertmanager => self.version_4(message, shown),
        }
        .to_string()
    }

    fn version_4(&self, message: &Message, shown: Shown) -> Value {
        let alerts: Vec<Value> = alerts(message, shown.items, LASTS)
            .iter()
            .map(|alert| {
                let ended = alert.ends_at <= message.at;
                let mut value = json!(alert);
                if let Value::Object(value) = &mut value {
                    let labels = json!(alert.labels).to_string();
                    let print: String =
                        Sha256::digest(labels).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
                    value.insert("status".to_owned(), json!(if ended { "resolved" } else { "firing" }));
                    value.insert("fingerprint".to_owned(), json!(print));
                }
                value
            })
            .collect();
        let firing = alerts.iter().any(|alert| alert.get("status") == Some(&json!("firing")));
        json!({"version": "4", "groupKey": message.key, "receiver": self.name, "alerts": alerts,
            "truncatedAlerts": message.items.len().saturating_sub(shown.items),
            "status": if firing { "firing" } else { "resolved" },
            "groupLabels": {"fleet": message.fleet}, "commonLabels": {"fleet": message.fleet, "job": "kfleet"},
            "commonAnnotations": {"title": message.title}, "externalURL": message.link.as_deref().unwrap_or_default()})
    }
}

fn own(message: &Message, shown: Shown) -> Value {
    let mut value = json!(message);
    if let Value::Object(value) = &mut value {
        value.insert("schema".to_owned(), json!(SCHEMA));
        value.insert("more".to_owned(), json!(message.items.len().saturating_sub(shown.items)));
        if let Some(Value::Array(items)) = value.get_mut("items") {
            items.truncate(shown.items);
        }
    }
    value
}

/// The value of the signature's header.
fn signature(secret: &Secret, seconds: i64, body: &str) -> String {
    format!("v1={}", hmac_hex(secret.reveal().as_bytes(), format!("{seconds}.{body}").as_bytes()))
}

impl Channel for Webhook {
    fn target(&self) -> String {
        masked(&self.url, "")
    }

    fn secrets(&self) -> Vec<&Secret> {
        std::iter::once(&self.url).chain(&self.secret).chain(&self.authorization).collect()
    }

    fn render(&self, message: &Message, context: Context<'_>) -> Result<Request, RenderError> {
        let body = fit(message, Limit::Bytes(BODY_BYTES), String::as_str, |shown| self.body(message, shown))?;
        let mut headers: Vec<_> = self.authorization.iter().map(|value| ("authorization", value.clone())).collect();
        if let Some(secret) = &self.secret {
            let seconds = context.now.as_second();
            headers.push(("x-kfleet-timestamp", Secret::new(seconds.to_string())));
            headers.push(("x-kfleet-signature", Secret::new(signature(secret, seconds, &body))));
        }
        Ok(Request::Http(HttpRequest { url: self.url.clone(), headers, body, tls: self.tls.clone() }))
    }

    fn judge(&self, answer: &Answer) -> Verdict {
        status_verdict(answer, |status| (200..300).contains(&status)).unwrap_or(Verdict::Delivered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with: `printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac hook-secret`.
    #[test]
    fn the_signature_is_that_of_openssl() {
        assert_eq!(
            signature(&Secret::new("hook-secret"), 1_700_000_000, "{\"a\":1}"),
            "v1=2ca9484d0c409cd2998fd115eb688d50af3c4591f30a5124d6262b43877ed809"
        );
    }
}
