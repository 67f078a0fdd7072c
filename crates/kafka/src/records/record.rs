//! What stands in a record: a word, the run, the number, and dots up to the wanted size. Readable in any Kafka tool.

use kfleet_model::RunId;

/// The first word of every record's value.
const WORD: &str = "kfleet-record";

/// Writes the value of a record.
pub(super) fn value_of(run: &RunId, number: u64, size: usize) -> String {
    let mut value = format!("{WORD} {run} {number} ");
    let filler = size.saturating_sub(value.len());
    value.extend(std::iter::repeat_n('.', filler));
    value
}

/// The number of a record's value; none when it belongs to another run or to something else.
pub(super) fn number_of(run: &RunId, value: &[u8]) -> Option<u64> {
    let mut words = std::str::from_utf8(value).ok()?.split(' ');
    let ours = words.next()? == WORD && words.next()? == run.as_str();
    if ours { words.next()?.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_and_has_the_wanted_size() {
        let run = RunId::new("roll-1").unwrap();
        for (number, size) in [(0, 100), (42, 0), (u64::MAX, 1000)] {
            let value = value_of(&run, number, size);
            assert!(value.len() >= size);
            assert_eq!(number_of(&run, value.as_bytes()), Some(number));
        }
        assert_eq!(value_of(&run, 7, 64).len(), 64);
    }

    #[test]
    fn records_of_others_have_no_number_here() {
        let run = RunId::new("roll-1").unwrap();
        let other = value_of(&RunId::new("roll-10").unwrap(), 3, 0);
        let cases: [&[u8]; 5] = [other.as_bytes(), b"", b"kfleet-record roll-1", b"kfleet-record roll-1 x ", b"\xff"];
        for value in cases {
            assert_eq!(number_of(&run, value), None, "{}", String::from_utf8_lossy(value));
        }
    }
}
