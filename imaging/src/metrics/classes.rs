//! How well pixels are told apart into several classes: IoU and accuracy of each class, and their means.
//!
//! mmsegmentation's `IoUMetric`: intersections, unions and true pixels are summed over the whole set for each class, the
//! background among them; pixels that nobody judged count for nothing; a class that neither truth nor prediction shows is
//! left out of the mean. (There percentages, here shares.)

use super::measure::{Better, Measure, Measures, Metric};
use super::overlap::Counts;

/// Mean over the background and the classes of their IoU.
pub const MEAN_IOU: Metric = Metric::new("miou", "mIoU", Better::Higher);

/// Mean over the background and the classes of their accuracy.
pub const MEAN_ACCURACY: Metric = Metric::new("mean_accuracy", "mean accuracy", Better::Higher);

/// What class 0 is called.
pub const BACKGROUND: &str = "background";

const OF_CLASS: [(&str, &str); 2] = [("iou_", "IoU of "), ("accuracy_", "accuracy of ")];

/// The metric of one class that has this name, `iou_nerve` for example.
pub fn of_class(name: &str) -> Option<Metric> {
    let (class, label) = OF_CLASS.iter().find_map(|(start, label)| Some((name.strip_prefix(start)?, label)))?;
    let (name, label) = (name.to_owned().into(), format!("{label}{class}").into());
    Some(Metric { name, label, ..Metric::new("", "", Better::Higher) })
}

/// Everything that is measured of two masks with these classes, numbered from 1 in their order: the means, then the IoU of
/// each class, then its accuracy, which is the share of its true pixels that are found.
///
/// # Shapes
/// - `predicted`, `truth`: any, both the same; where `truth` is `Mask::IGNORE` nothing counts
pub fn class_measures(predicted: &[u8], truth: &[u8], classes: &[String]) -> Measures {
    let numbers = 0..=u8::try_from(classes.len()).unwrap_or(u8::MAX);
    let counts: Vec<Counts> = numbers.map(|class| Counts::from_classes(predicted, truth, class)).collect();
    let iou = |counts: &Counts| [counts.tp, counts.tp + counts.fp + counts.fn_].map(|pixels| pixels as f64);
    let accuracy = |counts: &Counts| [counts.tp, counts.tp + counts.fn_].map(|pixels| pixels as f64);
    let ratios: [Vec<[f64; 2]>; 2] = [counts.iter().map(iou).collect(), counts.iter().map(accuracy).collect()];
    let names = || std::iter::once(BACKGROUND).chain(classes.iter().map(String::as_str));
    let mut measures = Vec::with_capacity(2 * counts.len() + 2);
    for (metric, ratios) in [MEAN_IOU, MEAN_ACCURACY].into_iter().zip(&ratios) {
        measures.push(Measure { metric, ratios: ratios.clone() });
    }
    for ((start, _), ratios) in OF_CLASS.iter().zip(&ratios) {
        for (name, &[above, below]) in names().zip(ratios) {
            measures.extend(of_class(&format!("{start}{name}")).map(|metric| Measure::new(metric, above, below)));
        }
    }
    Measures(measures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hand_computed_pixels() {
        let classes = ["nerve", "vessel", "bone"].map(str::to_owned);
        let truth = [0, 0, 1, 1, 2, 2, 255, 255];
        let mut measures = class_measures(&[0, 1, 1, 1, 1, 2, 3, 0], &truth, &classes);
        let value = |measures: &Measures, name: &str| measures.value(name);
        assert_eq!(value(&measures, "iou_background"), Some(0.5));
        assert_eq!(value(&measures, "iou_nerve"), Some(0.5));
        assert_eq!((value(&measures, "iou_vessel"), value(&measures, "accuracy_nerve")), (Some(0.5), Some(1.0)));
        assert_eq!(value(&measures, "iou_bone"), None, "predicted only where nobody judged");
        assert_eq!((value(&measures, "miou"), value(&measures, "mean_accuracy")), (Some(0.5), Some(2.0 / 3.0)));
        // Other pixels pool with them: a vessel that is missed, a bone that is none.
        measures.add(&class_measures(&[0, 3], &[2, 0], &classes));
        assert_eq!((value(&measures, "iou_vessel"), value(&measures, "iou_bone")), (Some(1.0 / 3.0), Some(0.0)));
        assert_eq!(value(&measures, "miou"), Some((0.25 + 0.5 + 1.0 / 3.0) / 4.0));
        assert_eq!(value(&measures, "accuracy_bone"), None);
    }

    #[test]
    fn the_metric_of_a_class_is_known_by_its_name() {
        let metric = of_class("iou_left nerve").unwrap();
        assert_eq!((&*metric.name, &*metric.label), ("iou_left nerve", "IoU of left nerve"));
        assert!(of_class("iou").is_none() && of_class("miou").is_none());
    }
}
