//! DingTalk 钉钉: the custom robot of a group.
//!
//! `POST robot/send?access_token=TOKEN` with a markdown message. A signed robot also wants `timestamp` (milliseconds) and
//! `sign` in the query: base64 of HMAC-SHA256 with the secret as key over `timestamp LF secret`, URL-encoded. A robot
//! with keywords rejects a text without one. The status is 200 on failure too: `errcode` decides.
//! Source: DingTalk open platform, "custom robot access" (自定义机器人接入).

use super::channel::{
    Answer, Channel, Context, HttpRequest, Kind, Pace, Repeat, Request, Style, Tls, Verdict, coded_verdict, masked,
};
use super::fields::{Fields, Plain};
use super::message::{Limit, Line, Message, RenderError, Shown, fit};
use super::secret::{Secret, percent_encoded};
use super::sign::hmac_base64;
use kfleet_inspect::State;
use serde_json::json;

/// The whole body; a larger one is answered with 460101. Source: the same page.
const BODY_BYTES: usize = 20_000;

/// System busy (-1) and sending too fast (130101); the latter is followed by ten minutes of silence, see [`Pace`].
const TRANSIENT: [i64; 2] = [-1, 130_101];

const HINTS: [(i64, &str); 4] = [
    (
        310_000,
        "the robot's security settings refuse it: wrong secret, a clock that is off, a missing keyword, or an address that is not allowed",
    ),
    (300_001, "the access_token does not exist; copy the robot's address again"),
    (400_013, "the group was dissolved"),
    (460_101, "the message is too large for the robot"),
];

/// The kind.
pub const KIND: Kind = Kind {
    name: "dingtalk",
    about: "DingTalk 钉钉 group robot",
    style: Style::Chat,
    repeat: Repeat::Doubles,
    pace: &[Pace::a_minute(20)],
    build,
};

#[derive(Debug)]
struct DingTalk {
    url: Secret,
    secret: Option<Secret>,
    keyword: Option<String>,
    at: Vec<String>,
    tls: Tls,
}

fn build(fields: &mut Fields<'_, '_>) -> Option<Box<dyn Channel>> {
    let url = fields.url("url", Plain::Loopback);
    let secret = fields.secret("secret");
    let keyword = fields.text("keyword");
    let at = fields.texts("at");
    let tls = fields.tls();
    Some(Box::new(DingTalk { url: url?, secret, keyword, at, tls }))
}

impl DingTalk {
    /// The address with its signature.
    fn signed(&self, now: jiff::Timestamp) -> Secret {
        let Some(secret) = &self.secret else { return self.url.clone() };
        let (url, stamp) = (self.url.reveal(), now.as_millisecond());
        let sign = hmac_base64(secret.reveal().as_bytes(), format!("{stamp}\n{}", secret.reveal()).as_bytes());
        let joint = if url.contains('?') { '&' } else { '?' };
        Secret::new(format!("{url}{joint}timestamp={stamp}&sign={}", percent_encoded(&sign)))
    }

    fn body(&self, message: &Message, shown: Shown) -> String {
        let words = message.words();
        let mut text = format!("#### {}\n", plain(&message.title));
        for line in message.lines(shown) {
            text.push('\n');
            match line {
                Line::Summary(line) | Line::Note(line) | Line::More(line) => {
                    text.push_str(&format!("{}\n", plain(&line)))
                }
                Line::Heading(line) => text.push_str(&format!("**{}**\n", plain(&line))),
                Line::Item { word, text: item, more, .. } => {
                    text.push_str(&format!("- **{word}** {}\n", plain(&item)));
                    text.extend(more.iter().map(|line| format!("  - {}\n", plain(line))));
                }
            }
        }
        if let Some(link) = &message.link {
            text.push_str(&format!("\n[{}]({link})\n", words.report()));
        }
        if let Some(keyword) = self.keyword.as_ref().filter(|keyword| !text.contains(keyword.as_str())) {
            text.push_str(&format!("\n{}\n", plain(keyword)));
        }
        // Nobody is called in the night for less than crit.
        let called: &[String] = if message.worst() == State::Crit { &self.at } else { &[] };
        let mobiles: Vec<&String> = called.iter().filter(|who| *who != "all").collect();
        if !mobiles.is_empty() {
            // A number is only called when it stands in the text too.
            let names: Vec<String> = mobiles.iter().map(|mobile| format!("@{mobile}")).collect();
            text.push_str(&format!("\n{}\n", names.join(" ")));
        }
        json!({"msgtype": "markdown", "markdown": {"title": plain(&message.title), "text": text},
            "at": {"atMobiles": mobiles, "isAtAll": called.iter().any(|who| who == "all")}})
        .to_string()
    }
}

/// A text that is no markup: no link, no call of people, no HTML.
fn plain(text: &str) -> String {
    super::markup::plain(text).replace('@', "\u{ff20}")
}

impl Channel for DingTalk {
    fn target(&self) -> String {
        masked(&self.url, "/robot/send")
    }

    fn secrets(&self) -> Vec<&Secret> {
        std::iter::once(&self.url).chain(&self.secret).collect()
    }

    fn render(&self, message: &Message, context: Context<'_>) -> Result<Request, RenderError> {
        let body = fit(message, Limit::Bytes(BODY_BYTES), String::as_str, |shown| self.body(message, shown))?;
        Ok(Request::Http(HttpRequest {
            url: self.signed(context.now),
            headers: Vec::new(),
            body,
            tls: self.tls.clone(),
        }))
    }

    fn judge(&self, answer: &Answer) -> Verdict {
        coded_verdict(answer, ("errcode", "errmsg"), &TRANSIENT, &HINTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with: `printf '1700000000000\nSECabc' | openssl dgst -sha256 -hmac SECabc -binary | base64`, then `+`, `/`
    /// and `=` percent-encoded.
    #[test]
    fn the_signature_is_that_of_openssl() {
        let robot = DingTalk {
            url: Secret::new("https://h/robot/send?access_token=t"),
            secret: Some(Secret::new("SECabc")),
            keyword: None,
            at: Vec::new(),
            tls: Tls::default(),
        };
        let at = jiff::Timestamp::from_millisecond(1_700_000_000_000).unwrap();
        let signed = robot.signed(at);
        assert_eq!(
            signed.reveal(),
            "https://h/robot/send?access_token=t&timestamp=1700000000000&sign=jcUpW0QmtKduN03n4JqQ0PBosVjqnM8gU7fIIvsDmCM%3D"
        );
    }
}
