//! Simulated needle insertions in B-mode ultrasound, with exact ground truth.
//!
//! Scatterers and structures of a layered body (`tissue`, `structures`, `sheets`, `bath`) pass through the point-spread
//! function of a probe (`field`, `probe`); every frame moves them (`motion`), adds the needle (`shaft`), compresses the echoes (`render`)
//! and spoils the picture the way machines and files do (`marks`, `degrade`). Everything follows from the seed, the
//! number of the procedure and the [`NeedleSimConfig`].
//!
//! **Ground truth.** [`SimFrame::needle`] is the *visible* shaft as a straight line: from where the shaft enters the
//! scan area (or the imaging plane, when its first part lies outside the plane) to the visible tip, which is the true
//! tip unless that has left the plane or the picture. A needle that does not stand out from what is beside it is not
//! drawn (`seen`). A bent shaft is labelled by the chord between its visible ends. Drop-outs inside the shaft belong to
//! it. The end that counts as the tip is the deeper one, and within 5 degrees of horizontal the one farther from its side
//! edge, as everywhere in this crate.
//!
//! [`simulate_in_tissue`] (`ground`, `screen`) puts the same needle into frames of a real machine; `simulated` makes samples to
//! learn from of it.

mod bath;
mod body;
mod config;
mod degrade;
mod field;
mod ground;
mod knee;
mod machine;
mod marks;
mod motion;
mod probe;
mod real_screen;
mod render;
mod screen;
mod seen;
mod shaft;
mod sheets;
mod simulated;
mod structures;
mod tissue;

pub use config::{Difficulty, DifficultyConfig, NeedleSimConfig, Range};
pub use ground::simulate_in_tissue;
pub use knee::{Effusion, KneeFrame, KneeSim, KneeSimConfig, Structure};
pub use machine::MachineConfig;
pub use probe::ProbeKind;
pub use render::ProcedureSim;
pub use simulated::{Beside, Simulated};

use crate::geometry::{Image, Mask, Spacing};
use crate::geometry::{Needle, Point};

/// One frame and the truth about it.
#[derive(Clone, Debug, PartialEq)]
pub struct SimFrame {
    /// Grey picture with its scale.
    pub image: Image,
    /// Visible entry and visible tip in pixels, or that no needle is visible.
    pub needle: Option<Needle>,
    /// 1 on the visible shaft at its displayed width, `[1, height, width]`; empty when `needle` is none.
    pub mask: Mask,
    /// The true tip when it lies in the picture, also when it cannot be seen because it is out of the plane.
    pub true_tip: Option<Point>,
    /// True when the capture repeated the previous frame.
    pub duplicate: bool,
}

/// One simulated insertion.
#[derive(Clone, Debug, PartialEq)]
pub struct Procedure {
    /// `p` and the number of the procedure, for example `p0003`.
    pub id: String,
    /// How hard it is.
    pub difficulty: Difficulty,
    /// Frames per second of the capture.
    pub fps: f64,
    /// Size of a pixel.
    pub spacing: Spacing,
    /// Shape of the scan area.
    pub probe: ProbeKind,
    /// Frames in time order.
    pub frames: Vec<SimFrame>,
}

