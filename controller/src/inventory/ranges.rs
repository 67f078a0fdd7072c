//! Ranges in host names: `kafka[1:3].example`, `[01:10]`, `[a:c]`, `[1:9:2]`.

/// The most hosts that one name may stand for: a slip such as `[1:100000000]` must not eat the memory.
pub(super) const MAX_HOSTS: usize = 65_536;

/// Expands all ranges of a name.
///
/// # Errors
/// A fragment that says what is wrong with a range.
pub(super) fn expand(name: &str) -> Result<Vec<String>, String> {
    let Some((before, rest)) = name.split_once('[') else {
        return if name.contains(']') {
            Err("there is a ']' without '['".to_owned())
        } else {
            Ok(vec![name.to_owned()])
        };
    };
    let Some((range, after)) = rest.split_once(']') else { return Err("the '[' is never closed".to_owned()) };
    let items = range_items(range)?;
    let tails = expand(after)?;
    if items.len().saturating_mul(tails.len()) > MAX_HOSTS {
        return Err(format!("it stands for more than {MAX_HOSTS} hosts"));
    }
    Ok(items.iter().flat_map(|item| tails.iter().map(move |tail| format!("{before}{item}{tail}"))).collect())
}

fn range_items(range: &str) -> Result<Vec<String>, String> {
    let parts: Vec<&str> = range.split(':').collect();
    let (start, end, step) = match parts.as_slice() {
        [start, end] => (*start, *end, "1"),
        [start, end, step] => (*start, *end, *step),
        _ => return Err(format!("'[{range}]' is no range; write for example [1:3] or [a:c]")),
    };
    let step: usize = step.parse().ok().filter(|step| *step > 0).ok_or_else(|| format!("'{step}' is no step"))?;
    let start = if start.is_empty() { "0" } else { start };
    if end.is_empty() {
        return Err(format!("'[{range}]' has no end"));
    }
    let backwards = || format!("'[{range}]' goes backwards");
    if let (Some(from), Some(to)) = (letter(start), letter(end)) {
        if from > to {
            return Err(backwards());
        }
        return Ok((from..=to).step_by(step).map(|c| c.to_string()).collect());
    }
    let (Ok(from), Ok(to)) = (start.parse::<u64>(), end.parse::<u64>()) else {
        return Err(format!("'[{range}]' is no range; write for example [1:3] or [a:c]"));
    };
    if from > to {
        return Err(backwards());
    }
    // A zero in front asks for numbers of that width.
    let width = if start.len() > 1 && start.starts_with('0') { start.len() } else { 0 };
    if width > 0 && end.len() != width {
        return Err(format!("both ends of '[{range}]' must have the same number of digits"));
    }
    if (to - from) / (step as u64) >= MAX_HOSTS as u64 {
        return Err(format!("it stands for more than {MAX_HOSTS} hosts"));
    }
    Ok((from..=to).step_by(step).map(|number| format!("{number:0width$}")).collect())
}

fn letter(text: &str) -> Option<char> {
    let mut chars = text.chars();
    let first = chars.next().filter(char::is_ascii_alphabetic)?;
    chars.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_stand_for_several_hosts() {
        let cases: [(&str, &[&str]); 8] = [
            ("kafka", &["kafka"]),
            ("kafka[1:3].x", &["kafka1.x", "kafka2.x", "kafka3.x"]),
            ("k[08:11]", &["k08", "k09", "k10", "k11"]),
            ("k[a:c]", &["ka", "kb", "kc"]),
            ("k[1:9:4]", &["k1", "k5", "k9"]),
            ("k[:2]", &["k0", "k1", "k2"]),
            ("r[1:2]k[a:b]", &["r1ka", "r1kb", "r2ka", "r2kb"]),
            ("k[3:3]", &["k3"]),
        ];
        for (name, wanted) in cases {
            assert_eq!(expand(name).unwrap(), wanted, "{name}");
        }
    }

    #[test]
    fn broken_ranges_are_told() {
        let cases = [
            ("k[1:3", "never closed"),
            ("k1]", "without '['"),
            ("k[3:1]", "backwards"),
            ("k[c:a]", "backwards"),
            ("k[1]", "no range"),
            ("k[1:b]", "no range"),
            ("k[1:]", "no end"),
            ("k[01:100]", "same number of digits"),
            ("k[1:3:0]", "no step"),
            ("k[1:99999999999]", "more than"),
            ("k[1:9999][1:9999]", "more than"),
        ];
        for (name, wanted) in cases {
            let error = expand(name).unwrap_err();
            assert!(error.contains(wanted), "{name}: {error}");
        }
    }
}
