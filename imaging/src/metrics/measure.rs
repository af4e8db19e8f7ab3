//! A quantity with a name, pooled over frames: what training logs, what reports show and what a study compares.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// Which way a metric gets better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// Larger values.
    Higher,
    /// Smaller values.
    Lower,
}

/// What a number means and how it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metric {
    /// Short name in files: `iou`.
    pub name: Cow<'static, str>,
    /// What people read: `IoU`.
    pub label: Cow<'static, str>,
    /// Unit, or empty.
    pub unit: Cow<'static, str>,
    /// Digits behind the point.
    pub digits: usize,
    /// Which way it gets better.
    pub better: Better,
}

impl Metric {
    /// A metric without a unit, four digits.
    pub const fn new(name: &'static str, label: &'static str, better: Better) -> Self {
        Self { name: Cow::Borrowed(name), label: Cow::Borrowed(label), unit: Cow::Borrowed(""), digits: 4, better }
    }

    /// True when `new` is better than `old`.
    pub fn improves(&self, new: f64, old: f64) -> bool {
        match self.better {
            Better::Higher => new > old,
            Better::Lower => new < old,
        }
    }
}

/// A metric over some frames, as one sum over another, so that the parts of a set pool exactly: the IoU is the pixels in
/// both masks over the pixels in either.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// What it is.
    pub metric: Metric,
    /// The sum above.
    pub numerator: f64,
    /// The sum below.
    pub denominator: f64,
}

impl Measure {
    /// The pooled value; none when nothing was measured or it is not defined.
    pub fn value(&self) -> Option<f64> {
        (self.denominator != 0.0).then(|| self.numerator / self.denominator)
    }
}

/// Several metrics of the same frames.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measures(pub Vec<Measure>);

impl Measures {
    /// Pool with those of other frames.
    pub fn add(&mut self, other: &Self) {
        for theirs in &other.0 {
            match self.0.iter_mut().find(|ours| ours.metric.name == theirs.metric.name) {
                Some(ours) => {
                    ours.numerator += theirs.numerator;
                    ours.denominator += theirs.denominator;
                }
                None => self.0.push(theirs.clone()),
            }
        }
    }

    /// The pooled value of the metric `name`, where it is measured and defined.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|measure| measure.metric.name == name)?.value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_pool_as_sums_over_sums() {
        let iou = Metric::new("iou", "IoU", Better::Higher);
        let part = |numerator, denominator| Measures(vec![Measure { metric: iou.clone(), numerator, denominator }]);
        let mut all = Measures::default();
        assert_eq!(all.value("iou"), None);
        all.add(&part(1.0, 4.0));
        all.add(&part(0.0, 0.0));
        all.add(&part(5.0, 6.0));
        assert_eq!((all.value("iou"), all.value("dice")), (Some(0.6), None));
        assert!(iou.improves(0.6, 0.5) && !Metric::new("loss", "loss", Better::Lower).improves(0.6, 0.5));
    }
}
