//! Frames: how a record lies in a file.
//!
//! Purpose: `[length u32][crc32 u32][payload]`, little endian, one after the other. The journal and the output spools
//! are made of them, so a reader can tell a whole record from a half one and from a damaged one.
//! Place in the flow: under `journal` and `spool`.
//! Not here: what a payload says; files.
//!
//! A length of zero is never written: files are extended with zeros ahead of time, and the first zero length is the end
//! of what was written.

use std::ops::Range;

/// Bytes in front of each payload.
pub const HEADER: usize = 8;

/// The largest payload; a longer length is damage.
pub const MAX_PAYLOAD: usize = 1024 * 1024;

/// Appends one frame to a buffer.
///
/// # Panics
/// When the payload is empty or larger than [`MAX_PAYLOAD`]: callers cut their data.
pub fn encode(payload: &[u8], out: &mut Vec<u8>) {
    encode_parts(&[payload], out);
}

/// Appends one frame whose payload is in pieces.
///
/// # Panics
/// As [`encode`].
pub fn encode_parts(parts: &[&[u8]], out: &mut Vec<u8>) {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    assert!(len > 0 && len <= MAX_PAYLOAD, "a frame holds 1 to {MAX_PAYLOAD} bytes, not {len}");
    let mut crc = crc32fast::Hasher::new();
    for part in parts {
        crc.update(part);
    }
    out.reserve(HEADER + len);
    out.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&crc.finalize().to_le_bytes());
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// What stands at one place of a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// A whole record: its payload's place.
    Record(Range<usize>),
    /// The bytes end inside a record: it is still being written, or never will be.
    Partial,
    /// Nothing more was written.
    End,
    /// Not a record.
    Damaged,
}

/// Looks at one place.
#[must_use]
pub fn next(bytes: &[u8], at: usize) -> Next {
    let rest = &bytes[at.min(bytes.len())..];
    let Some((header, body)) = rest.split_first_chunk::<HEADER>() else {
        return if rest.iter().all(|&b| b == 0) { Next::End } else { Next::Partial };
    };
    let [a, b, c, d, e, f, g, h] = *header;
    let len = u32::from_le_bytes([a, b, c, d]) as usize;
    if len == 0 {
        return if rest.iter().all(|&b| b == 0) { Next::End } else { Next::Damaged };
    }
    if len > MAX_PAYLOAD {
        return Next::Damaged;
    }
    let Some(payload) = body.get(..len) else { return Next::Partial };
    if crc32fast::hash(payload) == u32::from_le_bytes([e, f, g, h]) {
        Next::Record(at + HEADER..at + HEADER + len)
    } else {
        Next::Damaged
    }
}

/// What a whole file holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// The payloads of all whole records, in order.
    pub records: Vec<Range<usize>>,
    /// Stretches that are no records though records or other bytes follow them.
    pub damaged: Vec<Range<usize>>,
    /// A half record at the very end, as a crash in the middle of a write leaves it.
    pub torn: Option<Range<usize>>,
    /// Where the next record may be written.
    pub end: usize,
}

/// Reads all that can be read. Behind a damaged stretch it finds the next record by trying every place.
#[must_use]
pub fn scan(bytes: &[u8]) -> Scan {
    let mut out = Scan::default();
    let mut at = 0;
    loop {
        match next(bytes, at) {
            Next::Record(range) => {
                at = range.end;
                out.records.push(range);
                out.end = at;
            }
            Next::End => return out,
            kind @ (Next::Partial | Next::Damaged) => {
                if let Some(found) = resync(bytes, at + 1) {
                    out.damaged.push(at..found);
                    at = found;
                    continue;
                }
                // Zeros at the end belong to the space that was made ahead of time.
                let used = bytes.iter().rposition(|&b| b != 0).map_or(at, |last| (last + 1).max(at));
                match kind {
                    Next::Damaged => out.damaged.push(at..used),
                    Next::Partial | Next::Record(_) | Next::End => out.torn = Some(at..used),
                }
                return out;
            }
        }
    }
}

/// The next place from `from` on where a whole record with an object in it stands. The check for a brace keeps the search
/// linear: a checksum is computed only where a record may begin.
fn resync(bytes: &[u8], from: usize) -> Option<usize> {
    (from..bytes.len().saturating_sub(HEADER))
        .filter(|&at| bytes[at + HEADER] == b'{')
        .find(|&at| matches!(next(bytes, at), Next::Record(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(payloads: &[&str], zeros: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for payload in payloads {
            encode(payload.as_bytes(), &mut out);
        }
        out.resize(out.len() + zeros, 0);
        out
    }

    fn texts<'a>(bytes: &'a [u8], scan: &Scan) -> Vec<&'a str> {
        scan.records.iter().map(|range| std::str::from_utf8(&bytes[range.clone()]).unwrap()).collect()
    }

    #[test]
    fn all_records_before_a_cut_are_read_wherever_it_is() {
        let payloads = [r#"{"a":1}"#, r#"{"b":"two"}"#, r#"{"c":[3,3,3]}"#];
        let whole = file(&payloads, 0);
        let ends: Vec<usize> = scan(&whole).records.iter().map(|range| range.end).collect();
        for cut in 0..=whole.len() {
            for zeros in [0, 40] {
                let mut bytes = whole[..cut].to_vec();
                bytes.resize(cut + zeros, 0);
                let scan = scan(&bytes);
                let complete = ends.iter().filter(|&&end| end <= cut).count();
                assert!(scan.records.len() >= complete, "cut at {cut}: {scan:?}");
                assert_eq!(texts(&bytes, &scan), payloads[..scan.records.len()]);
            }
        }
    }

    #[test]
    fn a_flipped_byte_costs_one_record_and_no_other() {
        let payloads = [r#"{"a":1}"#, r#"{"b":"two"}"#, r#"{"c":[3,3,3]}"#, r#"{"d":null}"#];
        let whole = file(&payloads, 64);
        let written = scan(&whole).end;
        for at in 0..written {
            for flip in [0x01u8, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                let scan = scan(&bytes);
                let hit = file(&payloads, 0).len().min(
                    payloads
                        .iter()
                        .scan(0, |end, p| {
                            *end += HEADER + p.len();
                            Some(*end)
                        })
                        .filter(|&e| e <= at)
                        .count(),
                );
                let rest: Vec<&str> =
                    payloads.iter().enumerate().filter(|(n, _)| *n != hit).map(|(_, text)| *text).collect();
                assert_eq!(texts(&bytes, &scan), rest, "byte {at} flipped by {flip:#x}");
                assert!(!scan.damaged.is_empty() || scan.torn.is_some(), "byte {at}: damage must be noticed");
            }
        }
    }

    #[test]
    fn an_empty_file_and_one_of_zeros_hold_nothing() {
        assert_eq!(scan(&[]), Scan::default());
        assert_eq!(scan(&[0; 100]), Scan::default());
    }
}
