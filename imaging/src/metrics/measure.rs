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
/// both masks over the pixels in either. Or the mean of several such, as mIoU is of its classes.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// What it is.
    pub metric: Metric,
    /// Sums above and below.
    pub ratios: Vec<[f64; 2]>,
}

impl Measure {
    /// One sum over another.
    pub fn new(metric: Metric, numerator: f64, denominator: f64) -> Self {
        Self { metric, ratios: vec![[numerator, denominator]] }
    }

    /// The pooled value, of several ratios the mean of those that are defined; none when nothing was measured or none is
    /// defined.
    pub fn value(&self) -> Option<f64> {
        let defined = self.ratios.iter().filter(|[_, below]| *below != 0.0);
        let (sum, count) = defined.fold((0.0, 0_u32), |(sum, count), [above, below]| (sum + above / below, count + 1));
        (count > 0).then(|| sum / f64::from(count))
    }

    fn add(&mut self, other: &Self) {
        assert_eq!(self.ratios.len(), other.ratios.len(), "a metric has as many ratios everywhere");
        for (ours, theirs) in self.ratios.iter_mut().zip(&other.ratios) {
            *ours = [ours[0] + theirs[0], ours[1] + theirs[1]];
        }
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
                Some(ours) => ours.add(theirs),
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
        let part = |above, below| Measures(vec![Measure::new(iou.clone(), above, below)]);
        let mut all = Measures::default();
        assert_eq!(all.value("iou"), None);
        all.add(&part(1.0, 4.0));
        all.add(&part(0.0, 0.0));
        all.add(&part(5.0, 6.0));
        assert_eq!((all.value("iou"), all.value("dice")), (Some(0.6), None));
        assert!(iou.improves(0.6, 0.5) && !Metric::new("loss", "loss", Better::Lower).improves(0.6, 0.5));
    }

    #[test]
    fn a_mean_of_ratios_pools_each_and_leaves_out_what_is_not_defined() {
        let mean = |ratios: [[f64; 2]; 3]| {
            Measures(vec![Measure { metric: Metric::new("miou", "mIoU", Better::Higher), ratios: ratios.to_vec() }])
        };
        let mut all = mean([[1.0, 2.0], [0.0, 0.0], [0.0, 0.0]]);
        assert_eq!(all.value("miou"), Some(0.5));
        all.add(&mean([[0.0, 2.0], [3.0, 4.0], [0.0, 0.0]]));
        assert_eq!(all.value("miou"), Some((0.25 + 0.75) / 2.0));
        assert_eq!(mean([[0.0; 2]; 3]).value("miou"), None);
    }
}
