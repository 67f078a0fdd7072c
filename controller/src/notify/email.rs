//! E-mail over SMTP: text and HTML, the report attached, one thread for each fleet.
//!
//! The connection is TLS from the beginning (port 465), STARTTLS that must succeed (587 or 25), or, to this machine alone,
//! plain. The HTML uses tables and inline styles only, which every reader shows. All mails of a fleet refer to one
//! message id, so readers keep them in one thread. Code 250 after the data is success.
//! Sources: RFC 5321 (codes), RFC 8314 (ports), RFC 5322, section 3.6.4 (threads).

use super::channel::{Answer, Channel, Context, Kind, Repeat, Request, Style, Verdict};
use super::fields::Fields;
use super::markup::html;
use super::message::{Limit, Line, Message, RenderError, Shown, clean, fit};
use super::secret::Secret;
use kfleet_inspect::State;
use lettre::message::header::ContentType;
use lettre::message::{Attachment, Mailbox, MultiPart, SinglePart};
use std::time::SystemTime;

/// The text and the HTML, each. Chosen: a mail that is longer is not read, and the report is attached.
const TEXT_LIMIT: usize = 100_000;

/// The whole mail; servers usually take 10 MB. A report that does not fit is left out, and the text says so.
const MAIL_BYTES: usize = 10_000_000;

/// The kind.
pub const KIND: Kind = Kind {
    name: "email",
    about: "e-mail over SMTP, with the report attached",
    style: Style::Chat,
    repeat: Repeat::Doubles,
    pace: &[],
    build,
};

/// How the connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first byte.
    Tls,
    /// Plain at first, TLS before anything is said.
    StartTls,
    /// Plain; to this machine only.
    None,
}

impl Security {
    const NAMES: [&'static str; 3] = ["tls", "starttls", "none"];
    const ALL: [Self; 3] = [Self::Tls, Self::StartTls, Self::None];

    /// The port by default: RFC 8314 for the submission of mail.
    fn port(self) -> u16 {
        match self {
            Self::Tls => 465,
            Self::StartTls => 587,
            Self::None => 25,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::StartTls => "starttls",
            Self::None => "plain",
        }
    }
}

/// The server that takes mail.
#[derive(Debug, Clone)]
pub struct Server {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
    /// Name and password.
    pub login: Option<(String, Secret)>,
    /// Authorities in PEM beside those of the system.
    pub authorities: Option<String>,
}

/// A mail with the server that takes it.
#[derive(Debug, Clone)]
pub struct MailRequest {
    /// The server.
    pub server: Server,
    /// The mail.
    pub mail: lettre::Message,
}

#[derive(Debug)]
struct Email {
    server: Server,
    from: Mailbox,
    to: Vec<Mailbox>,
}

fn build(fields: &mut Fields<'_, '_>) -> Option<Box<dyn Channel>> {
    let host = fields.text_needed("host");
    let security = fields.word("security", &Security::NAMES).and_then(|at| Security::ALL.get(at).copied());
    let security = security.unwrap_or(Security::StartTls);
    let port = fields.number("port", 1..=u64::from(u16::MAX)).and_then(|port| u16::try_from(port).ok());
    let (user, password) = (fields.text("user"), fields.secret("password"));
    let from = fields.text_needed("from");
    let to = fields.texts_needed("to");
    let authorities = fields.tls().authorities;
    let host = host?;
    if security == Security::None && !super::fields::is_loopback(&host) {
        fields.error("security", "security none is for a server on this machine; write starttls or tls");
        return None;
    }
    let login = match (user, password) {
        (None, None) => None,
        (Some(user), Some(password)) => Some((user, password)),
        (Some(_), None) | (None, Some(_)) => {
            fields.error("user", "user and password belong together");
            return None;
        }
    };
    let from = mailbox(fields, "from", &from?);
    let to: Vec<Option<Mailbox>> = to?.iter().map(|to| mailbox(fields, "to", to)).collect();
    let port = port.unwrap_or(security.port());
    let server = Server { host, port, security, login, authorities };
    Some(Box::new(Email { server, from: from?, to: to.into_iter().collect::<Option<Vec<_>>>()? }))
}

fn mailbox(fields: &mut Fields<'_, '_>, key: &str, text: &str) -> Option<Mailbox> {
    let parsed = text.parse();
    if parsed.is_err() {
        fields.error(key, format!("{text:?} is no address of e-mail; write NAME@HOST or \"Name <NAME@HOST>\""));
    }
    parsed.ok()
}

fn text(message: &Message, shown: Shown) -> String {
    let mut text = format!("{}\n", message.title);
    for line in message.lines(shown) {
        match line {
            Line::Summary(line) | Line::Note(line) | Line::More(line) => text.push_str(&format!("{line}\n")),
            Line::Heading(line) => text.push_str(&format!("\n== {line} ==\n")),
            Line::Item { word, text: item, more, .. } => {
                text.push_str(&format!("\n{word}  {item}\n"));
                text.extend(more.iter().map(|line| format!("    {line}\n")));
            }
        }
    }
    text.extend(message.link.iter().map(|link| format!("\n{}: {link}\n", message.words().report())));
    text
}

/// The background behind a state's word; dark enough for white letters (WCAG 2.2, 1.4.3: contrast 4.5).
fn colour(state: State) -> &'static str {
    match state {
        State::Crit => "#b3261e",
        State::Warn => "#9a5b00",
        State::Ok => "#1f7a3d",
        State::Unknown | State::Skip | State::Info | State::Expected | State::Waived => "#5f6368",
    }
}

