//! Needles in real tissue: frames of a machine as the ground, the simulated echo added where the machine would add it.
//!
//! The grey levels of a frame are turned back to decibels as far as it lets one estimate them (`screen`), the needle's echo
//! is added as power to that of the tissue, its shadow is taken from the tissue below, and the sum is compressed again. Only
//! the scan area is touched, and in it only what the needle changes.

use super::config::{Difficulty, NeedleSimConfig, draw};
use super::degrade::gauss;
use super::field::{Field, Psf};
use super::motion::{Moment, draw_moments};
use super::probe::Probe;
use super::real_screen::RealScreen;
use super::seen::{around, mean_and_deviation, stands_out};
use super::shaft::{Placed, Shaft};
use super::{Procedure, SimFrame};
use crate::DataError;
use crate::geometry::resize::bilinear_antialiased;
use crate::geometry::{Image, Mask, Scale, Spacing};
use crate::rng::Rng;

/// Depth of a scan area whose millimetres nobody told, mm.
const ASSUMED_DEPTH_MM: [f64; 2] = [30.0, 80.0];
/// Echo this far below that of the tissue changes nothing.
const NOTHING: f32 = 1e-3;

/// Needles in `ground`, the frames of one picture or clip, all of one size: procedure `index` of `seed`.
///
/// A single frame stands under all `frames` of the procedure and shakes a little, by whole pixels; a clip runs to its end
/// and back as often as it takes. A procedure without a needle (a share of `no_needle_share`) has the frames as they are.
/// Frames whose longer side is longer than drawn from `image_side_px` are made smaller first. `spacing` of the result is
/// what the ground says, or else assumed for the size of the needle; the pictures' own scale then stays unknown.
///
/// # Shapes
/// `ground`: `[channels, height, width]` each, in [0, 1]; colour becomes grey.
///
/// # Errors
/// When there is no frame, when the frames differ in size, or when they show no scan area of at least 48 pixels.
pub fn simulate_in_tissue(
    config: &NeedleSimConfig,
    seed: u64,
    index: u64,
    ground: &[Image],
    frames: usize,
) -> Result<Procedure, DataError> {
    let stream = |part: u64| Rng::stream(seed, "needle in tissue", [index, part]);
    let mut rng = stream(0);
    let difficulty = config.difficulty.unwrap_or_else(|| Difficulty::ALL[rng.below(3)]);
    let level = config.of(difficulty);
    let ground = prepare(ground, draw(&mut rng, config.image_side_px))?;
    let (height, width) = (ground[0].height, ground[0].width);
    let screen = RealScreen::of(&ground[0].pixels, height, width).ok_or_else(|| {
        let message = "no ultrasound is seen in it: a scan area of 48 x 48 pixels that is not black is needed";
        DataError::Inconsistent(message.into())
    })?;
    let [left, top, right, bottom] = screen.bounds;
    let middle = (0.5 * (left + right) as f64, 0.5 * (top + bottom) as f64);
    let spacing = ground[0].scale.at(&[middle]).unwrap_or_else(|| {
        let mm = draw(&mut rng, ASSUMED_DEPTH_MM) / (bottom - top) as f64;
        Spacing { x_mm: mm, y_mm: mm }
    });
    let probe = Probe::of_picture([height, width], screen.bounds, spacing, screen.area.clone());
    let fine = rng.uniform(0.8, 1.1);
    let psf = Psf::new(
        &probe,
        fine * screen.blur_px.1 * spacing.y_mm,
        vec![fine * screen.blur_px.0 * spacing.x_mm; probe.samples],
    );
    let needle = NeedleOver {
        shaft: Shaft::draw(config, level, &mut stream(1)),
        rough: psf.convolve(&Field::noise(probe.beams, probe.samples, &mut stream(3))),
        // The estimate is rough, and so is the machine.
        range_db: screen.range_db * rng.uniform(0.85, 1.15) as f32,
        least_contrast: config.least_contrast,
        probe,
        psf,
    };
    let moments = draw_moments(config, level, &needle.probe, frames, &mut stream(2));
    let negative = moments.iter().all(|moment| moment.pass.is_none());
    let mut before = None;
    let frames = moments.iter().enumerate().map(|(t, moment)| {
        let at = there_and_back(t, ground.len());
        let still = ground.len() == 1 && !negative;
        let shift = if still { (moment.drift.0 / spacing.x_mm, moment.drift.1 / spacing.y_mm) } else { (0.0, 0.0) };
        let shift = (shift.0.round() as isize, shift.1.round() as isize);
        let tissue = if shift == (0, 0) { ground[at].clone() } else { shifted(&ground[at], &screen.area, shift) };
        let duplicate = moment.pass.is_none() && before == Some((at, shift));
        before = moment.pass.is_none().then_some((at, shift));
        SimFrame { duplicate, ..needle.frame(tissue, moment) }
    });
    let frames = frames.collect();
    Ok(Procedure {
        id: format!("p{index:04}"),
        difficulty,
        fps: config.machine_fps,
        spacing,
        probe: needle.probe.kind,
        frames,
    })
}

