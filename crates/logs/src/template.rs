//! Templates: errors that no signature knows, with what changes from line to line taken out, and counted.
//!
//! Like Drain (He et al., ICWS 2017) in what it gives, simpler in how: the parts that change are told by their form
//! (numbers, addresses, ids, paths, names of partitions, quoted texts), so a line alone decides its template and no tree has to
//! be kept from night to night.

use crate::lines::beginning;
use jiff::Timestamp;
use regex::Regex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// So many templates are held. A log has some dozens; what makes more is a text that changes in a form that is not known.
pub const TEMPLATES: usize = 500;

/// So much of a template is kept.
const TEMPLATE_LIMIT: usize = 400;

/// What changes, by its form, and what stands for it. The order matters: an address has numbers in it.
static FORMS: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    let forms = [
        (r#""[^"]*"|'[^']*'"#, "<text>"),
        (r"\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b", "<id>"),
        (r"\b\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}[.,\d]*(Z|[+-]\d{2}:?\d{2})?", "<time>"),
        (r"(/[\w.@+\-]+){2,}/?", "<path>"),
        (r"/?\b\d{1,3}(\.\d{1,3}){3}(:\d+)?\b", "<address>"),
        (r"\b[\w\-]+(\.[\w\-]+)+:\d+\b", "<address>"),
        (r"\b0x[0-9a-fA-F]+\b", "<id>"),
        // Kafka's ids are 22 characters of URL-safe base64, and git's, hashes and the like are long hex.
        (r"\b[A-Za-z0-9_\-]{22}\b", "<id>"),
        (r"\b[0-9a-fA-F]{16,}\b", "<id>"),
        (r"\b[\w.]+-\d+\b", "<partition>"),
        (r"-?\b\d+(\.\d+)?", "<n>"),
    ];
    forms.into_iter().filter_map(|(form, name)| Some((Regex::new(form).ok()?, name))).collect()
});

/// The template of a message.
#[must_use]
pub fn template(message: &str) -> String {
    let mut text = beginning(message, 4 * TEMPLATE_LIMIT).to_owned();
    for (form, name) in FORMS.iter() {
        text = form.replace_all(&text, *name).into_owned();
    }
    beginning(&text, TEMPLATE_LIMIT).to_owned()
}

/// A template and how often it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unknown {
    /// The template.
    pub template: String,
    /// How many records have it.
    pub count: u64,
    /// The first of them, secrets hidden.
    pub example: String,
    /// Its time.
    pub first: Option<Timestamp>,
    /// That of the last one.
    pub last: Option<Timestamp>,
}

/// Templates of one host.
#[derive(Debug, Default)]
pub struct Templates {
    all: BTreeMap<String, Unknown>,
    /// Records whose template came when there was no room.
    others: u64,
}

impl Templates {
    /// Counts a record by its message.
    pub fn add(&mut self, message: &str, example: &str, at: Option<Timestamp>) {
        let template = template(message);
        if let Some(known) = self.all.get_mut(&template) {
            known.count += 1;
            known.last = at.or(known.last);
        } else if self.all.len() < TEMPLATES {
            let example = crate::secret::masked(example).into_owned();
            let unknown = Unknown { template: template.clone(), count: 1, example, first: at, last: at };
            self.all.insert(template, unknown);
        } else {
            self.others += 1;
        }
    }

    /// The most frequent ones, and how many records are in none of them.
    #[must_use]
    pub fn top(self, most: usize) -> (Vec<Unknown>, u64) {
        let mut all: Vec<Unknown> = self.all.into_values().collect();
        all.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.template.cmp(&b.template)));
        let rest: u64 = all.iter().skip(most).map(|unknown| unknown.count).sum();
        all.truncate(most);
        (all, rest + self.others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_is_taken_out() {
        for (message, wanted) in [
            (
                "Failed to append 17 records to orders-3 at offset 18243",
                "Failed to append <n> records to <partition> at offset <n>",
            ),
            (
                "Error from /198.51.100.7:51234 (id 6d3c7ad2-f5e2-4c41-ae5a-b1c1d0b8a9de)",
                "Error from <address> (id <id>)",
            ),
            ("Session 0x100000a1b2c0001 of kafka-1.example.com:9092", "Session <id> of <address>"),
            ("Can not open /var/lib/kafka/data/orders-3/00017.log", "Can not open <path>"),
            ("Topic 'a b' of \"c\" took 1.5 s", "Topic <text> of <text> took <n> s"),
            ("Topic id 4L6g3nShTeMCtKX86swAAA is unknown", "Topic id <id> is unknown"),
            ("At 2026-01-02T03:04:05.678Z it ended", "At <time> it ended"),
            ("Nothing changes", "Nothing changes"),
        ] {
            assert_eq!(template(message), wanted);
        }
    }

    #[test]
    fn the_most_frequent_come_first_and_the_rest_is_counted() {
        let mut templates = Templates::default();
        for n in 0..10 {
            templates.add(&format!("often {n}"), &format!("often {n} password=x"), None);
        }
        templates.add("seldom", "seldom", None);
        let words = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
        for a in words {
            for b in words {
                for c in words {
                    templates.add(&format!("flood {a}{b}{c}"), "", None);
                }
            }
        }
        assert_eq!(templates.all.len(), TEMPLATES);
        let (top, rest) = templates.top(2);
        assert_eq!((top[0].template.as_str(), top[0].count), ("often <n>", 10));
        assert_eq!(top[0].example, "often 0 password=********");
        assert_eq!(rest, 1000 + 1 - 1);
    }

    #[test]
    fn all_forms_can_be_compiled() {
        assert_eq!(FORMS.len(), 11);
    }
}
