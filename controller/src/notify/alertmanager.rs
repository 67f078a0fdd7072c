//! Alertmanager: `POST /api/v2/alerts` with everything that is wrong now.
//!
//! An alert vanishes at its `endsAt` unless it is sent again, so every night sends all, and `endsAt` is the next night and
//! half a day of slack (`lasts_hours`). What is fixed is sent with an `endsAt` that has come. Success is status 200.
//! Source: Alertmanager's OpenAPI (api/v2/openapi.yaml) and Prometheus' documents, "Sending alerts".

use super::alerts::alerts;
use super::channel::{
    Answer, Channel, Context, HttpRequest, Kind, Repeat, Request, Style, Tls, Verdict, masked, status_verdict,
};
use super::fields::{Fields, Plain};
use super::message::{Limit, Message, RenderError, fit};
use super::secret::Secret;
use jiff::SignedDuration;

/// Our own bound, some two thousand alerts: Alertmanager has none, proxies before it often have this one (nginx,
/// `client_max_body_size`).
const BODY_BYTES: usize = 1024 * 1024;

const PATH: &str = "/api/v2/alerts";

/// A night and half a day of slack.
const LASTS_HOURS: u64 = 36;

/// The kind.
pub const KIND: Kind = Kind {
    name: "alertmanager",
    about: "Prometheus Alertmanager, API v2",
    style: Style::State,
    repeat: Repeat::Harmless,
    pace: &[],
    build,
};

#[derive(Debug)]
struct Alertmanager {
    url: Secret,
    authorization: Option<Secret>,
    lasts: SignedDuration,
    tls: Tls,
}

fn build(fields: &mut Fields<'_, '_>) -> Option<Box<dyn Channel>> {
    let authorization = fields.authorization();
    // A password or token never travels in the open.
    let url = fields.url("url", if authorization.is_some() { Plain::Loopback } else { Plain::Anywhere });
    let hours = fields.number("lasts_hours", 1..=24 * 14).unwrap_or(LASTS_HOURS);
    let tls = fields.tls_with_identity();
    let url = Secret::new(complete(url?.reveal()));
    let lasts = SignedDuration::from_hours(i64::try_from(hours).ok()?);
    Some(Box::new(Alertmanager { url, authorization, lasts, tls }))
}

/// The address of the alerts; operators write that of the server.
fn complete(url: &str) -> String {
    let url = url.trim_end_matches('/');
    if url.ends_with(PATH) { url.to_owned() } else { format!("{url}{PATH}") }
}

impl Channel for Alertmanager {
    fn target(&self) -> String {
        masked(&self.url, PATH)
    }

    fn secrets(&self) -> Vec<&Secret> {
        self.authorization.iter().collect()
    }

    fn render(&self, message: &Message, _: Context<'_>) -> Result<Request, RenderError> {
        let body = fit(message, Limit::Bytes(BODY_BYTES), String::as_str, |shown| {
            serde_json::json!(alerts(message, shown.items, self.lasts)).to_string()
        })?;
        let headers = self.authorization.iter().map(|value| ("authorization", value.clone())).collect();
        Ok(Request::Http(HttpRequest { url: self.url.clone(), headers, body, tls: self.tls.clone() }))
    }

    fn judge(&self, answer: &Answer) -> Verdict {
        status_verdict(answer, |status| status == 200).unwrap_or(Verdict::Delivered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_the_server_is_enough() {
        for url in ["http://am:9093", "http://am:9093/", "http://am:9093/api/v2/alerts"] {
            assert_eq!(complete(url), "http://am:9093/api/v2/alerts");
        }
        assert_eq!(complete("https://m.example/alertmanager"), "https://m.example/alertmanager/api/v2/alerts");
    }
}