/// Grey frames of at most the given longer side, in the 255 steps of a file.
fn prepare(ground: &[Image], side_px: f64) -> Result<Vec<Image>, DataError> {
    let Some(first) = ground.first() else {
        return Err(DataError::Inconsistent("it has no frames".into()));
    };
    let size = [first.height, first.width];
    if let Some(other) = ground.iter().find(|frame| [frame.height, frame.width] != size) {
        return Err(DataError::Inconsistent(format!(
            "its frames differ in size: {}x{} and {}x{}",
            first.width, first.height, other.width, other.height
        )));
    }
    let shrink = (side_px / first.height.max(first.width) as f64).min(1.0);
    let to = size.map(|side| ((side as f64 * shrink).round() as usize).max(1));
    let frame = |frame: &Image| {
        let grey = frame.to_grey();
        let pixels = if to == size { grey.pixels } else { bilinear_antialiased(&grey.pixels, size, to) };
        let pixels = pixels.into_iter().map(|v| (v.clamp(0.0, 1.0) * 255.0).round() / 255.0).collect();
        // A scale in parts of a picture is known at its middle, which is where the scan area lies.
        let middle = (0.5 * (size[1] - 1) as f64, 0.5 * (size[0] - 1) as f64);
        let scale = frame.scale.at(&[middle]).map_or(Scale::Unknown, |spacing| {
            let (x, y) = (size[1] as f64 / to[1] as f64, size[0] as f64 / to[0] as f64);
            Scale::Everywhere(Spacing { x_mm: spacing.x_mm * x, y_mm: spacing.y_mm * y })
        });
        Image::grey(to[0], to[1], pixels).with_scale(scale)
    };
    Ok(ground.iter().map(frame).collect())
}

/// The frame of a clip that is run to its end and back again.
fn there_and_back(t: usize, count: usize) -> usize {
    if count < 2 {
        return 0;
    }
    let at = t % (2 * count - 2);
    at.min(2 * count - 2 - at)
}

/// A frame whose scan area shows what lies `shift` columns and rows before; where nothing does it stays.
fn shifted(frame: &Image, area: &[bool], shift: (isize, isize)) -> Image {
    let mut moved = frame.clone();
    for row in 0..frame.height {
        for column in 0..frame.width {
            let at = row * frame.width + column;
            let (r, c) = (row as isize - shift.1, column as isize - shift.0);
            if area[at] && (0..frame.height as isize).contains(&r) && (0..frame.width as isize).contains(&c) {
                let from = r as usize * frame.width + c as usize;
                if area[from] {
                    moved.pixels[at] = frame.pixels[from];
                }
            }
        }
    }
    moved
}

/// A needle and the machine that sees it.
struct NeedleOver {
    probe: Probe,
    psf: Psf,
    shaft: Shaft,
    /// Noise through the machine, for comet tails.
    rough: Field,
    range_db: f32,
    /// How much a needle must stand out, standard deviations of what is beside it.
    least_contrast: f64,
}

