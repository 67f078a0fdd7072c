//! The page: one file with everything in it, to be read in a browser, without a network, and on paper.
//!
//! It is made by a template and not by code, so that whoever changes the page sees a page; the template engine is the
//! one that playbooks are read with. Every value passes one formatter, which makes visible what can not be seen and
//! escapes the rest, and an unknown name in the template is an error. Text from hosts is a value and never a template.
//!
//! Both languages stand in the page and the style sheet shows one, so switching needs no second file and a page without
//! scripts still speaks the language that it was made in. The policy in its head allows this one style sheet and this
//! one script by their hashes and nothing else: were some text to slip through, it could neither run nor load anything.

mod chart;
mod sections;
mod view;

use super::texts::{self, Text};
use super::words::visible;
use super::{Language, Options, Pages, RenderError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kfleet_inspect::State;
use minijinja::value::{Kwargs, Serde, Value};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};
use sha2::{Digest as _, Sha256};

const TEMPLATE: &str = include_str!("html/page.html");
const STYLE: &str = include_str!("html/page.css");
const SCRIPT: &str = include_str!("html/page.js");

pub(super) fn render(pages: &Pages<'_>, options: &Options) -> Result<String, RenderError> {
    let mut environment = environment();
    environment.add_template("page.html", TEMPLATE)?;
    for (name, text) in [("css", STYLE), ("js", SCRIPT)] {
        environment.add_global(name, Value::from_safe_string(text.to_owned()));
    }
    environment.add_global("csp", policy());
    environment.add_global("version", env!("CARGO_PKG_VERSION"));
    let page = Value::from(Serde(sections::page(pages, options)));
    Ok(environment.get_template("page.html")?.render(page)? + "\n")
}

/// What the page may load and run: itself. Attributes with styles and handlers are not allowed either.
fn policy() -> String {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; img-src data:; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_formatter(|out, _state, value| {
        let written = match value.as_str() {
            _ if value.is_undefined() => return Err(Error::from(ErrorKind::UndefinedError)),
            _ if value.is_none() => Ok(()),
            Some(text) if value.is_safe() => out.write_str(text),
            Some(text) => out.write_str(&escaped(text)),
            None => out.write_str(&escaped(&value.to_string())),
        };
        written.map_err(|_| Error::from(ErrorKind::WriteFailure))
    });
    environment.add_function("t", |name: &str, values: Kwargs| -> Result<Value, Error> {
        let text = text(name)?;
        let values = filled(&values)?;
        Ok(both(&texts::fill(text.say(Language::English), &values), &texts::fill(text.say(Language::Chinese), &values)))
    });
    environment.add_function("ta", |name: &str| -> Result<String, Error> {
        let text = text(name)?;
        Ok(format!("{} · {}", text.say(Language::English), text.say(Language::Chinese)))
    });
    environment.add_function("bi", |text: Value| -> Result<Value, Error> {
        let (en, zh) = (text.get_attr("en")?, text.get_attr("zh")?);
        let en = en.as_str().unwrap_or_default();
        let zh = zh.as_str().filter(|zh| !zh.is_empty()).unwrap_or(en);
        Ok(both(en, zh))
    });
    environment.add_function("coded", |text: &str| Value::from_safe_string(coded(&escaped(text))));
    environment.add_function("state_name", |name: &str| -> Result<Value, Error> {
        let state = state(name)?;
        Ok(both(texts::state(state, Language::English), texts::state(state, Language::Chinese)))
    });
    environment.add_function("glyph", |name: &str| -> Result<&'static str, Error> { Ok(glyph(state(name)?)) });
    environment
}

/// A sign beside the colour, for those who do not see it.
fn glyph(state: State) -> &'static str {
    match state {
        State::Ok => "·",
        State::Skip => "",
        State::Info => "i",
        State::Expected => "○",
        State::Waived => "–",
        State::Unknown => "?",
        State::Warn => "!",
        State::Crit => "×",
    }
}

fn text(name: &str) -> Result<Text, Error> {
    Text::of(name).ok_or_else(|| Error::new(ErrorKind::UnknownFunction, format!("there is no text {name:?}")))
}

fn state(name: &str) -> Result<State, Error> {
    let found = State::ALL.into_iter().find(|state| state.name() == name);
    found.ok_or_else(|| Error::new(ErrorKind::InvalidOperation, format!("there is no state {name:?}")))
}

fn filled(values: &Kwargs) -> Result<Vec<(&str, String)>, Error> {
    values.args().map(|name| Ok((name, values.get::<Value>(name)?.to_string()))).collect()
}

/// Both languages; the style sheet shows one.
fn both(en: &str, zh: &str) -> Value {
    let (en, zh) = (coded(&escaped(en)), coded(&escaped(zh)));
    // Numbers and the like need no second copy, which keeps large pages small.
    if en == zh {
        return Value::from_safe_string(en);
    }
    Value::from_safe_string(format!(
        "<span class=\"en\" lang=\"en\">{en}</span><span class=\"zh\" lang=\"zh-Hans\">{zh}</span>"
    ))
}

/// What stands between backticks in the catalogue's texts, as code. The text is escaped already, and a backtick without
/// a partner stays one.
fn coded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, (code, after))) = rest.split_once('`').and_then(|(b, r)| Some((b, r.split_once('`')?))) {
        out.extend([before, "<code>", code, "</code>"]);
        rest = after;
    }
    out + rest
}

/// Text as it may stand in elements and in attributes between double quotes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in visible(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests;
