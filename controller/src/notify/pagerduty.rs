//! PagerDuty: the Events API v2.
//!
//! `POST v2/enqueue` with the routing key, an action and a key by which the same incident is opened, acknowledged and
//! resolved. Status 202 is success. The same event twice is one incident, so it can be sent again.
//! Source: PagerDuty developer documents, "Events API v2: send an alert event"; summary at most 1024 characters, key at most
//! 255, the whole at most 512 KB.

use super::channel::{
    Answer, Channel, Context, HttpRequest, Kind, Pace, Repeat, Request, Style, Tls, Verdict, masked, status_verdict,
};
use super::fields::{Fields, Plain};
use super::message::{DedupKey, Item, Limit, Message, Purpose, RenderError, Shown, fit};
use super::secret::Secret;
use kfleet_inspect::State;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The whole event, in thousands of bytes to be on the safe side.
const BODY_BYTES: usize = 512_000;
const KEY_CHARACTERS: usize = 255;

/// The service region of the United States; an account of the European one sets `url`.
const URL: &str = "https://events.pagerduty.com/v2/enqueue";

/// The kind.
pub const KIND: Kind = Kind {
    name: "pagerduty",
    about: "PagerDuty Events API v2",
    style: Style::Event,
    repeat: Repeat::Harmless,
    pace: &[Pace::a_minute(120)],
    build,
};

#[derive(Debug)]
struct PagerDuty {
    url: Secret,
    key: Secret,
    tls: Tls,
}

fn build(fields: &mut Fields<'_, '_>) -> Option<Box<dyn Channel>> {
    let url = if fields.has("url") { fields.url("url", Plain::Loopback) } else { Some(Secret::new(URL)) };
    let key = fields.secret_needed("routing_key");
    let tls = fields.tls();
    Some(Box::new(PagerDuty { url: url?, key: key?, tls }))
}

/// A key of at most 255 characters: a longer one keeps its beginning and ends in a hash of the whole.
fn short(key: &DedupKey) -> String {
    let key = key.as_str();
    if key.chars().count() <= KEY_CHARACTERS {
        return key.to_owned();
    }
    let hash: String = Sha256::digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let head: String = key.chars().take(KEY_CHARACTERS - 1 - hash.len()).collect();
    format!("{head}#{hash}")
}

fn severity(state: State) -> &'static str {
    match state {
        State::Crit => "critical",
        State::Warn => "warning",
        // It could not be read, which is a fault of its own and not yet one of the thing.
        State::Unknown => "error",
        State::Ok | State::Skip | State::Info | State::Expected | State::Waived => "info",
    }
}

fn action(message: &Message) -> &'static str {
    match message.purpose {
        Purpose::Resolved => "resolve",
        Purpose::Acknowledged => "acknowledge",
        Purpose::Test if message.items.iter().all(|item| item.mark.ends()) => "resolve",
        Purpose::Digest | Purpose::Open | Purpose::Unstable | Purpose::Test => "trigger",
    }
}

fn details(item: &Item) -> Value {
    json!({"object": item.object, "check": item.check, "state": item.state, "title": item.title, "reading": item.reading,
        "condition": item.condition, "note": item.note, "why": item.why, "advice": item.advice,
        "explains": item.explains})
}

impl PagerDuty {
    fn body(&self, message: &Message, shown: Shown) -> String {
        let action = action(message);
        let mut event =
            json!({"routing_key": self.key.reveal(), "event_action": action, "dedup_key": short(&message.key)});
        if action == "trigger"
            && let Value::Object(event) = &mut event
        {
            let first = message.items.first();
            let source = first.map_or(message.fleet.to_string(), |item| item.object.owner.to_string());
            let items: Vec<Value> = message.items.iter().take(shown.items).map(details).collect();
            let left = message.items.len().saturating_sub(shown.items);
            let more = (left > 0).then(|| message.words().more(left));
            event.insert(
                "payload".to_owned(),
                // A title has fewer bytes than a summary may have characters.
                json!({"summary": message.title, "source": source, "severity": severity(message.worst()),
                    "timestamp": message.at, "group": message.fleet,
                    "component": first.and_then(|item| item.object.part.as_ref()).map(ToString::to_string),
                    "class": first.map_or("unstable", |item| item.check.area()),
                    "custom_details": {"items": items, "more": more, "summary": message.summary}}),
            );
            event.insert("client".to_owned(), json!("kfleet"));
            if let Some(link) = &message.link {
                event.insert("links".to_owned(), json!([{"href": link, "text": message.words().report()}]));
            }
        }
        event.to_string()
    }
}

impl Channel for PagerDuty {
    fn target(&self) -> String {
        masked(&self.url, "/v2/enqueue")
    }

    fn secrets(&self) -> Vec<&Secret> {
        vec![&self.key]
    }

    fn render(&self, message: &Message, _: Context<'_>) -> Result<Request, RenderError> {
        let body = fit(message, Limit::Bytes(BODY_BYTES), String::as_str, |shown| self.body(message, shown))?;
        Ok(Request::Http(HttpRequest { url: self.url.clone(), headers: Vec::new(), body, tls: self.tls.clone() }))
    }

    fn judge(&self, answer: &Answer) -> Verdict {
        match status_verdict(answer, |status| status == 202) {
            None => Verdict::Delivered,
            Some(Verdict::Refused { why, .. }) if answer.status == 400 => Verdict::Refused {
                why,
                hint: Some("the event was not taken: look at the answer; a wrong routing_key is told here too"),
            },
            Some(verdict) => verdict,
        }
    }
}

/// The title is bounded far below the summary; a change of either must be seen.
const _: () = assert!(super::message::TITLE_BYTES <= 1024);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_key_stays_distinct_within_255_characters() {
        let (one, other) = (format!("f/{}1", "长".repeat(300)), format!("f/{}2", "长".repeat(300)));
        let (one, other) = (short(&DedupKey::stored(one)), short(&DedupKey::stored(other)));
        assert_eq!(one.chars().count(), 255);
        assert_ne!(one, other);
        assert_eq!(short(&DedupKey::stored("f/disk.space@host:a")), "f/disk.space@host:a");
    }
}
