//! Sets of record numbers, small while they have few holes.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A set of numbers, kept as ranges: a run without loss is one range, whatever its length.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub struct Numbers {
    /// First number of a range to its last. Ranges neither overlap nor touch.
    ranges: BTreeMap<u64, u64>,
}

impl Numbers {
    /// Adds a number. False when it was in the set already.
    pub fn insert(&mut self, number: u64) -> bool {
        if self.contains(number) {
            return false;
        }
        let mut range = (number, number);
        if let Some((&first, _)) = self.ranges.range(..number).next_back().filter(|(_, last)| **last + 1 == number) {
            range.0 = first;
        }
        if let Some(last) = number.checked_add(1).and_then(|next| self.ranges.remove(&next)) {
            range.1 = last;
        }
        self.ranges.insert(range.0, range.1);
        true
    }

    /// Whether a number is in the set.
    #[must_use]
    pub fn contains(&self, number: u64) -> bool {
        self.ranges.range(..=number).next_back().is_some_and(|(_, &last)| number <= last)
    }

    /// How many numbers are in the set.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.ranges.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// The numbers of this set that are not in the other one, in rising order.
    pub fn without<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = u64> + 'a {
        self.ranges.iter().flat_map(|(&first, &last)| first..=last).filter(|&number| !other.contains(number))
    }
}

impl FromIterator<u64> for Numbers {
    fn from_iter<I: IntoIterator<Item = u64>>(numbers: I) -> Self {
        let mut set = Self::default();
        for number in numbers {
            set.insert(number);
        }
        set
    }
}

/// Ranges of a file may overlap, touch or be backwards; they are put right.
impl From<Vec<(u64, u64)>> for Numbers {
    fn from(mut ranges: Vec<(u64, u64)>) -> Self {
        ranges.retain(|(first, last)| first <= last);
        ranges.sort_unstable();
        let mut set = BTreeMap::new();
        let mut open: Option<(u64, u64)> = None;
        for (first, last) in ranges {
            open = Some(match open {
                Some((start, end)) if first <= end.saturating_add(1) => (start, end.max(last)),
                Some((start, end)) => {
                    set.insert(start, end);
                    (first, last)
                }
                None => (first, last),
            });
        }
        set.extend(open);
        Self { ranges: set }
    }
}

impl From<Numbers> for Vec<(u64, u64)> {
    fn from(numbers: Numbers) -> Self {
        numbers.ranges.into_iter().collect()
    }
}

/// How many numbers a list keeps; a person needs some to look up, not all.
const LISTED: usize = 100;

/// A count of numbers and the first hundred of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// How many.
    pub count: u64,
    /// The first of them.
    pub first: Vec<u64>,
}

impl Listed {
    /// Counts a number, and keeps it while there is room.
    pub fn push(&mut self, number: u64) {
        self.count += 1;
        if self.first.len() < LISTED {
            self.first.push(number);
        }
    }
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 5;
        write!(f, "{}", self.count)?;
        for (n, number) in self.first.iter().take(SHOWN).enumerate() {
            write!(f, "{}{number}", if n == 0 { " (" } else { ", " })?;
        }
        match (self.first.len(), usize::try_from(self.count)) {
            (0, _) => Ok(()),
            (_, Ok(count)) if count <= SHOWN => write!(f, ")"),
            (_, Ok(_) | Err(_)) => write!(f, ", ...)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Ranges = [(u64, u64)];

    #[test]
    fn numbers_in_any_order_grow_together_into_ranges() {
        let cases: [(&[u64], &Ranges); 6] = [
            (&[], &[]),
            (&[0, 1, 2], &[(0, 2)]),
            (&[2, 0, 1], &[(0, 2)]),
            (&[5, 3, 1], &[(1, 1), (3, 3), (5, 5)]),
            (&[1, 3, 5, 2, 4], &[(1, 5)]),
            (&[u64::MAX, u64::MAX - 1], &[(u64::MAX - 1, u64::MAX)]),
        ];
        for (numbers, ranges) in cases {
            let set: Numbers = numbers.iter().copied().collect();
            assert_eq!(Vec::from(set.clone()), ranges, "{numbers:?}");
            assert_eq!(set.count(), numbers.len() as u64);
            assert!(numbers.iter().all(|&number| set.contains(number)));
        }
    }

    #[test]
    fn a_number_goes_in_once() {
        let mut set = Numbers::default();
        assert!(set.insert(7));
        assert!(!set.insert(7));
        assert_eq!((set.count(), set.contains(6), set.contains(8)), (1, false, false));
    }

    #[test]
    fn what_is_in_one_set_and_not_in_the_other_comes_in_order() {
        let one = Numbers::from(vec![(0, 5), (10, 12)]);
        let other = Numbers::from(vec![(1, 2), (4, 11)]);
        assert_eq!(one.without(&other).collect::<Vec<_>>(), [0, 3, 12]);
    }

    #[test]
    fn ranges_of_a_file_are_put_right() {
        let set = Numbers::from(vec![(8, 9), (5, 4), (0, 3), (2, 6), (7, 7)]);
        assert_eq!(Vec::from(set.clone()), [(0, 9)]);
        let text = serde_json::to_string(&set).unwrap();
        assert_eq!((text.as_str(), serde_json::from_str::<Numbers>(&text).unwrap()), ("[[0,9]]", set));
    }

    #[test]
    fn a_list_prints_its_count_and_some_of_its_numbers() {
        let mut list = Listed::default();
        assert_eq!(list.to_string(), "0");
        list.push(7);
        assert_eq!(list.to_string(), "1 (7)");
        (10..210).for_each(|number| list.push(number));
        assert_eq!(list.to_string(), "201 (7, 10, 11, 12, 13, ...)");
        assert_eq!(list.first.len(), LISTED);
    }
}
