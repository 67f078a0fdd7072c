//! Units, and numbers that carry one: every number of a report has a unit, and a limit of `2 GiB` compares with a
//! reading in bytes.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Unit {
    /// Things: partitions, files, restarts.
    #[serde(rename = "")]
    Count,
    /// Hundredths of a whole.
    #[serde(rename = "%")]
    Percent,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Milliseconds,
    /// Seconds.
    #[serde(rename = "s")]
    Seconds,
    /// Minutes.
    #[serde(rename = "min")]
    Minutes,
    /// Hours.
    #[serde(rename = "h")]
    Hours,
    /// Days of 24 hours.
    #[serde(rename = "d")]
    Days,
    /// Bytes.
    #[serde(rename = "B")]
    Bytes,
    /// 1024 bytes.
    #[serde(rename = "KiB")]
    Kibibytes,
    /// 1024 KiB.
    #[serde(rename = "MiB")]
    Mebibytes,
    /// 1024 MiB.
    #[serde(rename = "GiB")]
    Gibibytes,
    /// 1024 GiB.
    #[serde(rename = "TiB")]
    Tebibytes,
    /// Things in a second.
    #[serde(rename = "/s")]
    PerSecond,
    /// Things in an hour.
    #[serde(rename = "/h")]
    PerHour,
    /// Millions of bits in a second, as Linux gives the speed of a link.
    #[serde(rename = "Mbit/s")]
    MegabitsPerSecond,
}

/// What units can be converted into each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dimension {
    Count,
    Share,
    Time,
    Size,
    Rate,
    Speed,
}

impl Unit {
    /// Every unit.
    pub const ALL: [Self; 15] = [
        Self::Count,
        Self::Percent,
        Self::Milliseconds,
        Self::Seconds,
        Self::Minutes,
        Self::Hours,
        Self::Days,
        Self::Bytes,
        Self::Kibibytes,
        Self::Mebibytes,
        Self::Gibibytes,
        Self::Tebibytes,
        Self::PerSecond,
        Self::PerHour,
        Self::MegabitsPerSecond,
    ];

    /// As it is written behind a number; nothing for a count.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Count => "",
            Self::Percent => "%",
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
            Self::Minutes => "min",
            Self::Hours => "h",
            Self::Days => "d",
            Self::Bytes => "B",
            Self::Kibibytes => "KiB",
            Self::Mebibytes => "MiB",
            Self::Gibibytes => "GiB",
            Self::Tebibytes => "TiB",
            Self::PerSecond => "/s",
            Self::PerHour => "/h",
            Self::MegabitsPerSecond => "Mbit/s",
        }
    }

    /// Its dimension, and how many of the dimension's smallest unit it is.
    fn scale(self) -> (Dimension, f64) {
        match self {
            Self::Count => (Dimension::Count, 1.0),
            Self::Percent => (Dimension::Share, 1.0),
            Self::Milliseconds => (Dimension::Time, 1.0),
            Self::Seconds => (Dimension::Time, 1e3),
            Self::Minutes => (Dimension::Time, 60e3),
            Self::Hours => (Dimension::Time, 3_600e3),
            Self::Days => (Dimension::Time, 86_400e3),
            Self::Bytes => (Dimension::Size, 1.0),
            Self::Kibibytes => (Dimension::Size, 1024.0),
            Self::Mebibytes => (Dimension::Size, 1_048_576.0),
            Self::Gibibytes => (Dimension::Size, 1_073_741_824.0),
            Self::Tebibytes => (Dimension::Size, 1_099_511_627_776.0),
            Self::PerSecond => (Dimension::Rate, 3_600.0),
            Self::PerHour => (Dimension::Rate, 1.0),
            Self::MegabitsPerSecond => (Dimension::Speed, 1.0),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|unit| unit.symbol() == text)
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.symbol())
    }
}

/// A number with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quantity {
    /// The number.
    pub value: f64,
    /// What it counts.
    pub unit: Unit,
}

/// Why a text or a number is not the quantity that is wanted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum QuantityError {
    /// There is no number at its beginning.
    #[error("{0:?} is not a number with a unit, such as \"80 %\" or \"500 ms\"")]
    NotANumber(String),
    /// There is no such unit.
    #[error("{text:?} has the unknown unit {unit:?}; known are {}", known())]
    UnknownUnit {
        /// The whole text.
        text: String,
        /// What stands behind the number.
        unit: String,
    },
    /// The unit is of another kind.
    #[error("{got} can not be compared with a number in {wanted}")]
    WrongUnit {
        /// The quantity that was given.
        got: Quantity,
        /// The unit that is wanted, in words.
        wanted: String,
    },
}