impl NeedleOver {
    /// The frame `tissue` with the needle of a moment, or as it is where none is seen.
    fn frame(&self, tissue: Image, moment: &Moment) -> SimFrame {
        let placed = self.shaft.place(&self.probe, moment);
        let true_tip = placed.as_ref().and_then(|placed| placed.true_tip(&self.probe));
        if let Some(placed) = &placed
            && let Some(needle) = self.shaft.label(&self.probe, placed)
        {
            let mask = self.shaft.mask(&self.probe, &self.psf, placed, Some(needle));
            let pixels = self.add(&tissue, placed);
            let gains = mask.classes.iter().zip(pixels.iter().zip(&tissue.pixels)).filter(|(class, _)| **class == 1);
            let (sum, count) =
                gains.fold((0.0, 0.0f32), |(sum, n), (_, (with, without))| (sum + with - without, n + 1.0));
            if stands_out(sum / count.max(1.0), self.deviation(&tissue, &mask), self.least_contrast) {
                let image = Image { pixels, ..tissue };
                return SimFrame { image, needle: Some(needle), mask, true_tip, duplicate: false };
            }
        }
        let mask = Mask::empty(tissue.height, tissue.width);
        SimFrame { image: tissue, needle: None, mask, true_tip, duplicate: false }
    }

    /// Standard deviation of the tissue at the mask and beside it.
    fn deviation(&self, tissue: &Image, mask: &Mask) -> f32 {
        let near = around(mask);
        let levels = (0..near.len()).filter(|&at| near[at] && self.probe.holds(at)).map(|at| tissue.pixels[at]);
        mean_and_deviation(levels).1
    }

    /// The pixels of the frame with the echo and the shadow of the needle.
    fn add(&self, tissue: &Image, placed: &Placed) -> Vec<f32> {
        let probe = &self.probe;
        let mut field = Field::zeros(probe.beams, probe.samples);
        let shade = self.shaft.add_echo(probe, &self.psf, placed, &self.rough, &mut field);
        let around = self.surroundings(tissue);
        let per_grey = self.range_db / 10.0;
        let power = |grey: f32| 10f32.powf((grey - 1.0) * per_grey);
        let mut pixels = tissue.pixels.clone();
        let (left, top) = probe.corner();
        for (beam, &(shade_from, shade_gain)) in shade.iter().enumerate() {
            for sample in 0..probe.samples {
                let at = (top + sample) * probe.width + left + beam;
                if !probe.holds(at) {
                    continue;
                }
                let cell = beam * probe.samples + sample;
                let echo = field.re[cell] * field.re[cell] + field.im[cell] * field.im[cell];
                let dim = if sample >= shade_from { shade_gain * shade_gain } else { 1.0 };
                let (own, echo) = (power(tissue.pixels[at]), echo * power(around[at]));
                if echo < NOTHING * own && dim > 0.99 {
                    continue;
                }
                let grey = 1.0 + (own * dim + echo).log10() / per_grey;
                pixels[at] = (grey.clamp(0.0, 1.0) * 255.0).round() / 255.0;
            }
        }
        pixels
    }

