//! WeCom 企业微信: the robot of a group.
//!
//! `POST cgi-bin/webhook/send?key=KEY` with a markdown message of at most 4096 bytes (bytes, not characters). The key in
//! the address is all that protects it. The status is 200 on failure too: `errcode` decides.
//! Source: WeCom developer centre, "group robot configuration" (群机器人配置说明), page 91770, and "global error codes".

use super::channel::{
    Answer, Channel, Context, HttpRequest, Kind, Pace, Repeat, Request, Style, Tls, Verdict, coded_verdict, masked,
};
use super::fields::{Fields, Plain};
use super::markup::plain;
use super::message::{Limit, Line, Message, RenderError, Shown, fit};
use super::secret::Secret;
use kfleet_inspect::State;
use serde_json::json;

/// The content of a markdown message.
const CONTENT_BYTES: usize = 4096;

/// System busy (-1) and called too often (45009).
const TRANSIENT: [i64; 2] = [-1, 45_009];

const HINTS: [(i64, &str); 4] = [
    (93_000, "the key in the address is wrong, or the robot was removed from the group"),
    (40_008, "the robot does not know the type of the message"),
    (40_058, "a field is missing or too long; of a markdown message, content has at most 4096 bytes"),
    (93_008, "the robot is not in the group any more"),
];

/// The kind.
pub const KIND: Kind = Kind {
    name: "wecom",
    about: "WeCom 企业微信 group robot",
    style: Style::Chat,
    repeat: Repeat::Doubles,
    pace: &[Pace::a_minute(20)],
    build,
};

#[derive(Debug)]
struct WeCom {
    url: Secret,
    tls: Tls,
}

fn build(fields: &mut Fields<'_, '_>) -> Option<Box<dyn Channel>> {
    let url = fields.url("url", Plain::Loopback);
    let tls = fields.tls();
    Some(Box::new(WeCom { url: url?, tls }))
}

/// The colours that the robot knows: `info` is green, `comment` grey, `warning` orange.
fn colour(state: State) -> &'static str {
    match state {
        State::Crit | State::Warn => "warning",
        State::Ok => "info",
        State::Skip | State::Info | State::Expected | State::Waived | State::Unknown => "comment",
    }
}

fn content(message: &Message, shown: Shown) -> String {
    let mut text = format!("**{}**\n", plain(&message.title));
    for line in message.lines(shown) {
        match line {
            Line::Summary(line) | Line::Note(line) | Line::More(line) => text.push_str(&format!("{}\n", plain(&line))),
            Line::Heading(line) => text.push_str(&format!("**{}**\n", plain(&line))),
            Line::Item { state, word, text: item, more } => {
                text.push_str(&format!("> <font color=\"{}\">{word}</font> {}\n", colour(state), plain(&item)));
                text.extend(more.iter().map(|line| format!("> {}\n", plain(line))));
            }
        }
    }
    if let Some(link) = &message.link {
        text.push_str(&format!("[{}]({link})\n", message.words().report()));
    }
    text.truncate(text.trim_end().len());
    text
}

impl Channel for WeCom {
    fn target(&self) -> String {
        masked(&self.url, "/cgi-bin/webhook/send")
    }

    fn secrets(&self) -> Vec<&Secret> {
        vec![&self.url]
    }

    fn render(&self, message: &Message, _: Context<'_>) -> Result<Request, RenderError> {
        let content = fit(message, Limit::Bytes(CONTENT_BYTES), String::as_str, |shown| content(message, shown))?;
        let body = json!({"msgtype": "markdown", "markdown": {"content": content}}).to_string();
        Ok(Request::Http(HttpRequest { url: self.url.clone(), headers: Vec::new(), body, tls: self.tls.clone() }))
    }

    fn judge(&self, answer: &Answer) -> Verdict {
        coded_verdict(answer, ("errcode", "errmsg"), &TRANSIENT, &HINTS)
    }
}
