//! Compiled templates, shared by all hosts and tasks, and never more than a bounded number of them.
//!
//! Two generations: a full young one becomes the old one, and what is used again moves back. That is nearly as good as
//! least-recently-used and needs no bookkeeping on a hit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// How a text is read, and so part of what makes a compiled template the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Mode {
    /// The value of a variable or parameter.
    Variable,
    /// A file given to the template module, an include, or the template lookup.
    File,
}

/// Entries in one generation; a large playbook has some thousand different texts.
const GENERATION: usize = 4096;

pub(super) struct Cache<K, V> {
    generations: Mutex<(HashMap<K, V>, HashMap<K, V>)>,
}

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self { generations: Mutex::new((HashMap::new(), HashMap::new())) }
    }
}

impl<V: Clone> Cache<Arc<str>, V> {
    pub(super) fn get(&self, key: &str) -> Option<V> {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let (young, old) = &mut *generations;
        if let Some(value) = young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = old.remove_entry(key)?;
        young.insert(key, value.clone());
        Some(value)
    }

    pub(super) fn put(&self, key: &str, value: V) {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let (young, old) = &mut *generations;
        if young.len() >= GENERATION {
            *old = std::mem::take(young);
        }
        young.insert(key.into(), value);
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        generations.0.len() + generations.1.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_stays_bounded_and_keeps_what_is_used() {
        let cache = Cache::<Arc<str>, usize>::default();
        cache.put("used", 7);
        for at in 0..3 * GENERATION {
            cache.put(&at.to_string(), at);
            assert_eq!(cache.get("used"), Some(7));
        }
        assert!(cache.len() <= 2 * GENERATION + 1);
        assert_eq!(cache.get("0"), None);
    }
}