    /// The grey level of the tissue around each pixel: 0 dB for the needle. In what is dark the needle stays brighter than
    /// the tissue of the frame, and in what is bright it does not grow without end.
    fn surroundings(&self, tissue: &Image) -> Vec<f32> {
        let inside: Vec<f32> =
            (0..tissue.pixels.len()).map(|at| if self.probe.holds(at) { 1.0 } else { 0.0 }).collect();
        let masked: Vec<f32> = tissue.pixels.iter().zip(&inside).map(|(grey, inside)| grey * inside).collect();
        let reach = (0.04 * tissue.height.min(tissue.width) as f32).max(3.0);
        let (sum, weight) = (gauss(&masked, tissue.width, reach, reach), gauss(&inside, tissue.width, reach, reach));
        let mut levels: Vec<f32> =
            masked.iter().zip(&inside).filter(|(_, inside)| **inside > 0.0).map(|(grey, _)| *grey).collect();
        levels.sort_by(f32::total_cmp);
        let dim = levels.get(levels.len() * 2 / 5).copied().unwrap_or(0.2).clamp(0.08, 0.45);
        sum.iter().zip(weight).map(|(sum, weight)| (sum / weight.max(1e-3)).clamp(dim, 0.7)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::ProcedureSim;

    /// Frames of a machine: tissue of the simulator without any needle, between black bars.
    fn ground(frames: usize) -> Vec<Image> {
        let config = NeedleSimConfig {
            probe_weights: [1.0, 0.0, 0.0],
            tissue_level: [0.25, 0.3],
            sheets: [0, 0],
            stubs: [0, 0],
            bath_share: 0.0,
            crop_share: 0.0,
            letterbox_share: 1.0,
            letterbox: [0.1, 0.15],
            ..never()
        };
        let sim = ProcedureSim::new(&config, 31, 2, frames);
        (0..frames).map(|t| Image { scale: Scale::Unknown, ..sim.frame(t).image }).collect()
    }

    fn never() -> NeedleSimConfig {
        let config = NeedleSimConfig { difficulty: Some(Difficulty::Simple), ..NeedleSimConfig::default() };
        let simple = super::super::DifficultyConfig { no_needle_share: 1.0, ..config.simple };
        NeedleSimConfig { simple, image_side_px: [300.0, 300.0], ..config }
    }

    fn always(angle_deg: [f64; 2], floating_share: f64) -> NeedleSimConfig {
        let never = never();
        let simple = super::super::DifficultyConfig {
            no_needle_share: 0.0,
            needle_out_share: 0.0,
            beads: [0.0, 0.1],
            dropout_share: [0.0, 0.0],
            ..never.simple
        };
        NeedleSimConfig { simple, angle_deg, floating_share, double_wall_share: 0.0, ..never }
    }

    #[test]
    fn the_label_lies_on_the_brightest_line_that_was_added() {
        let ground = ground(1);
        for (angle_deg, floating) in [([0.0, 12.0], 0.0), ([0.0, 12.0], 1.0), ([70.0, 85.0], 0.0), ([20.0, 60.0], 1.0)]
        {
            let (mut checked, mut off) = (0, 0.0);
            for index in 0..6 {
                let config = NeedleSimConfig { drift_mm_s: [0.0, 0.0], ..always(angle_deg, floating) };
                let procedure = simulate_in_tissue(&config, 4, index, &ground, 8).unwrap();
                let tissue = &prepare(&ground, 300.0).unwrap()[0];
                for frame in procedure.frames.iter().filter(|frame| frame.needle.is_some()) {
                    let needle = frame.needle.unwrap();
                    let [dx, dy] = needle.step(None).map(|step| step / needle.length_px());
                    for share in [0.25, 0.5, 0.75] {
                        let (x, y) = (
                            needle.entry.x + share * needle.length_px() * dx,
                            needle.entry.y + share * needle.length_px() * dy,
                        );
                        // Centre of what was added, across the needle.
                        let (mut sum, mut weight) = (0.0, 0.0);
                        for k in -5..=5 {
                            let (k, w) = (f64::from(k), tissue.width);
                            let (c, r) = ((x - k * dy).round() as usize, (y + k * dx).round() as usize);
                            if r < tissue.height && c < w {
                                let gain = f64::from(frame.image.pixels[r * w + c] - tissue.pixels[r * w + c]).max(0.0);
                                sum += gain.powi(2) * k;
                                weight += gain.powi(2);
                            }
                        }
                        if weight > 0.02 {
                            off += (sum / weight).abs();
                            checked += 1;
                        }
                    }
                }
            }
            assert!(checked >= 20, "{angle_deg:?} {floating}: only {checked} places");
            assert!(off / f64::from(checked) < 1.2, "{angle_deg:?} {floating}: {} px off", off / f64::from(checked));
        }
    }

    #[test]
    fn frames_without_a_needle_are_the_ground_and_bars_stay_black() {
        let clip = ground(4);
        let tissue = prepare(&clip, 300.0).unwrap();
        let procedure = simulate_in_tissue(&never(), 1, 0, &clip, 9).unwrap();
        for (t, frame) in procedure.frames.iter().enumerate() {
            assert_eq!(frame.image, tissue[there_and_back(t, 4)]);
            assert!(frame.needle.is_none() && frame.mask.is_empty());
        }
        let mut with = 0;
        for index in 0..4 {
            let procedure = simulate_in_tissue(&always([0.0, 85.0], 0.3), 1, index, &clip, 9).unwrap();
            assert_eq!(procedure, simulate_in_tissue(&always([0.0, 85.0], 0.3), 1, index, &clip, 9).unwrap());
            for (t, frame) in procedure.frames.iter().enumerate() {
                let before = &tissue[there_and_back(t, 4)];
                let edge = (0..before.height).flat_map(|row| (0..8).map(move |column| row * before.width + column));
                assert!(
                    edge.clone().all(|pixel| frame.image.pixels[pixel] == before.pixels[pixel]),
                    "a bar was touched"
                );
                assert_eq!(frame.needle.is_some(), frame.image != *before, "procedure {index}, frame {t}");
                with += usize::from(frame.needle.is_some());
            }
        }
        assert!(with > 8, "{with} frames with a needle");
    }

    #[test]
    fn a_needle_counts_as_seen_only_where_it_stands_out() {
        let even = ground(1);
        // The same with edges as hard as those of bones, everywhere.
        let mut hard = even.clone();
        let width = hard[0].width;
        for (at, pixel) in hard[0].pixels.iter_mut().enumerate().filter(|(_, pixel)| **pixel > 0.0) {
            *pixel = if ((at % width + at / width) / 6).is_multiple_of(2) { 0.95 } else { 0.1 };
        }
        let faint = |config: NeedleSimConfig| {
            let simple = super::super::DifficultyConfig { shaft_db: [9.0, 15.0], least_shaft_db: 9.0, ..config.simple };
            NeedleSimConfig { simple, drift_mm_s: [0.0, 0.0], ..config }
        };
        // Frames with a needle, by how much brighter it makes its pixels and how the tissue varies there.
        let seen = |ground: &[Image]| -> Vec<(f32, f32)> {
            let tissue = &prepare(ground, 300.0).unwrap()[0];
            let procedures = (0..8).map(|index| {
                simulate_in_tissue(&faint(always([20.0, 60.0], 0.0)), 4, index, ground, 6).unwrap().frames
            });
            let frames = procedures.flatten().filter(|frame| frame.needle.is_some());
            let measured = frames.map(|frame| {
                let on: Vec<usize> = (0..tissue.pixels.len()).filter(|&at| frame.mask.classes[at] == 1).collect();
                let mean = |numbers: &[f32]| numbers.iter().sum::<f32>() / numbers.len() as f32;
                let gains: Vec<f32> = on.iter().map(|&at| frame.image.pixels[at] - tissue.pixels[at]).collect();
                let levels: Vec<f32> = on.iter().map(|&at| tissue.pixels[at]).collect();
                let squares: Vec<f32> = levels.iter().map(|level| (level - mean(&levels)).powi(2)).collect();
                (mean(&gains), mean(&squares).sqrt())
            });
            measured.collect()
        };
        let (on_even, on_hard) = (seen(&even), seen(&hard));
        assert!(on_even.len() > 15 && 2 * on_hard.len() < on_even.len(), "{} and {}", on_even.len(), on_hard.len());
        for (gain, deviation) in on_even.into_iter().chain(on_hard) {
            // The deviation on the needle is much like that beside it.
            assert!(
                stands_out(gain, 0.7 * deviation, NeedleSimConfig::default().least_contrast),
                "{gain} over {deviation}"
            );
        }
    }

    #[test]
    fn what_is_no_ground_is_refused() {
        let config = NeedleSimConfig::default();
        let refused = |ground: &[Image]| simulate_in_tissue(&config, 1, 0, ground, 2).unwrap_err().to_string();
        assert!(refused(&[]).contains("no frames"));
        assert!(refused(&[Image::grey(90, 90, vec![0.0; 8100])]).contains("no ultrasound"));
        let sizes = [Image::grey(90, 90, vec![0.5; 8100]), Image::grey(90, 80, vec![0.5; 7200])];
        assert!(refused(&sizes).contains("90x90 and 80x90"));
    }
}
