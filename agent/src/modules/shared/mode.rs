//! File modes as Ansible and `chmod` write them: octal (`0644`) or symbolic (`u=rw,g=r,o=`, `a+X`).

/// What a symbolic mode without a "who" leaves alone, as `chmod` does with the usual umask.
const UMASK: u32 = 0o022;

/// The mode bits that a text asks for, from the present ones.
///
/// # Errors
/// A sentence fragment that names the text and what is wrong.
pub(crate) fn resolve(text: &str, present: u32, directory: bool) -> Result<u32, String> {
    if text.chars().all(|c| c.is_digit(8)) && !text.is_empty() {
        return match u32::from_str_radix(text, 8) {
            Ok(mode) if mode <= 0o7777 => Ok(mode),
            _ => Err(format!("mode {text:?} is more than 07777")),
        };
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return resolve(octal, present, directory);
    }
    let mut mode = present;
    for clause in text.split(',') {
        mode = apply(clause, mode, directory)
            .ok_or_else(|| format!("mode {text:?} is neither octal (\"0644\") nor symbolic (\"u=rw,g=r,o=r\")"))?;
    }
    Ok(mode)
}

/// One clause: who, then operators each with its permissions.
fn apply(clause: &str, mut mode: u32, directory: bool) -> Option<u32> {
    let start = clause.find(['+', '-', '='])?;
    let (who, mut rest) = clause.split_at(start);
    if !who.chars().all(|c| "ugoa".contains(c)) {
        return None;
    }
    let everyone = who.is_empty() || who.contains('a');
    let (user, group, other) =
        (everyone || who.contains('u'), everyone || who.contains('g'), everyone || who.contains('o'));
    let masked = if who.is_empty() { UMASK } else { 0 };
    while let Some(operator) = rest.chars().next() {
        rest = &rest[1..];
        let end = rest.find(['+', '-', '=']).unwrap_or(rest.len());
        let (letters, more) = rest.split_at(end);
        rest = more;
        let bits = bits(letters, mode, directory, (user, group, other))? & !masked;
        let scope = scope((user, group, other), letters, directory) & !masked;
        match operator {
            '+' => mode |= bits,
            '-' => mode &= !bits,
            '=' => mode = (mode & !scope) | bits,
            _ => return None,
        }
    }
    Some(mode)
}

/// The bits that `=` clears. A directory keeps its set-id bits unless they are named, as GNU chmod has it.
fn scope((user, group, other): (bool, bool, bool), letters: &str, directory: bool) -> u32 {
    let mut scope = 0;
    let set_ids = !directory || letters.contains('s');
    if user {
        scope |= 0o700 | if set_ids { 0o4000 } else { 0 };
    }
    if group {
        scope |= 0o070 | if set_ids { 0o2000 } else { 0 };
    }
    if other {
        scope |= 0o007 | 0o1000;
    }
    scope
}

fn bits(letters: &str, mode: u32, directory: bool, (user, group, other): (bool, bool, bool)) -> Option<u32> {
    let mut each = 0;
    let mut special = 0;
    for letter in letters.chars() {
        match letter {
            'r' => each |= 4,
            'w' => each |= 2,
            'x' => each |= 1,
            'X' if directory || mode & 0o111 != 0 => each |= 1,
            'X' => {}
            's' => special |= if user { 0o4000 } else { 0 } | if group { 0o2000 } else { 0 },
            't' => special |= 0o1000,
            'u' => each |= mode >> 6 & 7,
            'g' => each |= mode >> 3 & 7,
            'o' => each |= mode & 7,
            _ => return None,
        }
    }
    let mut bits = special;
    for (asked, shift) in [(user, 6), (group, 3), (other, 0)] {
        if asked {
            bits |= each << shift;
        }
    }
    Some(bits)
}

/// A mode as Ansible shows it.
pub(crate) fn show(mode: u32) -> String {
    format!("{mode:04o}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_read_as_chmod_reads_them() {
        let cases = [
            ("0644", 0o600, false, 0o644),
            ("644", 0o600, false, 0o644),
            ("0o644", 0o600, false, 0o644),
            ("4755", 0, false, 0o4755),
            ("u=rw,g=r,o=r", 0o777, false, 0o644),
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("u=rwX,go=rX", 0o700, false, 0o755),
            ("u=rwX,go=rX", 0o600, true, 0o755),
            ("a+x", 0o644, false, 0o755),
            ("+x", 0o644, false, 0o755),
            ("+w", 0o444, false, 0o644),
            ("o-rwx", 0o777, false, 0o770),
            ("g=u", 0o640, false, 0o660),
            ("u+s", 0o755, false, 0o4755),
            ("g+s,o=", 0o775, true, 0o2770),
            ("u=rwx", 0o4755, true, 0o4755),
            ("a=", 0o777, false, 0),
            ("+t", 0o777, true, 0o1777),
            ("u+r-w", 0o200, false, 0o400),
        ];
        for (text, present, directory, wanted) in cases {
            let got = resolve(text, present, directory);
            assert_eq!(got, Ok(wanted), "{text} on {present:o}: {got:?}");
        }
    }

    #[test]
    fn what_is_no_mode_is_refused_by_name() {
        for text in ["", "rw", "u=q", "z+x", "0888", "77777", "u=rw g=r"] {
            let error = resolve(text, 0o644, false).unwrap_err();
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
    }
}
