//! Figures of one method on one set of frames.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::Figure;
use crate::geometry::Needle;
use crate::metrics::bootstrap::{Interval, interval};
use crate::metrics::classes::{MEAN_ACCURACY, MEAN_IOU, of_class};
use crate::metrics::logged;
use crate::metrics::measure::Better::{Higher, Lower};
use crate::metrics::measure::{Better, Measure, Measures, Metric};
use crate::metrics::needle::{NeedleError, NeedleScores, NeedleSummary, Statistic};
use crate::metrics::overlap::{Counts, OverlapIntervals, OverlapSummary};

/// Seed of the bootstrap: the same frames always give the same intervals.
const BOOTSTRAP_SEED: u64 = 0;

/// How one method did on one frame.
#[derive(Clone, Debug)]
pub struct Score {
    /// What was reported, in pixels of the network's input.
    pub needle: Option<Needle>,
    /// Pixels right and wrong.
    pub counts: Counts,
    /// None where the truth is a mask, which has no tip.
    pub error: Option<NeedleError>,
    /// Confidence in the needle.
    pub confidence: f64,
    /// What else is measured of the mask.
    pub shape: Measures,
}

impl Score {
    /// Whether the classes of the mask are told apart.
    pub fn tells_classes(&self) -> bool {
        self.shape.0.iter().any(|measure| measure.metric == MEAN_IOU)
    }
}

/// What was measured, and all of it as figures.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Pixels.
    pub overlap: OverlapSummary,
    /// Intervals of the pixels' figures.
    pub overlap_intervals: OverlapIntervals,
    /// Pixels by group; `needle.groups` holds the same groups.
    pub overlap_groups: BTreeMap<String, OverlapSummary>,
    /// Needles.
    pub needle: NeedleSummary,
    /// Everything that tables show, in their order.
    pub figures: Vec<Figure>,
    /// The same for every group, without intervals.
    #[serde(skip)]
    pub groups: BTreeMap<String, Vec<Figure>>,
}

impl Figures {
    /// Of frames with the names of their groups.
    pub fn new(frames: &[(&str, &Score)]) -> Self {
        let mut figures = Self::whole(frames);
        let names: BTreeSet<&str> = frames.iter().map(|(group, _)| *group).collect();
        for name in names {
            let of_group: Vec<(&str, &Score)> = frames.iter().filter(|(group, _)| *group == name).copied().collect();
            figures.groups.insert(name.to_owned(), Self::whole(&of_group).figures);
        }
        figures
    }

    fn whole(frames: &[(&str, &Score)]) -> Self {
        let mut needles = NeedleScores::default();
        let mut groups: BTreeMap<String, Vec<Counts>> = BTreeMap::new();
        for (group, Score { counts, error, .. }) in frames {
            if let Some(error) = error {
                needles.push(group, *error, counts.tp + counts.fp);
            }
            groups.entry((*group).to_owned()).or_default().push(*counts);
        }
        let overlap_groups = groups.iter().map(|(name, counts)| (name.clone(), OverlapSummary::new(counts))).collect();
        let groups: Vec<Vec<Counts>> = groups.into_values().collect();
        let mut figures = Self {
            overlap: OverlapSummary::new(&groups.concat()),
            overlap_intervals: OverlapIntervals::new(&groups, BOOTSTRAP_SEED),
            overlap_groups,
            needle: needles.summary(BOOTSTRAP_SEED),
            figures: Vec::new(),
            groups: BTreeMap::new(),
        };
        let of_needles = if figures.has_needles() { NEEDLES } else { MASKS };
        let lines = |lines: &[Line]| lines.iter().map(|line| line.of(&figures)).collect::<Vec<_>>().into_iter();
        let (pixels, further) = (lines(PIXELS), lines(of_needles));
        figures.figures = if frames.iter().any(|(_, score)| score.tells_classes()) {
            let one = |figure: Figure| {
                let label = format!("{}; all classes as one", figure.metric.label).into();
                let metric = Metric { label, ..figure.metric };
                Figure { metric, by_set: false, by_group: false, ..figure }
            };
            shape(frames).into_iter().chain(pixels.chain(further).map(one)).collect()
        } else {
            pixels.chain(shape(frames)).chain(further).collect()
        };
        figures
    }

    /// Whether the truth is needles; masks of a class have no tip.
    pub fn has_needles(&self) -> bool {
        self.needle.tally.frames > 0
    }

    /// The figure of this name.
    pub fn get(&self, name: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.metric.name == name)
    }
}

