//! Which tasks a run takes: `--tags`, `--skip-tags`, `--start-at-task`.
//!
//! Source of the rules: "Tags" in Ansible's documentation, with the special words `always`, `never`, `tagged`,
//! `untagged` and `all`.
//! Not here: rendering of tags that are templates; the caller gives them rendered.

use crate::plan::Plan;
use kfleet_model::module::nearest;
use std::cmp::Ordering;
use std::collections::BTreeSet;

/// The tags of a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagChoice {
    only: BTreeSet<String>,
    skip: BTreeSet<String>,
}

impl Default for TagChoice {
    fn default() -> Self {
        Self::new(&[], &[])
    }
}

impl TagChoice {
    /// Takes the words of `--tags` and `--skip-tags`; each may hold several with commas between. No `--tags` means
    /// `all`.
    #[must_use]
    pub fn new(only: &[String], skip: &[String]) -> Self {
        let words = |list: &[String]| -> BTreeSet<String> {
            let words = list.iter().flat_map(|item| item.split(',')).map(str::trim);
            words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
        };
        let mut only = words(only);
        if only.is_empty() {
            only.insert("all".to_owned());
        }
        Self { only, skip: words(skip) }
    }

    /// Every task runs but those that are tagged `never`.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a task with these tags is taken.
    #[must_use]
    pub fn takes(&self, tags: &[String]) -> bool {
        let has = |word: &str| tags.iter().any(|tag| tag == word);
        let meets = |words: &BTreeSet<String>| {
            tags.iter().any(|tag| words.contains(tag)) || (tags.is_empty() && words.contains("untagged"))
        };
        let wanted = has("always")
            || (self.only.contains("all") && !has("never"))
            || meets(&self.only)
            || (self.only.contains("tagged") && !tags.is_empty() && !has("never"));
        let skipped = if self.skip.contains("all") {
            !has("always") || self.skip.contains("always")
        } else {
            meets(&self.skip) || (self.skip.contains("tagged") && !tags.is_empty())
        };
        wanted && !skipped
    }
}

/// The task at which a run begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartAt {
    play: u32,
    path: String,
}

impl StartAt {
    /// Finds the first task with a name; `*` and `?` stand for any characters, and the role's name may be before it
    /// (`kafka : Install`).
    ///
    /// # Errors
    /// The nearest name, when no task has this one.
    pub fn find(plan: &Plan, name: &str) -> Result<Self, Option<String>> {
        let mut known: Vec<String> = Vec::new();
        for play in &plan.plays {
            for task in play.all_tasks() {
                let Some(own) = &task.name else { continue };
                let title = task.title();
                if matches(name, &own.text) || matches(name, &title) {
                    return Ok(Self { play: play.index, path: task.path.clone() });
                }
                known.extend([own.text.clone(), title]);
            }
        }
        Err(nearest(name, known.iter().map(String::as_str)))
    }

    /// Whether a task is the one to begin with, or comes after it.
    #[must_use]
    pub fn reached(&self, play: u32, path: &str) -> bool {
        play > self.play || (play == self.play && compare_paths(path, &self.path) != Ordering::Less)
    }
}

/// Compares two paths of tasks by their numbers: `2.9` comes before `2.10`.
#[must_use]
pub fn compare_paths(one: &str, other: &str) -> Ordering {
    let mut one = one.split('.');
    let mut other = other.split('.');
    loop {
        let order = match (one.next(), other.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(a), Some(b)) => match (a.parse::<u64>(), b.parse::<u64>()) {
                (Ok(a), Ok(b)) => a.cmp(&b),
                (Ok(_) | Err(_), Ok(_) | Err(_)) => a.cmp(b),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// A shell's pattern against a whole text.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    // The place behind the last star, and the text from which it was tried: going back there is enough.
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(c) if *c == '?' || Some(c) == text.get(t) => {
                p += 1;
                t += 1;
            }
            Some(_) | None => match star {
                Some((behind, from)) => {
                    p = behind;
                    t = from + 1;
                    star = Some((behind, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_choose_tasks_as_in_ansible() {
        // --tags, --skip-tags, tags of the task, taken
        let cases = [
            ("", "", "", true),
            ("", "", "a", true),
            ("", "", "never", false),
            ("", "", "never,a", false),
            ("a", "", "never,a", true),
            ("never", "", "never", true),
            ("a", "", "a", true),
            ("a", "", "b", false),
            ("a", "", "", false),
            ("a,b", "", "b", true),
            ("a", "", "always", true),
            ("a", "always", "always", false),
            ("tagged", "", "a", true),
            ("tagged", "", "", false),
            ("tagged", "", "never", false),
            ("untagged", "", "", true),
            ("untagged", "", "a", false),
            ("untagged", "", "always", true),
            ("all", "", "never", false),
            ("", "a", "a", false),
            ("", "a", "b", true),
            ("", "a", "", true),
            ("", "a", "always,a", false),
            ("", "tagged", "a", false),
            ("", "tagged", "", true),
            ("", "untagged", "", false),
            ("", "all", "a", false),
            ("", "all", "always", true),
            ("a", "b", "a,b", false),
        ];
        for (only, skip, tags, wanted) in cases {
            let list = |text: &str| text.split(',').filter(|t| !t.is_empty()).map(str::to_owned).collect::<Vec<_>>();
            let choice = TagChoice::new(&[only.to_owned()], &[skip.to_owned()]);
            assert_eq!(choice.takes(&list(tags)), wanted, "--tags '{only}' --skip-tags '{skip}' on '{tags}'");
        }
        assert!(TagChoice::default().is_default());
    }

    #[test]
    fn paths_are_compared_by_their_numbers() {
        let sorted = ["0", "0.1", "0.2", "0.10", "1", "2.0.1", "10"];
        for (one, other) in sorted.iter().zip(sorted.iter().skip(1)) {
            assert_eq!(compare_paths(one, other), Ordering::Less, "{one} {other}");
            assert_eq!(compare_paths(other, one), Ordering::Greater, "{other} {one}");
        }
        assert_eq!(compare_paths("1.2", "1.2"), Ordering::Equal);
    }

    #[test]
    fn names_match_like_in_a_shell() {
        let cases = [
            ("Install kafka", "Install kafka", true),
            ("Install*", "Install kafka", true),
            ("*kafka", "Install kafka", true),
            ("I*l*a", "Install kafka", true),
            ("Install ?afka", "Install kafka", true),
            ("Install", "Install kafka", false),
            ("*x*", "Install kafka", false),
            ("**", "", true),
        ];
        for (pattern, text, wanted) in cases {
            assert_eq!(matches(pattern, text), wanted, "{pattern} {text}");
        }
    }

    #[test]
    fn a_run_can_begin_at_a_task() {
        let site = "- hosts: a\n  tasks:\n    - {name: one, ping: }\n    - block:\n        - {name: two, ping: }\n    - {name: three, ping: }\n";
        let files = crate::files::MemoryFiles::new([("site.yml", site)]);
        let catalogue = crate::catalogue::Catalogue::new(&[], ["debug"]);
        let options = crate::parse::Options::default();
        let plan = crate::parse::load_playbooks(&files, &catalogue, &options, &["site.yml".to_owned()]).plan;
        let start = StartAt::find(&plan, "tw*").unwrap();
        let reached: Vec<bool> = plan.plays[0].all_tasks().map(|task| start.reached(0, &task.path)).collect();
        assert_eq!(reached, [false, true, true]);
        assert!(start.reached(1, "0"));
        assert_eq!(StartAt::find(&plan, "thre"), Err(Some("three".to_owned())));
    }
}