fn page(message: &Message, shown: Shown) -> String {
    let mut rows = String::new();
    for line in message.lines(shown) {
        match line {
            Line::Summary(line) | Line::Note(line) | Line::More(line) => {
                rows.push_str(&format!("<tr><td colspan=\"2\" style=\"padding:4px\">{}</td></tr>\n", html(&line)));
            }
            Line::Heading(line) => rows.push_str(&format!(
                "<tr><th colspan=\"2\" style=\"padding:12px 4px 4px;text-align:left\">{}</th></tr>\n",
                html(&line)
            )),
            Line::Item { state, word, text, more } => {
                let more: String = more.iter().map(|line| format!("<br>{}", html(line))).collect();
                rows.push_str(&format!(
                    "<tr><td style=\"padding:4px;vertical-align:top\"><span style=\"background:{};color:#ffffff;padding:2px 6px\">{}</span></td><td style=\"padding:4px\">{}{more}</td></tr>\n",
                    colour(state), html(&word), html(&text)
                ));
            }
        }
    }
    let link = message.link.as_ref().map_or_else(String::new, |link| {
        format!("<p><a href=\"{}\">{}</a></p>\n", html(link), message.words().report())
    });
    format!(
        "<!DOCTYPE html>\n<html lang=\"{}\"><head><meta charset=\"utf-8\"><title>{title}</title></head>\n<body style=\"font-family:sans-serif;font-size:14px\">\n<h2 style=\"font-size:18px\">{title}</h2>\n<table style=\"border-collapse:collapse\">\n{rows}</table>\n{link}</body></html>\n",
        message.language.name(),
        title = html(&message.title),
    )
}

impl Email {
    /// The message id that every mail of a fleet answers to.
    fn thread(&self, message: &Message) -> String {
        format!("<inspections.{}.kfleet@{}>", message.fleet, self.from.email.domain())
    }

    fn mail(
        &self,
        message: &Message,
        bodies: (&str, &str),
        report: Option<&[u8]>,
    ) -> Result<lettre::Message, RenderError> {
        let form = |error: &dyn std::fmt::Display| RenderError::Form(error.to_string());
        let stamp = message.at.as_millisecond();
        let key: String = super::sign::hmac_hex(b"kfleet", message.key.as_str().as_bytes()).chars().take(16).collect();
        // The same notice has the same id, so a server or reader that gets it twice can tell.
        let id = format!("<{stamp}.{key}.{}.kfleet@{}>", message.fleet, self.from.email.domain());
        let mut builder = lettre::Message::builder()
            .from(self.from.clone())
            .subject(clean(&message.title, super::message::TITLE_BYTES))
            .message_id(Some(id))
            .in_reply_to(self.thread(message))
            .references(self.thread(message))
            .date(SystemTime::from(message.at));
        for to in &self.to {
            builder = builder.to(to.clone());
        }
        let (text, page) = bodies;
        let mut parts =
            MultiPart::mixed().multipart(MultiPart::alternative_plain_html(text.to_owned(), page.to_owned()));
        if let Some(report) = report {
            let name = format!("inspection-{}-{}.html", message.fleet, super::words::day(message.at));
            let kind = ContentType::parse("text/html; charset=utf-8").map_err(|error| form(&error))?;
            let attached: SinglePart = Attachment::new(name).body(report.to_vec(), kind);
            parts = parts.singlepart(attached);
        }
        builder.multipart(parts).map_err(|error| form(&error))
    }
}

impl Channel for Email {
    fn target(&self) -> String {
        let Server { host, port, security, .. } = &self.server;
        let to: Vec<String> = self.to.iter().map(|to| to.email.to_string()).collect();
        format!("{} by {host}:{port} ({})", to.join(", "), security.name())
    }

    fn secrets(&self) -> Vec<&Secret> {
        self.server.login.iter().map(|(_, password)| password).collect()
    }

    fn render(&self, message: &Message, context: Context<'_>) -> Result<Request, RenderError> {
        let limit = Limit::Bytes(TEXT_LIMIT);
        let mut plain = fit(message, limit, String::as_str, |shown| text(message, shown))?;
        let page = fit(message, limit, String::as_str, |shown| page(message, shown))?;
        let mut mail = self.mail(message, (&plain, &page), context.report)?;
        let size = mail.formatted().len();
        if size > MAIL_BYTES {
            plain.push_str(&format!("\n{}\n", message.words().too_large(size)));
            mail = self.mail(message, (&plain, &page), None)?;
        }
        Ok(Request::Mail(Box::new(MailRequest { server: self.server.clone(), mail })))
    }

    /// Codes of RFC 5321, section 4.2.1: 4yz may go later, 5yz will not; of RFC 4954 for logins.
    fn judge(&self, answer: &Answer) -> Verdict {
        let why = format!("SMTP code {}", answer.status);
        let refused = |hint| Verdict::Refused { why: why.clone(), hint: Some(hint) };
        match answer.status {
            200..=299 => Verdict::Delivered,
            400..=499 => Verdict::Transient(why),
            530 => refused("the server wants a login, or TLS before it; set user and password, and security"),
            534 | 535 => refused("user or password is wrong; some services want a password made for programs"),
            550 | 553 | 554 => {
                refused("the server does not take this sender or receiver, or does not pass mail on for us")
            }
            552 => refused("the mail is too large for the server"),
            _ => Verdict::refused(why),
        }
    }
}
