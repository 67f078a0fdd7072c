//! Slack: an incoming webhook.
//!
//! `POST` to the secret address with `text` (for notifications) and `blocks`: at most 50, a section with at most 3000
//! characters, a header with at most 150. Success is status 200 with the body `ok`; errors are words in the body.
//! Sources: Slack developer documents, "Incoming webhooks", "Block Kit: blocks", "Rate limits" (one message a second).

use super::channel::{
    Answer, Channel, Context, HttpRequest, Kind, Pace, Repeat, Request, Style, Tls, Verdict, masked, status_verdict,
};
use super::fields::{Fields, Plain};
use super::message::{Limit, Line, Message, RenderError, Shown, cut, fit};
use super::secret::Secret;
use serde_json::{Value, json};

/// All blocks together. The documents name no such bound, and Slack refuses from some 13,200 characters on with
/// `msg_blocks_too_long` (slackapi/bolt-js, issue 2509).
const BODY_CHARACTERS: usize = 12_000;
const SECTION_CHARACTERS: usize = 3000;
const HEADER_CHARACTERS: usize = 150;

const HINTS: [(&str, &str); 7] = [
    ("invalid_payload", "Slack does not take the form of the message; this is a bug of kfleet"),
    ("invalid_token", "the address is wrong or was revoked; copy it again"),
    ("no_service", "the webhook was removed or the address is wrong"),
    ("no_team", "the workspace in the address does not exist"),
    ("channel_not_found", "the channel of the webhook was deleted"),
    ("channel_is_archived", "the channel of the webhook is archived"),
    ("action_prohibited", "an administrator restricts posting to the channel"),
];

/// The kind.
pub const KIND: Kind = Kind {
    name: "slack",
    about: "Slack incoming webhook",
    style: Style::Chat,
    repeat: Repeat::Doubles,
    pace: &[Pace::a_second(1)],
    build,
};

#[derive(Debug)]
struct Slack {
    url: Secret,
    tls: Tls,
}

fn build(fields: &mut Fields<'_, '_>) -> Option<Box<dyn Channel>> {
    let url = fields.url("url", Plain::Loopback);
    let tls = fields.tls();
    Some(Box::new(Slack { url: url?, tls }))
}

/// A text as Slack wants it: the three characters that begin its own marks are entities.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn section(text: &str) -> Value {
    json!({"type": "section", "text": {"type": "mrkdwn", "text": text}})
}

fn body(message: &Message, shown: Shown) -> Value {
    let mut texts = Vec::new();
    for line in message.lines(shown) {
        texts.push(match line {
            Line::Summary(line) | Line::Note(line) | Line::More(line) => escaped(&line),
            Line::Heading(line) => format!("*{}*", escaped(&line)),
            Line::Item { word, text, more, .. } => {
                let lines = std::iter::once(format!("• *{word}* {}", escaped(&text)));
                lines.chain(more.iter().map(|line| format!("    {}", escaped(line)))).collect::<Vec<_>>().join("\n")
            }
        });
    }
    texts.extend(message.link.as_ref().map(|link| format!("<{link}|{}>", message.words().report())));
    // Two neighbours are together longer than a section, so what fits has ten sections at most.
    let mut sections: Vec<String> = Vec::new();
    for text in texts {
        // Only a line full of `&`, `<` or `>` grows so long by their entities.
        let text = cut_characters(&text, SECTION_CHARACTERS);
        match sections.last_mut() {
            Some(last) if last.chars().count() + 1 + text.chars().count() <= SECTION_CHARACTERS => {
                last.push('\n');
                last.push_str(&text);
            }
            Some(_) | None => sections.push(text),
        }
    }
    let header = cut_characters(&message.title, HEADER_CHARACTERS);
    let header = json!({"type": "header", "text": {"type": "plain_text", "text": header}});
    let blocks: Vec<Value> = std::iter::once(header).chain(sections.iter().map(|text| section(text))).collect();
    json!({"text": escaped(&message.title), "blocks": blocks})
}

/// A text of at most so many characters.
fn cut_characters(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        None => text.to_owned(),
        // The ellipsis is longer in bytes than one character, so it is cut by the bytes of what may stay.
        Some((end, _)) => cut(text, end),
    }
}

impl Channel for Slack {
    fn target(&self) -> String {
        masked(&self.url, "/services/")
    }

    fn secrets(&self) -> Vec<&Secret> {
        vec![&self.url]
    }

    fn render(&self, message: &Message, _: Context<'_>) -> Result<Request, RenderError> {
        let limit = Limit::Characters(BODY_CHARACTERS);
        let body = fit(message, limit, String::as_str, |shown| body(message, shown).to_string())?;
        Ok(Request::Http(HttpRequest { url: self.url.clone(), headers: Vec::new(), body, tls: self.tls.clone() }))
    }

    fn judge(&self, answer: &Answer) -> Verdict {
        let said = answer.body.trim();
        let hint = HINTS.iter().find(|(word, _)| *word == said).map(|(_, hint)| *hint);
        match (status_verdict(answer, |status| status == 200), hint) {
            (None, _) if said == "ok" => Verdict::Delivered,
            (None, hint) => Verdict::Refused { why: format!("HTTP status 200, and not \"ok\" but {said:?}"), hint },
            (Some(Verdict::Refused { why, hint: None }), hint) => {
                Verdict::Refused { why: format!("{why}: {said}"), hint }
            }
            (Some(Verdict::Refused { why, .. }), Some(hint)) => {
                Verdict::Refused { why: format!("{why}: {said}"), hint: Some(hint) }
            }
            (Some(verdict), _) => verdict,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_cut_by_characters() {
        assert_eq!(cut_characters("磁盘空间", 4), "磁盘空间");
        assert_eq!(cut_characters("磁盘空间不足", 4), "磁盘空…");
        assert_eq!(cut_characters("abcdefgh", 5), "ab…");
        assert_eq!(escaped("<!channel> & <@U1>"), "&lt;!channel&gt; &amp; &lt;@U1&gt;");
    }
}