fn known() -> String {
    Unit::ALL.iter().map(|unit| unit.symbol()).filter(|symbol| !symbol.is_empty()).collect::<Vec<_>>().join(", ")
}

impl Quantity {
    /// A number with its unit.
    #[must_use]
    pub const fn new(value: f64, unit: Unit) -> Self {
        Self { value, unit }
    }

    /// The same with as many digits as a document holds: four behind the point, none where they would say nothing. So a
    /// document reads back as exactly what was written.
    #[must_use]
    pub fn rounded(self) -> Self {
        Self { value: rounded(self.value), ..self }
    }

    /// Reads `75 %`, `75%`, `2 GiB`, `3`.
    ///
    /// # Errors
    /// When there is no number, or a unit that is not known.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let text = text.trim();
        let end = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+'))).unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let value: f64 = number.parse().map_err(|_| QuantityError::NotANumber(text.to_owned()))?;
        let unit = unit.trim();
        let unit = Unit::parse(unit)
            .ok_or_else(|| QuantityError::UnknownUnit { text: text.to_owned(), unit: unit.to_owned() })?;
        Ok(Self { value, unit })
    }

    /// The same in another unit.
    ///
    /// # Errors
    /// When the two units do not measure the same.
    pub fn to(self, unit: Unit) -> Result<Self, QuantityError> {
        let ((from, scale), (into, wanted)) = (self.unit.scale(), unit.scale());
        if from != into {
            let wanted = if unit == Unit::Count { "plain counts".to_owned() } else { unit.to_string() };
            return Err(QuantityError::WrongUnit { got: self, wanted });
        }
        if self.unit == unit {
            return Ok(self);
        }
        Ok(Self { value: self.value * scale / wanted, unit })
    }
}

/// A number with as many digits as a document holds.
pub(crate) fn rounded(value: f64) -> f64 {
    const LARGE: f64 = 1e9;
    if value.abs() >= LARGE { value.round() } else { (value * 1e4).round() / 1e4 }
}

impl fmt::Display for Quantity {
    /// At most two decimals: a report is read by people, the exact number stands in the readings.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, unit) = shown(*self);
        let text = format!("{value:.2}");
        let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
        if unit == Unit::Count { f.write_str(text) } else { write!(f, "{text} {unit}") }
    }
}

/// Sizes in the unit in which they have few digits.
fn shown(quantity: Quantity) -> (f64, Unit) {
    if quantity.unit != Unit::Bytes {
        return (quantity.value, quantity.unit);
    }
    [Unit::Tebibytes, Unit::Gibibytes, Unit::Mebibytes, Unit::Kibibytes]
        .into_iter()
        .find(|unit| quantity.value.abs() >= unit.scale().1)
        .map_or((quantity.value, Unit::Bytes), |unit| (quantity.value / unit.scale().1, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_is_read_converted_and_shown() {
        for (text, unit, wanted) in [
            ("75 %", Unit::Percent, "75 %"),
            ("75%", Unit::Percent, "75 %"),
            ("2 GiB", Unit::Bytes, "2 GiB"),
            ("1536 MiB", Unit::Bytes, "1.5 GiB"),
            ("0.5 s", Unit::Milliseconds, "500 ms"),
            ("36 h", Unit::Days, "1.5 d"),
            ("3", Unit::Count, "3"),
            ("-1", Unit::Count, "-1"),
            ("1 /s", Unit::PerHour, "3600 /h"),
            ("0 B", Unit::Bytes, "0 B"),
        ] {
            assert_eq!(Quantity::parse(text).unwrap().to(unit).unwrap().to_string(), wanted, "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused_with_its_reason() {
        for (text, wanted) in
            [("lots", "is not a number"), ("", "is not a number"), ("3 parsec", "unknown unit \"parsec\"")]
        {
            let error = Quantity::parse(text).unwrap_err().to_string();
            assert!(error.contains(wanted), "{text}: {error}");
        }
        let error = Quantity::parse("10 ms").unwrap().to(Unit::Percent).unwrap_err().to_string();
        assert_eq!(error, "10 ms can not be compared with a number in %");
    }

    #[test]
    fn a_unit_is_stored_as_its_symbol() {
        for unit in Unit::ALL {
            assert_eq!(serde_json::to_string(&unit).unwrap(), format!("{:?}", unit.symbol()));
        }
    }
}
