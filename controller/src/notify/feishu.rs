//! Feishu 飞书 and Lark: the custom bot of a group.
//!
//! `POST open-apis/bot/v2/hook/TOKEN` with an interactive card. A signed bot wants `timestamp` (seconds) and `sign` in the
//! body: base64 of HMAC-SHA256 over an empty text with `timestamp LF secret` as the key, unlike DingTalk. The texts of the
//! card are `plain_text`, so nothing in them is markup. `code` decides.
//! Source: Feishu open platform, "custom bot usage guide" (自定义机器人使用指南).

use super::channel::{
    Answer, Channel, Context, HttpRequest, Kind, Pace, Repeat, Request, Style, Tls, Verdict, coded_verdict, masked,
};
use super::fields::{Fields, Plain};
use super::message::{Limit, Line, Message, Purpose, RenderError, Shown, fit};
use super::secret::Secret;
use super::sign::hmac_base64;
use kfleet_inspect::State;
use serde_json::{Value, json};

/// The whole body. Source: the same page ("about 20 K"), counted as thousands to be on the safe side.
const BODY_BYTES: usize = 20_000;

/// How long `"timestamp":"...","sign":"...",` is at most: 10 digits now, 44 letters of base64.
const SIGNATURE_BYTES: usize = 100;

/// Too many requests (9499 of the gateway, 11232 of the message service).
const TRANSIENT: [i64; 2] = [9_499, 11_232];

const HINTS: [(i64, &str); 4] = [
    (19_001, "the token in the address does not exist; copy the bot's address again"),
    (19_021, "the signature does not match: wrong secret, or a clock that is more than an hour off"),
    (19_022, "the address of this machine is not on the bot's list"),
    (19_024, "the bot has keywords and the message holds none of them; set keyword"),
];

/// The kind.
pub const KIND: Kind = Kind {
    name: "feishu",
    about: "Feishu 飞书 or Lark group bot",
    style: Style::Chat,
    repeat: Repeat::Doubles,
    pace: &[Pace::a_second(5), Pace::a_minute(100)],
    build,
};

#[derive(Debug)]
struct Feishu {
    url: Secret,
    secret: Option<Secret>,
    keyword: Option<String>,
    tls: Tls,
}

fn build(fields: &mut Fields<'_, '_>) -> Option<Box<dyn Channel>> {
    let url = fields.url("url", Plain::Loopback);
    let secret = fields.secret("secret");
    let keyword = fields.text("keyword");
    let tls = fields.tls();
    Some(Box::new(Feishu { url: url?, secret, keyword, tls }))
}

/// The colour of the card's header.
fn colour(message: &Message) -> &'static str {
    if message.purpose == Purpose::Resolved {
        return "green";
    }
    match message.worst() {
        State::Crit => "red",
        State::Warn => "orange",
        State::Ok => "green",
        State::Skip | State::Info | State::Expected | State::Waived => "blue",
        State::Unknown => "grey",
    }
}

fn text(content: &str) -> Value {
    json!({"tag": "div", "text": {"tag": "plain_text", "content": content}})
}

impl Feishu {
    fn card(&self, message: &Message, shown: Shown) -> Value {
        let mut elements: Vec<Value> = Vec::new();
        for line in message.lines(shown) {
            match line {
                Line::Summary(line) | Line::Note(line) | Line::More(line) => elements.push(text(&line)),
                Line::Heading(line) => elements.extend([json!({"tag": "hr"}), text(&line)]),
                Line::Item { word, text: item, more, .. } => {
                    let lines: Vec<String> = std::iter::once(format!("【{word}】{item}")).chain(more).collect();
                    elements.push(text(&lines.join("\n")));
                }
            }
        }
        elements.extend(self.keyword.as_deref().map(text));
        if let Some(link) = &message.link {
            let name = message.words().report();
            elements.push(json!({"tag": "action", "actions": [{"tag": "button", "type": "default", "url": link,
                "text": {"tag": "plain_text", "content": name}}]}));
        }
        json!({"config": {"wide_screen_mode": true},
            "header": {"template": colour(message), "title": {"tag": "plain_text", "content": message.title}},
            "elements": elements})
    }
}

/// The signature for a moment.
fn sign(secret: &Secret, seconds: i64) -> String {
    hmac_base64(format!("{seconds}\n{}", secret.reveal()).as_bytes(), b"")
}

impl Channel for Feishu {
    fn target(&self) -> String {
        masked(&self.url, "/open-apis/bot/v2/hook/")
    }

    fn secrets(&self) -> Vec<&Secret> {
        std::iter::once(&self.url).chain(&self.secret).collect()
    }

    fn render(&self, message: &Message, context: Context<'_>) -> Result<Request, RenderError> {
        let unsigned = |shown| {
            let body = json!({"msg_type": "interactive", "card": self.card(message, shown)});
            (body.to_string(), body)
        };
        let limit = Limit::Bytes(BODY_BYTES - SIGNATURE_BYTES);
        let (_, mut body) = fit(message, limit, |(text, _)| text.as_str(), unsigned)?;
        if let (Some(secret), Value::Object(body)) = (&self.secret, &mut body) {
            let seconds = context.now.as_second();
            body.insert("timestamp".to_owned(), json!(seconds.to_string()));
            body.insert("sign".to_owned(), json!(sign(secret, seconds)));
        }
        let (url, tls) = (self.url.clone(), self.tls.clone());
        Ok(Request::Http(HttpRequest { url, headers: Vec::new(), body: body.to_string(), tls }))
    }

    fn judge(&self, answer: &Answer) -> Verdict {
        coded_verdict(answer, ("code", "msg"), &TRANSIENT, &HINTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with: `printf '' | openssl dgst -sha256 -mac HMAC -macopt hexkey:$(printf '1700000000\nfeishu-secret' | xxd -p |
    /// tr -d '\n') -binary | base64`.
    #[test]
    fn the_signature_is_that_of_openssl() {
        let secret = Secret::new("feishu-secret");
        assert_eq!(sign(&secret, 1_700_000_000), "OrBzY1Y01Gq+HgJsl+7OfWcMVwc7YocohQm5iiZwjhU=");
    }
}
