//! How the kernel shows a value.

/// The value that a kernel file shows: the word in brackets where it lists all that it knows (`always [madvise] never`),
/// else the whole text with single blanks between its words.
#[must_use]
pub fn value(text: &str) -> String {
    match bracketed(text) {
        Some(word) => word.to_owned(),
        None => text.split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

/// The words that the kernel knows for a value, where it lists them.
#[must_use]
pub fn offered(text: &str) -> Option<Vec<&str>> {
    bracketed(text)?;
    Some(text.split_whitespace().map(|word| word.trim_start_matches('[').trim_end_matches(']')).collect())
}

fn bracketed(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('[')?;
    rest.split_once(']').map(|(word, _)| word)
}

/// What has to be written so that a kernel file shows again what it showed: the text itself, or of a list its chosen word.
#[must_use]
pub fn rewritten(former: &str) -> String {
    match bracketed(former) {
        Some(word) => format!("{word}\n"),
        None => former.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_a_bracketed_word_or_the_text() {
        let cases = [
            ("60\n", "60", None),
            ("4096\t131072\t6291456\n", "4096 131072 6291456", None),
            ("always [madvise] never\n", "madvise", Some(vec!["always", "madvise", "never"])),
            ("never\n", "never", None),
            ("[none] mq-deadline\n", "none", Some(vec!["none", "mq-deadline"])),
            ("none\n", "none", None),
            ("", "", None),
            ("broken [\n", "broken [", None),
        ];
        for (text, shown, words) in cases {
            assert_eq!((value(text).as_str(), offered(text)), (shown, words), "{text:?}");
        }
    }

    #[test]
    fn what_is_written_back_is_the_text_or_the_chosen_word() {
        assert_eq!(rewritten("4096\t131072\t6291456\n"), "4096\t131072\t6291456\n");
        assert_eq!(rewritten("always [madvise] never\n"), "madvise\n");
    }
}
