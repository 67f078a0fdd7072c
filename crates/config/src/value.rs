//! Whether a text is a value of a key's type and range, as `ConfigDef.parseType` and its validators decide.

use crate::Release;
use crate::definitions::{Definition, Kind, Valid};

/// What is wrong with a value. The value itself is not named here: it may be secret.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Wrong {
    /// It is not of the type.
    #[error("must be {0}")]
    Type(&'static str),
    /// It is smaller or larger than what is taken.
    #[error("must be {}", range(*.min, *.max, *.or))]
    Range {
        /// The smallest number.
        min: Option<f64>,
        /// The largest.
        max: Option<f64>,
        /// One more number that is taken.
        or: Option<f64>,
    },
    /// It is none of the words that are taken.
    #[error("must be {}{}", if *.list { "made of " } else { "one of " }, .words.join(", "))]
    Word {
        /// The words.
        words: Vec<&'static str>,
        /// Several may be given.
        list: bool,
    },
    /// It is empty.
    #[error("must not be empty")]
    Empty,
    /// It is a release later than the service's own.
    #[error("must be no later than {0}, the release itself")]
    Later(Release),
}

fn range(min: Option<f64>, max: Option<f64>, or: Option<f64>) -> String {
    let range = match (min, max) {
        (Some(min), Some(max)) => format!("from {min} to {max}"),
        (Some(min), None) => format!("at least {min}"),
        (None, Some(max)) => format!("at most {max}"),
        (None, None) => "a number".to_owned(),
    };
    or.map_or(range.clone(), |or| format!("{range}, or {or}"))
}

/// Judges a value without blanks around it.
pub(crate) fn check(definition: &Definition, value: &str, release: Release) -> Result<(), Wrong> {
    let number = match definition.kind {
        Kind::Boolean => {
            let known = value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false");
            return if known { Ok(()) } else { Err(Wrong::Type("true or false")) };
        }
        Kind::Short => value.parse::<i16>().map(f64::from).map_err(|_| Wrong::Type("a whole number of 16 bits"))?,
        Kind::Int => value.parse::<i32>().map(f64::from).map_err(|_| Wrong::Type("a whole number of 32 bits"))?,
        Kind::Long => whole(value)?,
        Kind::Double => value.parse::<f64>().map_err(|_| Wrong::Type("a number"))?,
        Kind::Class if value.contains(char::is_whitespace) => return Err(Wrong::Type("the name of a class")),
        Kind::String | Kind::List | Kind::Class | Kind::Password => return text(definition, value, release),
    };
    match definition.valid {
        Valid::Range { min, max, or } => {
            let inside = min.is_none_or(|min| number >= min) && max.is_none_or(|max| number <= max);
            let extra = or.is_some_and(|or| (number - or).abs() < f64::EPSILON);
            if inside || extra { Ok(()) } else { Err(Wrong::Range { min, max, or }) }
        }
        Valid::Any | Valid::Words { .. } | Valid::NotEmpty | Valid::ProtocolVersion => Ok(()),
    }
}

/// The bounds of the tables are small, so nothing is lost where it matters.
#[expect(clippy::cast_precision_loss, reason = "compared with small bounds only")]
fn whole(value: &str) -> Result<f64, Wrong> {
    value.parse::<i64>().map(|number| number as f64).map_err(|_| Wrong::Type("a whole number of 64 bits"))
}

fn text(definition: &Definition, value: &str, release: Release) -> Result<(), Wrong> {
    match &definition.valid {
        Valid::Words { words, any_case } => {
            let list = definition.kind == Kind::List;
            let known =
                |item: &str| words.iter().any(|word| *word == item || (*any_case && word.eq_ignore_ascii_case(item)));
            let fits = if list { items(value).all(known) } else { known(value) };
            if fits { Ok(()) } else { Err(Wrong::Word { words: words.clone(), list }) }
        }
        Valid::NotEmpty if value.is_empty() => Err(Wrong::Empty),
        Valid::ProtocolVersion => match value.parse::<Release>() {
            // Old protocols have three numbers (0.10.2); all of them are earlier than any release of the tables.
            Ok(asked) if asked <= release => Ok(()),
            Ok(_) => Err(Wrong::Later(release)),
            Err(_) => Err(Wrong::Type("a release such as 3.9")),
        },
        Valid::Any | Valid::Range { .. } | Valid::NotEmpty => Ok(()),
    }
}

/// The parts of a list, without blanks around them and without empty ones.
pub(crate) fn items(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use crate::definitions::KAFKA;

    #[test]
    fn values_are_judged_as_kafka_judges_them() {
        for (key, version, value, wanted) in [
            ("auto.create.topics.enable", "3.9.1", "TRUE", None),
            ("auto.create.topics.enable", "3.9.1", "yes", Some("must be true or false")),
            ("num.io.threads", "3.9.1", "8", None),
            ("num.io.threads", "3.9.1", " 8 ", None),
            ("num.io.threads", "3.9.1", "0", Some("must be at least 1")),
            ("num.io.threads", "3.9.1", "8k", Some("must be a whole number of 32 bits")),
            ("num.io.threads", "3.9.1", "3000000000", Some("must be a whole number of 32 bits")),
            ("num.io.threads", "3.9.1", "", Some("must be a whole number of 32 bits")),
            ("log.retention.bytes", "3.9.1", "3000000000", None),
            ("offsets.topic.replication.factor", "3.9.1", "40000", Some("must be a whole number of 16 bits")),
            ("log.cleaner.min.cleanable.ratio", "3.9.1", "1.5", Some("must be from 0 to 1")),
            ("compression.type", "3.9.1", "zstd", None),
            (
                "compression.type",
                "3.9.1",
                "brotli",
                Some("must be one of uncompressed, zstd, lz4, snappy, gzip, producer"),
            ),
            ("compression.gzip.level", "3.9.1", "-1", None),
            ("compression.gzip.level", "3.9.1", "0", Some("must be from 1 to 9, or -1")),
            ("process.roles", "3.9.1", "broker, controller", None),
            ("process.roles", "3.9.1", "brokers", Some("must be made of broker, controller")),
            ("inter.broker.protocol.version", "3.9.1", "3.8-IV0", None),
            ("inter.broker.protocol.version", "3.9.1", "2.8", None),
            ("inter.broker.protocol.version", "3.6.2", "3.9", Some("must be no later than 3.6, the release itself")),
            ("group.consumer.migration.policy", "4.1.1", "Upgrade", None),
            ("num.io.threads", "3.9.1", "${file:/etc/kafka/numbers:threads}", None),
        ] {
            let release = version.parse().unwrap();
            let got = KAFKA.get(key, release).unwrap().check(value, release).map_err(|wrong| wrong.to_string());
            assert_eq!(got.err().as_deref(), wanted, "{key}={value} in {version}");
        }
    }
}
