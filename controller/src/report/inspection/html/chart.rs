//! Small lines of numbers over nights, as SVG paths.

use crate::report::inspection::Night;
use kfleet_inspect::Bilingual;
use serde::Serialize;
use std::fmt::Write as _;

/// The box that the template draws them in, with room for the stroke.
const WIDTH: f64 = 120.0;
const HEIGHT: f64 = 26.0;
const EDGE: f64 = 3.0;

/// A line to be drawn.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Spark {
    /// The line; a night without a number breaks it.
    pub(super) path: String,
    /// Where the last number is.
    pub(super) x: String,
    pub(super) y: String,
    /// What it shows.
    pub(super) words: Bilingual,
    /// The same in both languages, for those who do not see it.
    pub(super) label: String,
}

/// Draws nights from the first to the last; `scale` is the range of the box, or that of the numbers themselves. Fewer
/// than two numbers are no line.
pub(super) fn spark(nights: &[Night], scale: Option<(f64, f64)>, words: Bilingual) -> Option<Spark> {
    let known = || nights.iter().filter_map(|night| night.value).filter(|value| value.is_finite());
    if known().count() < 2 {
        return None;
    }
    let (low, high) = scale.unwrap_or_else(|| (known().fold(f64::MAX, f64::min), known().fold(f64::MIN, f64::max)));
    let steps = f64::from(u32::try_from(nights.len() - 1).unwrap_or(u32::MAX)).max(1.0);
    let x = |n: usize| EDGE + (WIDTH - 2.0 * EDGE) * f64::from(u32::try_from(n).unwrap_or(u32::MAX)) / steps;
    let y = |value: f64| match high - low {
        // What never moved is a line in the middle.
        range if range <= f64::EPSILON * high.abs() => HEIGHT / 2.0,
        range => HEIGHT - EDGE - (HEIGHT - 2.0 * EDGE) * ((value - low) / range).clamp(0.0, 1.0),
    };
    let (mut path, mut pen_up, mut last) = (String::new(), true, (0.0, 0.0));
    for (n, night) in nights.iter().enumerate() {
        let Some(value) = night.value.filter(|value| value.is_finite()) else {
            pen_up = true;
            continue;
        };
        last = (x(n), y(value));
        let _never_fails = write!(path, "{}{:.1} {:.1}", if pen_up { 'M' } else { 'L' }, last.0, last.1);
        pen_up = false;
    }
    let label = format!("{} · {}", words.en, words.zh);
    Some(Spark { path, x: format!("{:.1}", last.0), y: format!("{:.1}", last.1), words, label })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn nights(values: &[Option<f64>]) -> Vec<Night> {
        values.iter().map(|value| Night { at: Timestamp::UNIX_EPOCH, value: *value }).collect()
    }

    fn words() -> Bilingual {
        Bilingual { en: "x".to_owned(), zh: "y".to_owned() }
    }

    #[test]
    fn a_line_fills_its_box_and_breaks_where_a_night_is_missing() {
        let line = spark(&nights(&[Some(0.0), Some(10.0), None, Some(5.0)]), None, words()).unwrap();
        assert_eq!(line.path, "M3.0 23.0L41.0 3.0M117.0 13.0");
        assert_eq!((line.x.as_str(), line.y.as_str()), ("117.0", "13.0"));
        assert_eq!(line.label, "x · y");
    }

    #[test]
    fn what_never_moved_is_in_the_middle_and_one_night_is_no_line() {
        let line = spark(&nights(&[Some(7.0), Some(7.0)]), None, words()).unwrap();
        assert_eq!(line.path, "M3.0 13.0L117.0 13.0");
        for few in [&[][..], &[Some(1.0)], &[Some(1.0), None], &[Some(f64::NAN), Some(1.0)]] {
            assert_eq!(spark(&nights(few), None, words()), None);
        }
    }

    #[test]
    fn a_given_scale_holds_and_what_is_outside_stays_in_the_box() {
        let line = spark(&nights(&[Some(50.0), Some(150.0)]), Some((0.0, 100.0)), words()).unwrap();
        assert_eq!(line.path, "M3.0 13.0L117.0 3.0");
    }
}
