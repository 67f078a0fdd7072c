//! The counters of a JVM, from the file that it maps into memory: `hsperfdata_<user>/<pid>`.
//!
//! Layout as in `perfMemory.hpp` of OpenJDK, version 2.0: a prologue of 32 bytes, then entries that each give their own
//! length. No attaching and no JMX: reading a file does not disturb the process.

use std::collections::BTreeMap;

/// The first four bytes, whatever the byte order.
const MAGIC: [u8; 4] = [0xca, 0xfe, 0xc0, 0xc0];

/// The value of a counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// A number.
    Long(i64),
    /// A text.
    Text(String),
}

/// Why a file is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum PerfError {
    #[error("it does not begin with the bytes ca fe c0 c0")]
    Magic,
    #[error("its version is {0}.{1}, and only 2.0 is known")]
    Version(u8, u8),
    #[error("the JVM has not finished writing it")]
    NotReady,
    #[error("it ends in the middle of an entry")]
    Cut,
}

struct Bytes<'a> {
    bytes: &'a [u8],
    little: bool,
}

impl<'a> Bytes<'a> {
    fn slice(&self, at: usize, length: usize) -> Result<&'a [u8], PerfError> {
        let end = at.checked_add(length).ok_or(PerfError::Cut)?;
        self.bytes.get(at..end).ok_or(PerfError::Cut)
    }

    fn byte(&self, at: usize) -> Result<u8, PerfError> {
        self.bytes.get(at).copied().ok_or(PerfError::Cut)
    }

    /// An unsigned number: every offset and length of the layout is one that is not negative.
    fn int(&self, at: usize) -> Result<usize, PerfError> {
        let four: [u8; 4] = self.slice(at, 4)?.try_into().map_err(|_| PerfError::Cut)?;
        let number = if self.little { u32::from_le_bytes(four) } else { u32::from_be_bytes(four) };
        usize::try_from(number).map_err(|_| PerfError::Cut)
    }

    fn long(&self, at: usize) -> Result<i64, PerfError> {
        let eight: [u8; 8] = self.slice(at, 8)?.try_into().map_err(|_| PerfError::Cut)?;
        Ok(if self.little { i64::from_le_bytes(eight) } else { i64::from_be_bytes(eight) })
    }

    /// A text up to its zero.
    fn text(&self, at: usize, most: usize) -> Result<String, PerfError> {
        let rest = self.bytes.get(at..).ok_or(PerfError::Cut)?;
        let text = rest.get(..rest.len().min(most)).unwrap_or_default();
        let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
        Ok(String::from_utf8_lossy(&text[..end]).into_owned())
    }
}

/// Reads all counters.
pub(super) fn parse(bytes: &[u8]) -> Result<BTreeMap<String, Value>, PerfError> {
    if bytes.get(..4) != Some(&MAGIC) {
        return Err(PerfError::Magic);
    }
    let file = Bytes { bytes, little: bytes.get(4) == Some(&1) };
    let (major, minor) = (file.byte(5)?, file.byte(6)?);
    if (major, minor) != (2, 0) {
        return Err(PerfError::Version(major, minor));
    }
    if file.byte(7)? == 0 {
        return Err(PerfError::NotReady);
    }
    let (mut at, count) = (file.int(24)?, file.int(28)?);
    let mut found = BTreeMap::new();
    for _ in 0..count {
        let length = file.int(at)?;
        let (name, vector, data) = (file.int(at + 4)?, file.int(at + 8)?, file.int(at + 16)?);
        let kind = file.byte(at + 12)?;
        // An entry of no length would be read for ever.
        if length < 20 || data >= length || name >= length {
            return Err(PerfError::Cut);
        }
        let name = file.text(at + name, length - name)?;
        let value = match (kind, vector) {
            (b'J', 0) => Some(Value::Long(file.long(at + data)?)),
            (b'B', vector) if vector > 0 => Some(Value::Text(file.text(at + data, vector.min(length - data))?)),
            _ => None,
        };
        if let Some(value) = value {
            found.insert(name, value);
        }
        at = at.checked_add(length).ok_or(PerfError::Cut)?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Recorded from OpenJDK 17 with G1 on x86-64.
    const JDK_17: &[u8] = include_bytes!("recorded/hsperfdata-17-g1");

    #[test]
    fn a_recorded_file_is_read() {
        let counters = parse(JDK_17).unwrap();
        let text = |name: &str| match &counters[name] {
            Value::Text(text) => text.clone(),
            Value::Long(number) => number.to_string(),
        };
        assert!(text("java.property.java.version").starts_with("17."));
        assert_eq!(text("sun.gc.collector.0.name"), "G1 young collection pauses");
        assert_eq!(text("sun.gc.collector.1.name"), "G1 full collection pauses");
        assert_eq!(text("sun.os.hrt.frequency"), "1000000000");
        assert!(matches!(counters["sun.gc.collector.0.time"], Value::Long(time) if time > 0));
    }

    #[test]
    fn a_file_of_the_other_byte_order_is_read() {
        let mut file = vec![0xca, 0xfe, 0xc0, 0xc0, 0, 2, 0, 1];
        file.extend([0; 16]);
        for number in [32_u32, 1, 32, 20, 0] {
            file.extend(number.to_be_bytes());
        }
        file.extend([b'J', 0, 1, 3]);
        file.extend(24_u32.to_be_bytes());
        file.extend(*b"abc\0");
        file.extend(258_i64.to_be_bytes());
        assert_eq!(parse(&file), Ok(BTreeMap::from([("abc".to_owned(), Value::Long(258))])));
    }

    #[test]
    fn what_is_no_such_file_is_told() {
        assert_eq!(parse(b""), Err(PerfError::Magic));
        assert_eq!(parse(&[0xca, 0xfe, 0xc0, 0xc0, 1, 1, 0, 1]), Err(PerfError::Version(1, 0)));
        assert_eq!(parse(&[0xca, 0xfe, 0xc0, 0xc0, 1, 2, 0, 0]), Err(PerfError::NotReady));
        assert_eq!(parse(&JDK_17[..2000]), Err(PerfError::Cut));
    }

    proptest! {
        #[test]
        fn no_damage_makes_it_panic(at in 0..32_768_usize, byte: u8) {
            let mut file = JDK_17.to_vec();
            let at = at % file.len();
            file[at] = byte;
            let read = parse(&file);
            prop_assert!(read.is_ok() || read.is_err());
        }
    }
}
