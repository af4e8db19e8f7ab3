//! An axis of a plot: linear or logarithmic, with ticks at round numbers.

use std::ops::Range;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};

/// An axis.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    low: f64,
    high: f64,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Linear,
    /// Ticks at whole numbers only.
    Whole,
    Logarithmic,
}

/// Logarithmic from this ratio of the largest to the smallest value on.
const WIDE: f64 = 30.0;
/// The largest ratio that a logarithmic axis shows; smaller values lie on its lower end.
const WIDEST: f64 = 1e9;
/// Larger values leave a gap.
const LARGEST: f64 = 1e100;

/// True for values that a plot can show.
pub(crate) fn drawable(value: f64) -> bool {
    value.abs() <= LARGEST
}

impl Axis {
    /// From 0 to `high`, with whole ticks.
    pub(crate) fn counting(high: f64) -> Self {
        Self { low: 0.0, high: if high > 0.0 { high } else { 1.0 }, kind: Kind::Whole }
    }

    /// Room for so many names, at 1, 2 and so on.
    pub(crate) fn named(count: usize) -> Self {
        Self { low: 0.5, high: count.max(1) as f64 + 0.5, kind: Kind::Whole }
    }

    /// From 0 to a little more than `high`.
    pub(crate) fn from_zero(high: f64) -> Self {
        Self { low: 0.0, high: if high > 0.0 { 1.06 * high } else { 1.0 }, kind: Kind::Linear }
    }

    /// From 0 to 1.
    pub(crate) fn share() -> Self {
        Self { low: 0.0, high: 1.0, kind: Kind::Linear }
    }

    /// Around the drawable values, with some room; logarithmic where they are positive and span decades. `None` without any.
    pub(crate) fn fitted(values: impl Iterator<Item = f64>) -> Option<Self> {
        let start = (f64::INFINITY, f64::NEG_INFINITY);
        let (low, high) =
            values.filter(|&value| drawable(value)).fold(start, |(low, high), value| (low.min(value), high.max(value)));
        if low > high {
            return None;
        }
        if low > 0.0 && high / low > WIDE {
            let low = low.max(high / WIDEST);
            return Some(Self { low: low / 1.2, high: high * 1.2, kind: Kind::Logarithmic });
        }
        let span = if high > low { high - low } else { low.abs().max(1e-12) };
        // Losses and rates are not negative: an axis that nearly starts at 0 does.
        let room = 0.06 * span;
        let bottom = if low >= 0.0 && low < 0.5 * high { 0.0 } else { low - room };
        Some(Self { low: bottom, high: high + room, kind: Kind::Linear })
    }

    pub(crate) fn is_logarithmic(&self) -> bool {
        self.kind == Kind::Logarithmic
    }

    /// At most about `count` round values inside.
    fn ticks(&self, count: usize) -> Vec<f64> {
        let count = count.max(2);
        if self.kind == Kind::Logarithmic {
            let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
            let ticks = |digits: &[i32], powers: usize| -> Vec<f64> {
                let values = (first..=last)
                    .step_by(powers)
                    .flat_map(|power| digits.iter().map(move |&digit| f64::from(digit) * 10.0_f64.powi(power)));
                values.filter(|&tick| self.low <= tick && tick <= self.high).collect()
            };
            let choices = [ticks(&[1, 2, 5], 1), ticks(&[1, 3], 1), ticks(&[1], 1), ticks(&[1], 2), ticks(&[1], 4)];
            return choices.into_iter().find(|ticks| ticks.len() <= count).unwrap_or_default();
        }
        let rough = (self.high - self.low) / count as f64;
        let magnitude = 10.0_f64.powf(rough.log10().floor());
        let round = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * magnitude);
        let mut step = round.into_iter().find(|&step| step >= rough * 0.999).unwrap_or(magnitude);
        if self.kind == Kind::Whole {
            step = step.max(1.0);
        }
        let (first, last) = ((self.low / step).ceil() as i64, (self.high / step + 1e-9).floor() as i64);
        (first..=last).take(100).map(|index| index as f64 * step).collect()
    }

    /// Where a value lies, 0 to 1.
    fn position(&self, value: f64) -> f64 {
        let share = match self.kind {
            Kind::Logarithmic => (value.max(f64::MIN_POSITIVE) / self.low).ln() / (self.high / self.low).ln(),
            Kind::Linear | Kind::Whole => (value - self.low) / (self.high - self.low),
        };
        share.clamp(-0.1, 1.1)
    }
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        limit.0 + (f64::from(limit.1 - limit.0) * self.position(*value)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        self.ticks(hint.max_num_points())
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

/// A tick as people write it.
pub(crate) fn tick_label(value: f64) -> String {
    if value != 0.0 && !(1e-3..1e5).contains(&value.abs()) {
        return format!("{value:.1e}").replace(".0e", "e");
    }
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(Axis::share().ticks(5), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        assert_eq!(Axis::counting(3.0).ticks(8), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(Axis::counting(50.0).ticks(6), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]);
        let wide = Axis::fitted([0.004, 2.0].into_iter()).unwrap();
        assert!(wide.is_logarithmic());
        assert_eq!((wide.ticks(4), wide.ticks(6).len()), (vec![0.01, 0.1, 1.0], 5));
        assert_eq!(
            ["0.6", "1e-4", "0", "120", "2.5e-5"],
            [0.6000000000000001, 1e-4, 0.0, 120.0, 2.5e-5].map(tick_label).each_ref().map(String::as_str)
        );
    }

    #[test]
    fn any_values_give_an_axis_that_maps_to_pixels() {
        let tries: [&[f64]; 6] =
            [&[1.0], &[0.0, 0.0], &[-3.0, 5.0], &[1e-300, 1e90], &[f64::NAN, 2.0, f64::INFINITY], &[-1e99, 1e99]];
        for values in tries {
            let axis = Axis::fitted(values.iter().copied()).unwrap();
            assert!(axis.low < axis.high && axis.ticks(6).len() < 100, "{values:?}: {axis:?}");
            for value in values.iter().copied().filter(|&value| drawable(value)) {
                assert!((-20..=220).contains(&axis.map(&value, (0, 200))), "{value} on {axis:?}");
            }
        }
        assert!(Axis::fitted([f64::NAN, 1e300].into_iter()).is_none());
    }
}
