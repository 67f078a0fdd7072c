//! Lines out of bytes that come in pieces: torn ones wait for their rest, endless ones are cut, and what is no UTF-8 is
//! shown with replacement characters.

use std::borrow::Cow;

/// So much of a line is looked at. What is longer is a dump of data, and its head says what it is.
pub const LINE_LIMIT: usize = 64 * 1024;

/// Cuts a stream of bytes into lines.
#[derive(Debug, Default)]
pub struct Lines {
    /// The beginning of a line whose end has not come.
    torn: Vec<u8>,
    /// Bytes of it, those that were cut off included.
    torn_bytes: u64,
    /// Bytes of whole lines.
    whole: u64,
}

impl Lines {
    /// Takes a piece and gives every line that it ends, without its end.
    pub fn take(&mut self, mut piece: &[u8], mut line: impl FnMut(&str)) {
        while let Some(at) = piece.iter().position(|byte| *byte == b'\n') {
            let (head, rest) = piece.split_at(at);
            piece = &rest[1..];
            if self.torn.is_empty() {
                line(&text(head));
            } else {
                self.keep(head);
                line(&text(&self.torn));
                self.torn.clear();
            }
            self.whole += self.torn_bytes + head.len() as u64 + 1;
            self.torn_bytes = 0;
        }
        self.keep(piece);
        self.torn_bytes += piece.len() as u64;
    }

    /// The end of the file, to which nothing will be added: a last line without an end is one all the same.
    pub fn finish(&mut self, mut line: impl FnMut(&str)) {
        if !self.torn.is_empty() {
            line(&text(&self.torn));
        }
        self.whole += self.torn_bytes;
        self.torn.clear();
        self.torn_bytes = 0;
    }

    /// How many bytes the lines that were given took: where reading goes on.
    #[must_use]
    pub fn consumed(&self) -> u64 {
        self.whole
    }

    fn keep(&mut self, piece: &[u8]) {
        let room = LINE_LIMIT.saturating_sub(self.torn.len());
        self.torn.extend_from_slice(&piece[..piece.len().min(room)]);
    }
}

/// The beginning of a text, at most so many bytes and no half letter.
#[must_use]
pub fn beginning(text: &str, limit: usize) -> &str {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn text(line: &[u8]) -> Cow<'_, str> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    String::from_utf8_lossy(&line[..line.len().min(LINE_LIMIT)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(pieces: &[&[u8]]) -> (Vec<String>, u64) {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        for piece in pieces {
            lines.take(piece, |line| found.push(line.to_owned()));
        }
        (found, lines.consumed())
    }

    #[test]
    fn a_torn_line_waits_for_its_rest() {
        assert_eq!(read(&[b"a\nb", b"c\r\nd"]), (vec!["a".into(), "bc".into()], 6));
        assert_eq!(read(&[b"\n\n"]), (vec![String::new(), String::new()], 2));
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        lines.take(b"a\nb", |_| {});
        lines.finish(|line| found.push(line.to_owned()));
        assert_eq!((found, lines.consumed()), (vec!["b".to_owned()], 3));
    }

    #[test]
    fn an_endless_line_is_cut_and_counted_whole() {
        let long = vec![b'x'; 1024 * 1024];
        let (found, consumed) = read(&[&long, &long, b"\nafter\n"]);
        assert_eq!((found[0].len(), found[1].as_str()), (LINE_LIMIT, "after"));
        assert_eq!(consumed, 2 * 1024 * 1024 + 7);
    }

    #[test]
    fn a_text_is_cut_between_letters() {
        for (limit, wanted) in [(0, ""), (1, "a"), (2, "a"), (3, "aé"), (4, "aéb"), (9, "aéb")] {
            assert_eq!(beginning("aéb", limit), wanted);
        }
    }

    #[test]
    fn what_is_no_text_is_shown_as_well_as_it_goes() {
        assert_eq!(read(&[b"caf\xe9 \xff\n"]).0, ["caf\u{fffd} \u{fffd}"]);
    }

    proptest! {
        #[test]
        fn the_cuts_between_pieces_do_not_matter(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..200),
            cut in 1..40_usize,
        ) {
            let pieces: Vec<&[u8]> = bytes.chunks(cut).collect();
            prop_assert_eq!(read(&pieces), read(&[&bytes]));
        }
    }
}