/// What is measured as one sum over another, pooled over the frames, with intervals over their groups.
fn shape(frames: &[(&str, &Score)]) -> Vec<Figure> {
    let mut groups: BTreeMap<&str, Measures> = BTreeMap::new();
    let mut all = Measures::default();
    for (group, score) in frames {
        groups.entry(group).or_default().add(&score.shape);
        all.add(&score.shape);
    }
    let groups: Vec<Measures> = groups.into_values().collect();
    let of = |measure: &Measure| {
        let name = &*measure.metric.name;
        let pooled = |drawn: &[&Measures]| {
            let mut sum = Measures::default();
            drawn.iter().for_each(|measures| sum.add(measures));
            sum.value(name).unwrap_or(f64::NAN)
        };
        let undefined = frames.iter().filter(|(_, score)| score.shape.value(name).is_none()).count();
        let means = [MEAN_IOU, MEAN_ACCURACY].iter().any(|metric| metric.name == name);
        let listed = means || (of_class(name).is_some() && name.starts_with("iou"));
        Figure {
            metric: measure.metric.clone(),
            short: measure.metric.label.clone().into_owned(),
            value: measure.value().unwrap_or(f64::NAN),
            interval: Some(interval(&groups, pooled, BOOTSTRAP_SEED)),
            undefined: Some(undefined as u64),
            counts: None,
            scaled: false,
            by_set: listed,
            by_group: listed,
        }
    };
    all.0.iter().map(of).collect()
}

/// What a line says of a method.
#[derive(Default)]
struct Reading {
    value: f64,
    interval: Option<Interval>,
    undefined: Option<u64>,
    counts: Option<[u64; 2]>,
}

impl Reading {
    fn pooled(value: f64, interval: Interval) -> Self {
        Self { value, interval: Some(interval), ..Self::default() }
    }

    fn of_frames(value: f64, interval: Interval, undefined: u64) -> Self {
        Self { undefined: Some(undefined), ..Self::pooled(value, interval) }
    }

    fn median(statistic: &Statistic) -> Self {
        let interval = Interval { low: statistic.median_low, high: statistic.median_high };
        Self::of_frames(statistic.median, interval, statistic.undefined)
    }

    /// A share of cases: so many of so many.
    fn share(some: u64, others: u64, rate: f64, interval: Interval) -> Self {
        Self { counts: Some([some, some + others]), ..Self::pooled(rate, interval) }
    }

    fn plain(value: f64) -> Self {
        Self { value, ..Self::default() }
    }
}

/// Where a figure is shown beside the table of all.
#[derive(Clone, Copy, PartialEq)]
enum Shown {
    Set,
    Group,
    Both,
    Neither,
}

struct Line {
    name: &'static str,
    label: &'static str,
    short: &'static str,
    unit: &'static str,
    digits: usize,
    better: Better,
    shown: Shown,
    read: fn(&Figures) -> Reading,
}

impl Line {
    /// What the figure is, called by this.
    fn metric(&self, label: &'static str) -> Metric {
        let Self { name, unit, digits, better, .. } = *self;
        Metric { name: name.into(), label: label.into(), unit: unit.into(), digits, better }
    }

