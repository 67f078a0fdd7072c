//! Filters on URLs.

use super::super::error::{Result, TemplateError};
use super::super::eval::{Args, Interp};
use super::super::value::{Key, Value};
use super::{Filter, filter};

pub(super) const FILTERS: &[Filter] =
    &[filter("urlencode", urlencode), filter("urldecode", urldecode), filter("urlsplit", urlsplit)];

fn percent_encode(text: &str, keep: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let c = char::from(byte);
        if byte.is_ascii_alphanumeric() || "_.-~".contains(c) || (byte.is_ascii() && keep.contains(c)) {
            out.push(c);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn urlencode(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    args.none()?;
    let pairs: Vec<(Value, Value)> = if input.is_mapping() {
        interp.entries(&input)?.into_iter().map(|(key, value)| (key.to_value(), value)).collect()
    } else if input.is_list() {
        let mut pairs = Vec::new();
        for pair in interp.items(&input)? {
            match &interp.items(&pair)?[..] {
                [key, value] => pairs.push((key.clone(), value.clone())),
                _ => return Err(TemplateError::failed("wants a text, a dict or a list of pairs")),
            }
        }
        pairs
    } else {
        return Ok(Value::str(percent_encode(&interp.text(&input)?, "/")));
    };
    let mut out = Vec::with_capacity(pairs.len());
    for (key, value) in pairs {
        let (key, value) = (interp.text(&key)?, interp.text(&value)?);
        out.push(format!("{}={}", form_encode(&key), form_encode(&value)));
    }
    Ok(Value::str(out.join("&")))
}

fn form_encode(text: &str) -> String {
    percent_encode(text, "").replace("%20", "+")
}

fn urldecode(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    args.none()?;
    let text = interp.text(&input)?;
    Ok(Value::str(percent_decode(&text.replace('+', " "))))
}

fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let decoded = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match decoded.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn urlsplit(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let (input, args) = args.input();
    let [query] = args.bind(["query"])?;
    let url = interp.text(&input)?;
    let part = interp.arg_text_or(query, "")?;
    let (rest, fragment) = url.split_once('#').unwrap_or((&url, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (scheme, rest) = match rest.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) => (scheme.to_lowercase(), rest),
        _ => (String::new(), rest),
    };
    let (netloc, path) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None => ("", rest),
    };
    let (user, host) = netloc.rsplit_once('@').map_or((None, netloc), |(user, host)| (Some(user), host));
    let (username, password) = match user {
        Some(user) => match user.split_once(':') {
            Some((name, password)) => (Value::str(name), Value::str(password)),
            None => (Value::str(user), Value::None),
        },
        None => (Value::None, Value::None),
    };
    let (hostname, port) = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((address, rest)) => (address, rest.strip_prefix(':')),
        None => host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port))),
    };
    let port = match port.filter(|port| !port.is_empty()) {
        Some(port) => match port.parse::<u16>() {
            Ok(port) => Value::int(port),
            Err(_) => return Err(TemplateError::failed(format!("`{port}` in `{url}` is not a port"))),
        },
        None => Value::None,
    };
    let hostname = if hostname.is_empty() { Value::None } else { Value::str(hostname.to_lowercase()) };
    let parts = [
        ("fragment", Value::str(fragment)),
        ("hostname", hostname),
        ("netloc", Value::str(netloc)),
        ("password", password),
        ("path", Value::str(path)),
        ("port", port),
        ("query", Value::str(query)),
        ("scheme", Value::str(scheme)),
        ("username", username),
    ];
    if part.is_empty() {
        return Ok(Value::dict(parts.into_iter().map(|(name, value)| (Key::from(name), value)).collect()));
    }
    let known = parts.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    match parts.into_iter().find(|(name, _)| *name == part) {
        Some((_, value)) => Ok(value),
        None => Err(TemplateError::failed(format!("a URL has {known}, not `{part}`"))),
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}
