//! Robust statistics: medians and the median of the distances from them.

/// A quantile of sorted numbers, with straight lines between them.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place in a list of nights"
)]
pub(crate) fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = share.clamp(0.0, 1.0) * last as f64;
    let low = *sorted.get(place.floor() as usize)?;
    let high = *sorted.get(place.ceil() as usize)?;
    Some(low + (high - low) * place.fract())
}

/// The middle of sorted numbers.
#[must_use]
pub(crate) fn median(sorted: &[f64]) -> Option<f64> {
    quantile(sorted, 0.5)
}

/// The median, and the robust standard deviation: 1.4826 times the median distance from it, which is the standard
/// deviation of numbers that are normally distributed.
#[must_use]
pub(crate) fn spread(numbers: &[f64]) -> Option<(f64, f64)> {
    let mut sorted: Vec<f64> = numbers.iter().copied().filter(|number| number.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let middle = median(&sorted)?;
    let mut distances: Vec<f64> = sorted.iter().map(|number| (number - middle).abs()).collect();
    distances.sort_by(f64::total_cmp);
    Some((middle, 1.4826 * median(&distances)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_spread_are_those_of_the_many() {
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(median(&[1.0, 2.0, 4.0]), Some(2.0));
        assert_eq!(median(&[1.0, 2.0]), Some(1.5));
        assert_eq!(quantile(&[0.0, 10.0], 0.25), Some(2.5));
        let (middle, deviation) = spread(&[1.0, 2.0, 3.0, 4.0, 1000.0]).unwrap();
        assert!((middle - 3.0).abs() < 1e-9 && (deviation - 1.4826).abs() < 1e-9);
    }
}