    fn of(&self, figures: &Figures) -> Figure {
        let Reading { value, interval, undefined, counts } = (self.read)(figures);
        Figure {
            metric: self.metric(self.label),
            short: self.short.into(),
            value,
            interval,
            undefined,
            counts,
            scaled: self.name.ends_with("mm"),
            by_set: matches!(self.shown, Shown::Set | Shown::Both),
            by_group: matches!(self.shown, Shown::Group | Shown::Both),
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "the columns of a table, written as one")]
const fn line(
    name: &'static str,
    label: &'static str,
    short: &'static str,
    unit: &'static str,
    digits: usize,
    better: Better,
    shown: Shown,
    read: fn(&Figures) -> Reading,
) -> Line {
    Line { name, label, short, unit, digits, better, shown, read }
}

#[rustfmt::skip]
const PIXELS: &[Line] = &[
    line("iou", "IoU, pooled", "IoU", "", 3, Higher, Shown::Both,
        |f| Reading::pooled(f.overlap.iou, f.overlap_intervals.iou)),
    line("dice", "Dice, pooled", "Dice", "", 3, Higher, Shown::Group,
        |f| Reading::pooled(f.overlap.dice, f.overlap_intervals.dice)),
    line("precision", "Precision, pooled", "precision", "", 3, Higher, Shown::Both,
        |f| Reading::pooled(f.overlap.precision, f.overlap_intervals.precision)),
    line("recall", "Recall, pooled", "recall", "", 3, Higher, Shown::Both,
        |f| Reading::pooled(f.overlap.recall, f.overlap_intervals.recall)),
    line("mean_iou_ignore", "IoU, mean of the frames with a target", "mean IoU", "", 3, Higher, Shown::Neither,
        |f| Reading::of_frames(f.overlap.mean_iou_ignore, f.overlap_intervals.mean_iou_ignore, f.overlap.empty_frames)),
    line("mean_iou_one", "IoU, mean of all frames (nothing found where nothing is = 1)", "mean IoU", "", 3, Higher,
        Shown::Neither, |f| Reading::of_frames(f.overlap.mean_iou_one, f.overlap_intervals.mean_iou_one, 0)),
];

/// Of masks that are no needles.
#[rustfmt::skip]
const MASKS: &[Line] = &[
    line("mean_dice_one", "Dice, mean of all frames (nothing found where nothing is = 1)", "mean Dice", "", 3, Higher,
        Shown::Set, |f| Reading::plain(f.overlap.mean_dice_one)),
    line("mean_pixel_error", "Pixel error, mean of all frames, %", "error %", "%", 2, Lower, Shown::Set,
        |f| Reading::plain(f.overlap.mean_pixel_error)),
    line("mean_adjusted_rand", "Adjusted Rand index, mean of all frames", "adj. Rand", "", 3, Higher, Shown::Set,
        |f| Reading::plain(f.overlap.mean_adjusted_rand)),
];

#[rustfmt::skip]
const NEEDLES: &[Line] = &[
    line("tip_px_all", "Tip error of all needles, px (a missed one is infinitely far)", "tip px, all", "px", 2, Lower,
        Shown::Set, |f| Reading::of_frames(f.needle.tip_px_median_misses_infinite,
            f.needle.intervals.tip_px_median_misses_infinite, 0)),
    line("tip_px", "Tip error, px", "tip px", "px", 2, Lower, Shown::Group, |f| Reading::median(&f.needle.tip_px)),
    line("entry_px", "Entry error, px", "entry px", "px", 2, Lower, Shown::Neither,
        |f| Reading::median(&f.needle.entry_px)),
    line("angle_deg", "Angle error, degrees", "angle", "degrees", 2, Lower, Shown::Both,
        |f| Reading::median(&f.needle.angle_deg)),
    line("offset_px", "Offset of the shaft, px", "offset px", "px", 2, Lower, Shown::Group,
        |f| Reading::median(&f.needle.offset_px)),
    line("length_px", "Error of the length, px", "length px", "px", 2, Lower, Shown::Neither,
        |f| Reading::median(&f.needle.length_px)),
    line("tip_mm", "Tip error, mm", "tip mm", "mm", 2, Lower, Shown::Both, |f| Reading::median(&f.needle.tip_mm)),
    line("entry_mm", "Entry error, mm", "entry mm", "mm", 2, Lower, Shown::Neither,
        |f| Reading::median(&f.needle.entry_mm)),
    line("offset_mm", "Offset of the shaft, mm", "offset mm", "mm", 2, Lower, Shown::Neither,
        |f| Reading::median(&f.needle.offset_mm)),
    line("length_mm", "Error of the length, mm", "length mm", "mm", 2, Lower, Shown::Neither,
        |f| Reading::median(&f.needle.length_mm)),
    line("success_1mm", "Share of needles whose tip is found to less than 1 mm", "tip < 1 mm", "", 3, Higher,
        Shown::Neither, |f| Reading::pooled(f.needle.success_1mm, f.needle.intervals.success_1mm)),
    line("success_2mm", "Share of needles whose tip is found to less than 2 mm", "tip < 2 mm", "", 3, Higher,
        Shown::Neither, |f| Reading::pooled(f.needle.success_2mm, f.needle.intervals.success_2mm)),
    line("success_3mm", "Share of needles whose tip is found to less than 3 mm", "tip < 3 mm", "", 3, Higher,
        Shown::Group, |f| Reading::pooled(f.needle.success_3mm, f.needle.intervals.success_3mm)),
    line("miss_rate", "Share of visible needles that were missed", "missed", "", 3, Lower, Shown::Both, |f| {
        let tally = &f.needle.tally;
        Reading::share(tally.missed, tally.found, tally.miss_rate(), f.needle.intervals.miss_rate)
    }),
    line("false_positive_rate", "Share of needle-free frames with a false needle", "false needles", "", 3, Lower,
        Shown::Both, |f| {
        let (tally, interval) = (&f.needle.tally, f.needle.intervals.false_positive_rate);
        Reading::share(tally.false_positive, tally.empty, tally.false_positive_rate(), interval)
    }),
    line("false_positive_pixels", "Pixels marked on needle-free frames", "false px", "px", 0, Lower, Shown::Neither,
        |f| Reading::plain(f.overlap.false_positive_pixels as f64)),
];

/// What the figure of this name is, called by its short name. None where no evaluation gives such a figure.
pub fn metric(name: &str) -> Option<Metric> {
    let mut lines = [PIXELS, MASKS, NEEDLES].into_iter().flatten();
    lines.find(|line| line.name == name).map(|line| line.metric(line.short)).or_else(|| logged(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Point;
    use crate::metrics::classes::class_measures;

    fn score(tip_x: f64, shape: Measures) -> Score {
        let needle = |x| Needle { entry: Point { x: 0.0, y: 0.0 }, tip: Point { x, y: 40.0 } };
        let error = NeedleError::new(Some(&needle(tip_x)), Some(&needle(40.0)), None);
        let counts = Counts { tp: 3, fp: 1, fn_: 0, tn: 6 };
        Score { needle: Some(needle(tip_x)), counts, error: Some(error), confidence: 1.0, shape }
    }

    #[test]
    fn figures_of_sets_and_groups_and_of_what_nobody_here_knows() {
        let round = Metric::new("roundness", "roundness", Higher);
        let of = |above| Measures(vec![Measure::new(round.clone(), above, 2.0)]);
        let [a, b, c] = [score(42.0, of(1.0)), score(44.0, of(2.0)), score(46.0, Measures::default())];
        let figures = Figures::new(&[("p1", &a), ("p1", &c), ("p2", &b)]);
        let get = |name: &str| figures.get(name).unwrap();
        assert_eq!((get("iou").value, get("tip_px").value, get("roundness").value), (0.75, 4.0, 0.75));
        assert_eq!((get("roundness").undefined, get("miss_rate").counts), (Some(1), Some([0, 3])));
        assert!(get("roundness").interval.unwrap().low <= 0.75 && get("tip_mm").value.is_nan() && get("tip_mm").scaled);
        let tip =
            |group: &str| figures.groups[group].iter().find(|figure| figure.metric.name == "tip_px").unwrap().value;
        assert_eq!((tip("p1"), tip("p2")), (4.0, 4.0));
        let class = Score { error: None, needle: None, ..a };
        let figures = Figures::new(&[("p1", &class)]);
        assert!(!figures.has_needles() && figures.get("tip_px").is_none() && figures.get("mean_dice_one").is_some());
        let tip = metric("tip_px").unwrap();
        assert_eq!((&*tip.label, &*tip.unit, tip.better), ("tip px", "px", Lower));
        assert_eq!(metric("cl_recall"), logged("cl_recall"));
        assert!(metric("iuo").is_none());
        let words: String = figures.figures.iter().map(|figure| figure.metric.label.to_lowercase()).collect();
        assert!(!words.contains("needle") && !words.contains("tip"), "{words}");
    }

    #[test]
    fn figures_of_classes_come_first_and_the_rest_is_of_all_as_one() {
        let classes = ["nerve", "vessel"].map(str::to_owned);
        let of = |predicted: &[u8]| Score {
            needle: None,
            error: None,
            shape: class_measures(predicted, &[0, 1, 1, 0], &classes),
            ..score(0.0, Measures::default())
        };
        let [a, b] = [of(&[0, 1, 1, 0]), of(&[0, 1, 0, 0])];
        let figures = Figures::new(&[("p1", &a), ("p2", &b)]);
        let names: Vec<&str> = figures.figures.iter().take(5).map(|figure| &*figure.metric.name).collect();
        assert_eq!(names, ["miou", "mean_accuracy", "iou_background", "iou_nerve", "iou_vessel"]);
        let get = |name: &str| figures.get(name).unwrap();
        assert_eq!((get("iou_background").value, get("iou_nerve").value), (0.8, 0.75));
        assert_eq!(get("miou").value, (0.8 + 0.75) / 2.0);
        assert!(get("iou_vessel").value.is_nan() && get("iou_vessel").undefined == Some(2));
        let interval = get("miou").interval.unwrap();
        assert!(interval.low < 0.775 && interval.high == 1.0, "{interval:?}");
        assert!(get("miou").by_set && get("iou_nerve").by_group && !get("accuracy_nerve").by_set);
        assert!(!get("iou").by_set && get("iou").metric.label.ends_with("; all classes as one"));
    }
}