/// Procedure `index` of `seed`. For one frame at a time use [`ProcedureSim`].
pub fn simulate_procedure(config: &NeedleSimConfig, seed: u64, index: u64, frames: usize) -> Procedure {
    let sim = ProcedureSim::new(config, seed, index, frames);
    Procedure {
        id: format!("p{index:04}"),
        difficulty: sim.difficulty(),
        fps: sim.fps(),
        spacing: sim.spacing(),
        probe: sim.probe(),
        frames: (0..frames).map(|t| sim.frame(t)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Scale;

    /// A bright, whole, straight needle in dim tissue, and nothing else in the picture.
    fn plain(probe_weights: [f64; 3]) -> NeedleSimConfig {
        let config = NeedleSimConfig::default();
        let simple = DifficultyConfig {
            shaft_db: [34.0, 36.0],
            least_shaft_db: 34.0,
            dropout_share: [0.0, 0.0],
            beads: [0.0, 0.0],
            streaks: [0, 0],
            tip_out_share: 0.0,
            needle_out_share: 0.0,
            entry_hidden_share: 0.0,
            no_needle_share: 0.0,
            ..config.simple
        };
        NeedleSimConfig {
            difficulty: Some(Difficulty::Simple),
            simple,
            probe_weights,
            noise_db: [-80.0, -80.0],
            near_field_db: [-60.0, -60.0],
            tissue_level: [0.1, 0.15],
            vessels: [0, 0],
            bone_share: 0.0,
            nerve_share: 0.0,
            phantom_share: 1.0,
            bath_share: 0.0,
            sheets: [0, 0],
            stubs: [0, 0],
            reverberation_share: 0.0,
            shallow_reverberation_share: 0.0,
            comet_share: 0.0,
            shadow_share: 0.0,
            double_wall_share: 0.0,
            bow_mm: [0.0, 0.0],
            marks_share: 0.0,
            resampling_share: 0.0,
            jpeg_share: 0.0,
            ..config
        }
    }

    fn at(image: &Image, x: f64, y: f64) -> Option<f64> {
        let (column, row) = (x.floor(), y.floor());
        if column < 0.0 || row < 0.0 || column + 1.0 >= image.width as f64 || row + 1.0 >= image.height as f64 {
            return None;
        }
        let index = row as usize * image.width + column as usize;
        let value = |offset: usize| f64::from(image.pixels[index + offset]);
        let (fx, fy) = (x - column, y - row);
        Some(
            (value(0) * (1.0 - fx) + value(1) * fx) * (1.0 - fy)
                + (value(image.width) * (1.0 - fx) + value(image.width + 1) * fx) * fy,
        )
    }

    #[test]
    fn a_needle_that_does_not_stand_out_is_neither_drawn_nor_labelled() {
        let with = |least_contrast| {
            let config = NeedleSimConfig { difficulty: Some(Difficulty::Hard), ..NeedleSimConfig::default() };
            let hard = DifficultyConfig { shaft_db: [9.0, 16.0], least_shaft_db: 9.0, ..config.hard };
            NeedleSimConfig { least_contrast, hard, ..config }
        };
        let (mut kept, mut left_out, mut too_short) = (0, 0, 0);
        for index in 0..40 {
            let [all, seen] = [0.0, 1.2].map(|least| ProcedureSim::new(&with(least), 5, index, 2));
            for t in 0..all.len() {
                let (all, seen) = (all.frame(t), seen.frame(t));
                if all.needle.is_none() {
                    assert!(seen.needle.is_none() && seen.mask.is_empty(), "procedure {index}, frame {t}");
                    too_short += usize::from(seen.image != all.image);
                } else if seen.needle.is_none() {
                    assert!(seen.mask.is_empty() && seen.image != all.image, "procedure {index}, frame {t}");
                    left_out += 1;
                } else {
                    assert_eq!(seen, all, "procedure {index}, frame {t}");
                    kept += 1;
                }
            }
        }
        assert!(too_short > 0, "a needle that is too short for a label was drawn in no frame");
        assert!(kept > 5 && left_out > 2, "{kept} kept, {left_out} left out");
    }

    #[test]
    fn a_visible_shaft_shorter_than_a_share_of_the_depth_is_not_labelled() {
        let config = NeedleSimConfig {
            probe_weights: [1.0, 0.0, 0.0],
            linear_width_mm: [40.0, 40.0],
            linear_depth_mm: [40.0, 40.0],
            stretched_share: 0.0,
            least_contrast: 0.0,
            ..NeedleSimConfig::default()
        };
        let lengths = |least_visible_share| -> Vec<f64> {
            let config = NeedleSimConfig { least_visible_share, ..config.clone() };
            let sims = (0..24).map(|index| ProcedureSim::new(&config, 6, index, 2));
            sims.flat_map(|sim| {
                let mm = sim.spacing().x_mm;
                (0..2).filter_map(|t| sim.frame(t).needle).map(|needle| needle.length_px() * mm).collect::<Vec<_>>()
            })
            .collect()
        };
        let (short, long) = (lengths(0.0), lengths(0.3));
        assert!(short.iter().any(|&mm| mm < 11.0), "{short:?}");
        assert!(!long.is_empty() && long.iter().all(|&mm| mm > 11.5), "{long:?}");
        assert_eq!(long.len(), short.iter().filter(|&&mm| mm >= 12.0).count());
    }

    #[test]
    fn the_bright_ridge_lies_on_the_label_and_ends_at_the_tip() {
        for weights in [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]] {
            let mut checked = 0;
            let (mut beyond, mut before) = (0.0, 0.0);
            for index in 0..6 {
                let sim = ProcedureSim::new(&plain(weights), 77, index, 12);
                let frame = sim.frame(10);
                let Some(Needle { entry, tip }) = frame.needle else { continue };
                let length = (tip.x - entry.x).hypot(tip.y - entry.y);
                let (dx, dy) = ((tip.x - entry.x) / length, (tip.y - entry.y) / length);
                for share in [0.2, 0.35, 0.5, 0.65, 0.8] {
                    let (x, y) = (entry.x + share * length * dx, entry.y + share * length * dy);
                    let profile: Option<Vec<(f64, f64)>> = (-32..=32)
                        .map(|k| f64::from(k) * 0.25)
                        .map(|k| at(&frame.image, x - k * dy, y + k * dx).map(|v| (k, v)))
                        .collect();
                    let Some(profile) = profile else { continue };
                    let peak = profile.iter().fold(0.0, |peak, p| f64::max(peak, p.1));
                    let top = profile.iter().filter(|p| p.1 > 0.85 * peak);
                    let (sum, count) = top.fold((0.0, 0.0), |(sum, count), p| (sum + p.0, count + 1.0));
                    let offset = sum / count;
                    assert!(offset.abs() < 1.0, "{weights:?} {index} {share}: the ridge is {offset} px off");
                    checked += 1;
                }
                let along = |px: f64| at(&frame.image, tip.x + px * dx, tip.y + px * dy);
                if let (Some(inner), Some(outer)) = (along(-6.0), along(14.0)) {
                    before += inner;
                    beyond += outer;
                }
            }
            assert!(checked >= 10, "{weights:?}: only {checked} profiles");
            assert!(before > 1.7 * beyond, "{weights:?}: {before} before the tip, {beyond} beyond");
        }
    }

    #[test]
    fn labels_end_where_shallow_steep_and_floating_needles_do() {
        for (angle_deg, floating_share) in [([0.0, 14.0], 1.0), ([0.0, 14.0], 0.0), ([70.0, 85.0], 1.0)] {
            let config = NeedleSimConfig {
                angle_deg,
                floating_share,
                through_share: 0.0,
                stretched_share: 0.0,
                crop_share: 0.0,
                ..plain([1.0, 0.0, 0.0])
            };
            let (mut inside, mut outside, mut checked) = (0.0, 0.0, 0);
            for index in 0..8 {
                let frame = ProcedureSim::new(&config, 12, index, 12).frame(10);
                let Some(needle) = frame.needle else { continue };
                let [dx, dy] = needle.step(None).map(|step| step / needle.length_px());
                let angle = dy.abs().atan2(dx.abs()).to_degrees();
                assert!(angle > angle_deg[0] - 4.0 && angle < angle_deg[1] + 4.0, "{angle} degrees");
                let ends = [(needle.entry, 1.0), (needle.tip, -1.0)];
                for (end, inwards) in ends {
                    let along = |px: f64| at(&frame.image, end.x + px * inwards * dx, end.y + px * inwards * dy);
                    let (Some(within), Some(beyond)) = (along(5.0), along(-9.0)) else { continue };
                    inside += within;
                    outside += beyond;
                    checked += 1;
                }
                if floating_share > 0.0 {
                    let scale = frame.image.scale.at(&[(needle.entry.x, needle.entry.y), (needle.tip.x, needle.tip.y)]);
                    assert!(scale.is_some() && frame.true_tip.is_some(), "{needle:?} is not inside the scan area");
                }
            }
            let least = if floating_share > 0.0 { 8 } else { 4 };
            assert!(
                checked >= least && inside > 1.7 * outside,
                "{angle_deg:?}: {checked} ends, {inside} and {outside}"
            );
        }
    }

    #[test]
    fn settings_from_before_the_wider_ones_draw_nothing_new() {
        let first: NeedleSimConfig = toml::from_str(include_str!("../../../recipes/simulator/first.toml")).unwrap();
        let picture = |config: &NeedleSimConfig| ProcedureSim::new(config, 4242, 1, 3).frame(2);
        // Ranges of things that never happen are not asked for.
        let unused = NeedleSimConfig {
            letterbox: [0.3, 0.4],
            rim_deg: [80.0, 80.0],
            sheet_db: [50.0, 60.0],
            floating_length: [0.1, 0.1],
            ..first.clone()
        };
        assert_eq!(picture(&first), picture(&unused));
        assert_ne!(picture(&first), picture(&NeedleSimConfig { letterbox_share: 1.0, ..first }));
    }

    #[test]
    fn simple_masks_are_brighter_than_what_is_beside_them() {
        let config = NeedleSimConfig { difficulty: Some(Difficulty::Simple), ..NeedleSimConfig::default() };
        let (mut brighter, mut total) = (0, 0);
        for index in 0..24 {
            let frame = ProcedureSim::new(&config, 5, index, 9).frame(8);
            let Some(Needle { entry, tip }) = frame.needle else { continue };
            let length = (tip.x - entry.x).hypot(tip.y - entry.y);
            let (nx, ny) = ((entry.y - tip.y) / length, (tip.x - entry.x) / length);
            let (mut inside, mut beside) = ((0.0, 0.0), (0.0, 0.0));
            for (pixel, class) in frame.mask.classes.iter().enumerate() {
                if *class == 1 {
                    let (x, y) = ((pixel % frame.mask.width) as f64, (pixel / frame.mask.width) as f64);
                    inside = (inside.0 + f64::from(frame.image.pixels[pixel]), inside.1 + 1.0);
                    let up = if ny > 0.0 { -14.0 } else { 14.0 };
                    if let Some(value) = at(&frame.image, x + up * nx, y + up * ny) {
                        beside = (beside.0 + value, beside.1 + 1.0);
                    }
                }
            }
            assert!(inside.1 > 0.0, "procedure {index}: a needle without a mask");
            if beside.1 > 0.0 {
                total += 1;
                brighter += usize::from(inside.0 / inside.1 > beside.0 / beside.1 + 0.05);
            }
        }
        assert!(total >= 8 && brighter * 10 >= total * 8, "{brighter} of {total} are brighter");
    }

    #[test]
    fn everything_follows_from_seed_and_index() {
        let config = NeedleSimConfig::default();
        let first = simulate_procedure(&config, 3, 4, 6);
        assert_eq!(first, simulate_procedure(&config, 3, 4, 6));
        assert_eq!(first.frames[5], ProcedureSim::new(&config, 3, 4, 6).frame(5));
        assert_ne!(first.frames[0], simulate_procedure(&config, 4, 4, 6).frames[0]);
        assert_ne!(first.frames[0], simulate_procedure(&config, 3, 5, 6).frames[0]);
        assert_eq!(first.id, "p0004");
    }

    #[test]
    fn labels_stay_in_the_picture_and_agree_with_each_other_at_all_sizes() {
        let small = NeedleSimConfig { image_side_px: [61.0, 97.0], ..NeedleSimConfig::default() };
        let (mut with, mut without, mut hidden) = (0, 0, 0);
        for (config, indices) in [(NeedleSimConfig::default(), 0..24), (small, 24..40)] {
            for index in indices {
                let procedure = simulate_procedure(&config, 21, index, 5);
                for frame in &procedure.frames {
                    let (height, width) = (frame.image.height, frame.image.width);
                    assert_eq!((frame.mask.height, frame.mask.width), (height, width));
                    assert!(frame.image.pixels.iter().all(|v| (0.0..=1.0).contains(v)));
                    assert_eq!(frame.needle.is_none(), frame.mask.is_empty(), "procedure {index}");
                    let points = frame.needle.iter().flat_map(|n| [n.entry, n.tip]).chain(frame.true_tip);
                    for point in points {
                        assert!(point.x >= 0.0 && point.x <= (width - 1) as f64, "procedure {index}: {point:?}");
                        assert!(point.y >= 0.0 && point.y <= (height - 1) as f64, "procedure {index}: {point:?}");
                        let scale = frame.image.scale.at(&[(point.x, point.y)]);
                        assert_eq!(scale, Some(procedure.spacing), "procedure {index}: {point:?}");
                    }
                    with += usize::from(frame.needle.is_some());
                    without += usize::from(frame.needle.is_none());
                    hidden += usize::from(frame.needle.is_none() && frame.true_tip.is_some());
                }
            }
        }
        assert!(with > 80 && without > 20 && hidden > 0, "{with} with a needle, {without} without, {hidden} hidden");
    }

    #[test]
    fn captures_at_twice_the_rate_repeat_frames() {
        let config = NeedleSimConfig { double_capture_share: 1.0, ..NeedleSimConfig::default() };
        let procedure = simulate_procedure(&config, 2, 0, 24);
        let repeats = procedure.frames.windows(2).filter(|pair| pair[1].duplicate).count();
        assert!((9..=14).contains(&repeats), "{repeats} of 23");
        for pair in procedure.frames.windows(2).filter(|pair| pair[1].duplicate) {
            assert_eq!(pair[0].image, pair[1].image);
        }
        assert!((procedure.fps - 30.0).abs() < 1e-9);
    }

    #[test]
    fn millimetres_of_a_phantom_picture_match_the_depth_shown() {
        let config = NeedleSimConfig {
            linear_depth_mm: [40.0, 40.0],
            linear_width_mm: [38.0, 38.0],
            crop_share: 0.0,
            border_share: 0.0,
            ..plain([1.0, 0.0, 0.0])
        };
        let frame = ProcedureSim::new(&config, 6, 0, 1).frame(0);
        let (spacing, rows, columns) = match &frame.image.scale {
            Scale::Everywhere(spacing) => (*spacing, frame.image.height as f64, frame.image.width as f64),
            Scale::Regions(regions) => {
                let r = regions[0];
                (r.spacing, r.bottom - r.top + 1.0, r.right - r.left + 1.0)
            }
            Scale::Unknown => panic!("simulated pictures have a scale"),
        };
        assert!((rows * spacing.y_mm - 40.0).abs() < 1.0, "{} mm deep", rows * spacing.y_mm);
        assert!((columns * spacing.x_mm - 38.0).abs() < 1.0, "{} mm wide", columns * spacing.x_mm);
    }
}
