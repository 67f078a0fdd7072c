//! Escapes and the character set of a properties file: ISO 8859-1, all else as `\uXXXX`.

/// Takes the escapes out of a key or a value. The flag says that Java would refuse it.
pub(super) fn decode(text: &[u8]) -> (String, bool) {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut malformed = false;
    let mut rest = text.iter();
    while let Some(&byte) = rest.next() {
        if byte != b'\\' {
            units.push(byte.into());
            continue;
        }
        match rest.next() {
            Some(b't') => units.push(b'\t'.into()),
            Some(b'n') => units.push(b'\n'.into()),
            Some(b'r') => units.push(b'\r'.into()),
            Some(b'f') => units.push(0x0c),
            Some(b'u') => match unit(rest.as_slice()) {
                Some(unit) => {
                    units.push(unit);
                    rest = rest.as_slice()[4..].iter();
                }
                None => malformed = true,
            },
            Some(&other) => units.push(other.into()),
            None => {}
        }
    }
    (String::from_utf16_lossy(&units), malformed)
}

/// Four hexadecimal digits.
fn unit(text: &[u8]) -> Option<u16> {
    let digits = text.get(..4).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// A key as it is written: nothing in it ends it.
pub(super) fn encode_key(key: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.len());
    for c in key.chars() {
        if matches!(c, ' ' | '=' | ':' | '#' | '!') {
            out.push(b'\\');
        }
        encode(c, &mut out);
    }
    out
}

/// A value as it is written. Blanks at its beginning are escaped, and its separators where none stands before it.
pub(super) fn encode_value(value: &str, separated: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let mut leading = true;
    for c in value.chars() {
        if leading && (c == ' ' || (!separated && matches!(c, '=' | ':'))) {
            out.push(b'\\');
        }
        leading = leading && c == ' ';
        encode(c, &mut out);
    }
    out
}

fn encode(c: char, out: &mut Vec<u8>) {
    match c {
        '\\' => out.extend(b"\\\\"),
        '\t' => out.extend(b"\\t"),
        '\n' => out.extend(b"\\n"),
        '\r' => out.extend(b"\\r"),
        '\u{c}' => out.extend(b"\\f"),
        ' '..='~' => out.push(c as u8),
        other => {
            for unit in other.encode_utf16(&mut [0; 2]) {
                out.extend(format!("\\u{unit:04x}").bytes());
            }
        }
    }
}
