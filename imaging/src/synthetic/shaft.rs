//! The needle: which part of it can be seen, its exact label, and its echo on the beam grid.

use super::config::{DifficultyConfig, NeedleSimConfig, amplitude, draw, happens};
use super::field::{FWHM, Field, Noise1, Psf};
use super::motion::Moment;
use super::probe::Probe;
use crate::geometry::Mask;
use crate::geometry::{Needle, Point, with_deeper_tip};
use crate::rng::Rng;

/// How the needle of a procedure looks.
pub(super) struct Shaft {
    gauge_mm: f64,
    echo_db: f64,
    least_db: f64,
    angle_loss_db: f64,
    /// Steering of the beams, rad, towards the needle.
    steering: f64,
    beads: f64,
    dropout_share: f64,
    dropout_db: f64,
    bead_mm: f64,
    tip_db: f64,
    bow_mm: f64,
    /// Thickness of the line as a share of the gauge (standard deviation): the front wall, not the needle, is seen.
    thin: f64,
    sway_db: f64,
    /// Distance and height of the spots of an echogenic needle, mm and dB.
    spots: Option<(f64, f64)>,
    double_wall: bool,
    copies: usize,
    /// At least so many where the needle lies nearly across the beam.
    shallow_copies: usize,
    copy_mm: f64,
    copy_decay: f32,
    copy_phase: f64,
    comet: f32,
    comet_mm: f64,
    shadow: f32,
    noise: Noise1,
    least_visible_mm: f64,
    least_visible_share: f64,
}

/// Where the needle lies in one frame. Positions `q` along it are in mm from the true tip, negative towards the hand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    /// True tip, mm.
    tip: (f64, f64),
    direction: (f64, f64),
    /// First and last position in the picture.
    inside: (f64, f64),
    /// First and last position in the picture and in the plane.
    seen: (f64, f64),
    presence: f64,
    /// Position of the tip along the pass, so that beads can stay in place.
    travel: f64,
}

impl Shaft {
    pub(super) fn draw(config: &NeedleSimConfig, difficulty: &DifficultyConfig, rng: &mut Rng) -> Self {
        let steered = rng.chance(config.steering_share);
        let copies = if rng.chance(config.reverberation_share) { 1 + rng.below(5) } else { 0 };
        let shallow_copies = if happens(rng, config.shallow_reverberation_share) { 1 + rng.below(4) } else { 0 };
        let comet = if rng.chance(config.comet_share) { rng.uniform(0.04, 0.3) } else { 0.0 };
        let shadow = if rng.chance(config.shadow_share) { rng.uniform(0.1, 0.65) } else { 0.0 };
        Self {
            gauge_mm: draw(rng, config.gauge_mm),
            echo_db: draw(rng, difficulty.shaft_db),
            least_db: difficulty.least_shaft_db,
            angle_loss_db: draw(rng, config.angle_loss_db),
            steering: if steered { draw(rng, config.steering_deg).to_radians() } else { 0.0 },
            beads: draw(rng, difficulty.beads),
            dropout_share: draw(rng, difficulty.dropout_share),
            dropout_db: draw(rng, difficulty.dropout_db),
            bead_mm: rng.uniform(0.3, 1.3),
            tip_db: draw(rng, config.tip_db),
            bow_mm: if rng.chance(0.4) { draw(rng, config.bow_mm) * rng.uniform(-1.0, 1.0) } else { 0.0 },
            thin: rng.uniform(0.06, 0.3),
            sway_db: rng.uniform(0.0, 5.0),
            spots: rng.chance(config.echogenic_share).then(|| (rng.uniform(0.8, 2.5), rng.uniform(4.0, 12.0))),
            double_wall: rng.chance(config.double_wall_share),
            copies,
            shallow_copies,
            copy_mm: draw(rng, config.reverberation_mm),
            copy_decay: rng.uniform(0.25, 0.7) as f32,
            copy_phase: rng.uniform(0.0, std::f64::consts::TAU),
            comet: comet as f32,
            comet_mm: rng.uniform(2.0, 15.0),
            shadow: shadow as f32,
            noise: Noise1::draw(rng),
            least_visible_mm: config.least_visible_mm,
            least_visible_share: config.least_visible_share,
        }
    }

    /// The needle of one frame, if any of it is in the picture.
    pub(super) fn place(&self, probe: &Probe, moment: &Moment) -> Option<Placed> {
        let pass = moment.pass?;
        let inserted = pass.reach_mm + moment.tip_mm;
        if inserted <= 0.0 {
            return None;
        }
        let (sin, cos) = moment.turn.sin_cos();
        let (dx, dz) = pass.direction;
        let direction = (dx * cos - dz * sin, dx * sin + dz * cos);
        let tip = (
            pass.target.0 - pass.reach_mm * dx + inserted * direction.0 - moment.shift_mm * direction.1,
            pass.target.1 - pass.reach_mm * dz + inserted * direction.1 + moment.shift_mm * direction.0,
        );
        let shows = |q: f64| probe.shows(tip.0 + q * direction.0, tip.1 + q * direction.1);
        let step = 0.25;
        let mut last = 0.0;
        while !shows(last) {
            last -= step;
            if last < -inserted - 1.0 {
                return None;
            }
        }
        let mut first = last;
        while shows(first - step) {
            first -= step;
        }
        let bisect = |mut outside: f64, mut inside: f64| {
            for _ in 0..20 {
                let middle = 0.5 * (outside + inside);
                if shows(middle) {
                    inside = middle;
                } else {
                    outside = middle;
                }
            }
            inside
        };
        let first = bisect(first - step, first);
        let last = if last < 0.0 { bisect(last + step, last) } else { 0.0 };
        let mut seen = (first + moment.entry_hidden_mm, last.min(-moment.tip_hidden_mm));
        if let Some(in_plane_mm) = pass.in_plane_mm {
            // Where it comes into the plane moves with the needle, and always lies inside the picture.
            seen.0 = seen.0.max((-in_plane_mm).max(first + LEAST_BEFORE_MM));
        }
        Some(Placed { tip, direction, inside: (first, last), seen, presence: moment.presence, travel: moment.tip_mm })
    }

    /// The visible shaft in pixels, if enough of it is visible.
    pub(super) fn label(&self, probe: &Probe, placed: &Placed) -> Option<Needle> {
        let (first, last) = placed.seen;
        let (entry, tip) = (placed.pixel(probe, first), placed.pixel(probe, last));
        let least_mm = self.least_visible_mm.max(self.least_visible_share * probe.depth_mm);
        let long = last - first >= least_mm && (tip.x - entry.x).hypot(tip.y - entry.y) >= 6.0;
        let seen_db = self.level_db(probe, placed, 0.5 * (first + last)) - placed.fade_db();
        // Which end of a level needle is the tip no frame tells: the label follows the rule of whoever reads one off a mask.
        (long && seen_db > LEAST_SEEN_DB).then(|| with_deeper_tip(Needle { entry, tip }, probe.width))
    }

    /// Pixels within half the shaft's displayed width of the label line.
    pub(super) fn mask(&self, probe: &Probe, psf: &Psf, placed: &Placed, needle: Option<Needle>) -> Mask {
        let mut mask = Mask::empty(probe.height, probe.width);
        if needle.is_none() {
            return mask;
        }
        let (first, last) = placed.seen;
        let middle = placed.at(0.5 * (first + last));
        let (beam, sample) = probe.cell_from_mm(middle.0, middle.1);
        let sigma = placed.blur(probe, psf, beam, sample);
        let pixel_mm = 0.5 * (probe.spacing.x_mm + probe.spacing.y_mm);
        let half = (0.5 * self.gauge_mm.hypot(FWHM * sigma)).max(1.2 * pixel_mm);
        let (entry, tip) = (placed.pixel(probe, first), placed.pixel(probe, last));
        let grow = |mm: f64, spacing: f64| (mm / spacing).ceil() + 1.0;
        let (gx, gy) = (grow(half, probe.spacing.x_mm), grow(half, probe.spacing.y_mm));
        let clip = |value: f64, count: usize| value.clamp(0.0, (count - 1) as f64) as usize;
        let columns = clip(entry.x.min(tip.x) - gx, probe.width)..=clip(entry.x.max(tip.x) + gx, probe.width);
        for row in clip(entry.y.min(tip.y) - gy, probe.height)..=clip(entry.y.max(tip.y) + gy, probe.height) {
            for column in columns.clone() {
                let (x, z) = probe.mm_from_pixel(Point { x: column as f64, y: row as f64 });
                let (q, across) = placed.local(x, z);
                let beyond = (q - q.clamp(first, last)).abs();
                if beyond.hypot(across) <= half && probe.shows(x, z) {
                    mask.classes[row * probe.width + column] = 1;
                }
            }
        }
        mask
    }

    /// Echo of an even shaft at a position, dB: what the angle to the beam leaves of it.
    fn level_db(&self, probe: &Probe, placed: &Placed, q: f64) -> f64 {
        let (x, z) = placed.at(q);
        let (beam, _) = probe.cell_from_mm(x, z);
        let (bx, bz) = probe.beam_direction(beam);
        let (dx, dz) = placed.direction;
        // Angle between the beam and the normal of the needle, less what the machine steers.
        let slant = (dx * bx + dz * bz).clamp(-1.0, 1.0).asin().abs();
        let slant = (slant - self.steering).max(0.0);
        (self.echo_db - self.angle_loss_db * (slant / 1.047).powi(2)).max(self.least_db)
    }

    /// Amplitude and phase along the visible shaft, every [`STEP_MM`] from just before its first position.
    fn profile(&self, probe: &Probe, placed: &Placed) -> Vec<(f64, f64)> {
        let start = placed.inside.0 - 2.0;
        let count = ((placed.inside.1 + 2.0 - start) / STEP_MM) as usize + 2;
        let travel = placed.travel;
        let noise = |q: f64, mm: f64, offset: f64| self.noise.at(q / mm + offset);
        (0..count)
            .map(|k| {
                let q = start + k as f64 * STEP_MM;
                let mut db = self.level_db(probe, placed, q) - placed.fade_db();
                if let Some((distance, height)) = self.spots.filter(|_| q > -20.0) {
                    db += height * (std::f64::consts::TAU * q / distance).cos() - 0.3 * height;
                }
                db += self.sway_db * noise(q + travel, 7.0, 55.0);
                // Half of the drop-outs belong to the tissue above, half to the shaft.
                let hole = 0.6 * noise(q + travel, 3.1, 31.0) + 0.6 * noise(q, 2.3, 77.0);
                let near_tip = placed.seen.1 - q < 2.0;
                let edge = 1.0 - 2.0 * self.dropout_share;
                if self.dropout_share > 0.0 && !near_tip {
                    db -= self.dropout_db * ((hole - 0.7 * edge) / 0.2).clamp(0.0, 1.0);
                }
                let bead = 1.0 + self.beads * noise(q, self.bead_mm, 120.0) + 0.3 * self.beads * noise(q, 0.35, 9.0);
                let mut level = amplitude(db) * bead.max(0.1);
                if placed.seen.0 > placed.inside.0 {
                    level *= logistic((q - placed.seen.0) / 0.25);
                }
                if placed.seen.1 < placed.inside.1 {
                    level *= logistic((placed.seen.1 - q) / 0.25);
                } else if placed.seen.1 >= 0.0 {
                    // The bevel answers in all directions.
                    let bevel = ((q + 0.5) / 0.5).powi(2);
                    level *= 1.0 + (amplitude(self.tip_db) - 1.0).max(-0.4) * (-0.5 * bevel).exp();
                }
                (level, 1.5 * noise(q, 4.0, 200.0))
            })
            .collect()
    }

    /// Add the needle's echo to `field`, which is on the probe's grid, and return the shade below it: per beam the
    /// first shaded sample and what is left of the tissue's amplitude.
    pub(super) fn add_echo(
        &self,
        probe: &Probe,
        psf: &Psf,
        placed: &Placed,
        rough: &Field,
        field: &mut Field,
    ) -> Vec<(usize, f32)> {
        let profile = self.profile(probe, placed);
        let start = placed.inside.0 - 2.0;
        let samples = probe.samples;
        let widest = 4.0 * self.gauge_mm.max(psf.axial_mm).max(psf.lateral_mm.iter().copied().fold(0.0, f64::max));
        let wall = if self.double_wall { 0.42 * self.gauge_mm } else { 0.0 };
        let most = 2.0 * probe.spacing.x_mm.min(probe.spacing.y_mm);
        // A short piece of a bent needle is nearly straight.
        let piece = ((placed.seen.1 - placed.seen.0) / 40.0).clamp(0.0, 1.0).powi(2);
        let bow_mm = (self.bow_mm * piece).clamp(-most, most);
        let mut shade = vec![(samples, 1.0); probe.beams];
        let mut column: Vec<(f32, f32)> = Vec::new();
        for (beam, shade) in shade.iter_mut().enumerate() {
            let place = |s: f64| {
                let (x, z) = probe.mm_from_cell(beam as f64, s);
                placed.local(x, z)
            };
            // Both coordinates are linear along a beam.
            let ((q0, c0), (q1, c1)) = (place(0.0), place(1.0));
            let (dq, dc) = (q1 - q0, c1 - c0);
            let reach = widest + bow_mm.abs();
            let (mut low, mut high) = (0.0, (samples - 1) as f64);
            clip_linear(&mut low, &mut high, c0, dc, -reach, reach);
            clip_linear(&mut low, &mut high, q0, dq, start + 0.5, placed.inside.1 + 1.5);
            if low > high {
                continue;
            }
            let (low, high) = (low.ceil() as usize, high.floor() as usize);
            column.clear();
            let (mut peak, mut peak_at) = (0.0, low);
            for s in low..=high {
                let (q, c) = (q0 + s as f64 * dq, c0 + s as f64 * dc);
                let (blur, end) = placed.blurs(probe, psf, beam as f64, s);
                let share = ((q - placed.seen.0) / (placed.seen.1 - placed.seen.0).max(1.0)).clamp(-0.2, 1.2);
                let c = c - bow_mm * 4.0 * share * (1.0 - share);
                // The bevel runs out to a point.
                let point = (-q / (2.5 * self.gauge_mm)).clamp(0.3, 1.0);
                let thin = if wall > 0.0 { self.thin.min(0.15) } else { self.thin } * self.gauge_mm * point;
                let spread = 2.0 * (blur * blur + thin * thin);
                let shape = if wall > 0.0 {
                    (-(c - wall).powi(2) / spread).exp() * 0.8 + (-(c + wall).powi(2) / spread).exp()
                } else {
                    (-c * c / spread).exp()
                };
                let at = ((q - start) / STEP_MM).max(0.0);
                let k = (at as usize).min(profile.len() - 2);
                let t = at - k as f64;
                let level = profile[k].0 + (profile[k + 1].0 - profile[k].0) * t;
                let level = level * shape * logistic(-1.7 * q / end);
                let (sin, cos) = profile[k].1.sin_cos();
                if level > peak {
                    (peak, peak_at) = (level, s);
                }
                column.push(((level * cos) as f32, (level * sin) as f32));
            }
            let fade = 0.75 + 0.45 * self.noise.at(0.07 * beam as f64 + 170.0);
            let (bx, bz) = probe.beam_direction(beam as f64);
            let along = (placed.direction.0 * bx + placed.direction.1 * bz).abs();
            let copies = if along < SHALLOW { self.copies.max(self.shallow_copies) } else { self.copies };
            self.add_column(probe, beam, (low, copies), &column, fade as f32, field);
            if peak > 0.5 {
                let strength = (peak as f32).min(4.0) / 4.0;
                *shade = (peak_at + 1, 1.0 - self.shadow * strength);
                if self.comet > 0.0 {
                    let fade = (-probe.sample_mm() / self.comet_mm).exp() as f32;
                    let streaky = 0.6 + 0.8 * self.noise.at(0.4 * beam as f64 + 40.0).max(-0.7);
                    let mut tail = self.comet * peak as f32 * streaky as f32;
                    for s in peak_at..samples {
                        let cell = beam * samples + s;
                        field.re[cell] += tail * rough.re[cell];
                        field.im[cell] += tail * rough.im[cell];
                        tail *= fade;
                    }
                }
            }
        }
        soften(&mut shade);
        shade
    }

    /// The shaft itself and its copies, which lie deeper along the beam.
    fn add_column(
        &self,
        probe: &Probe,
        beam: usize,
        (low, copies): (usize, usize),
        column: &[(f32, f32)],
        fade: f32,
        field: &mut Field,
    ) {
        let mut gain = 1.0;
        for copy in 0..=copies {
            let shift = (copy as f64 * self.copy_mm / probe.sample_mm()).round() as usize;
            let (sin, cos) = (copy as f64 * self.copy_phase).sin_cos();
            let (sin, cos) = (gain * sin as f32, gain * cos as f32);
            for (s, (re, im)) in (low + shift..probe.samples).zip(column) {
                let cell = beam * probe.samples + s;
                field.re[cell] += cos * re - sin * im;
                field.im[cell] += sin * re + cos * im;
            }
            gain *= self.copy_decay * fade;
        }
    }
}

/// An even shaft less than this above average tissue is no longer seen, dB.
const LEAST_SEEN_DB: f64 = 4.0;
/// A needle that begins inside the picture begins at least so far from its edge, mm.
const LEAST_BEFORE_MM: f64 = 2.0;
/// Sine of the angle from across the beam up to which a needle is shallow: 20 degrees.
const SHALLOW: f64 = 0.342;
/// Distance between two values of a profile, mm.
const STEP_MM: f64 = 0.1;

impl Placed {
    fn at(&self, q: f64) -> (f64, f64) {
        (self.tip.0 + q * self.direction.0, self.tip.1 + q * self.direction.1)
    }

    fn pixel(&self, probe: &Probe, q: f64) -> Point {
        let (x, z) = self.at(q);
        probe.pixel_from_mm(x, z)
    }

    /// Loss of echo by moving out of the plane, dB.
    fn fade_db(&self) -> f64 {
        45.0 * (1.0 - self.presence)
    }

    /// The true tip in pixels, if it lies in the picture.
    pub(super) fn true_tip(&self, probe: &Probe) -> Option<Point> {
        (self.inside.1 >= 0.0).then(|| self.pixel(probe, 0.0))
    }

    /// Position along and across the needle of a point, mm.
    pub(super) fn local(&self, x: f64, z: f64) -> (f64, f64) {
        let (dx, dz) = (x - self.tip.0, z - self.tip.1);
        (dx * self.direction.0 + dz * self.direction.1, dz * self.direction.0 - dx * self.direction.1)
    }

    /// Direction of the insertion and how much of it a point feels, for the drag on the tissue.
    pub(super) fn pull(&self, x: f64, z: f64) -> (f64, f64) {
        let (q, across) = self.local(x, z);
        let near = (-(across / 3.5).powi(2)).exp() / (1.0 + ((q - 1.0).max(0.0) / 2.0).powi(2));
        (near * self.direction.0, near * self.direction.1)
    }

    /// Standard deviations of the blur across and along the needle, mm.
    fn blurs(&self, probe: &Probe, psf: &Psf, beam: f64, sample: usize) -> (f64, f64) {
        let (bx, bz) = probe.beam_direction(beam);
        let along = (self.direction.0 * bx + self.direction.1 * bz).abs().min(1.0);
        let across = (1.0 - along * along).sqrt();
        // No display shows a line thinner than its cells.
        let axial = psf.axial_mm.max(0.65 * probe.sample_mm());
        let lateral = psf.lateral_mm[sample].max(0.65 * probe.beam_mm(sample as f64 * probe.sample_mm()));
        ((axial * across).hypot(lateral * along), (axial * along).hypot(lateral * across))
    }

    fn blur(&self, probe: &Probe, psf: &Psf, beam: f64, sample: f64) -> f64 {
        self.blurs(probe, psf, beam, (sample.max(0.0) as usize).min(probe.samples - 1)).0
    }
}

/// Shrink `[low, high]` to where `start + s * slope` lies within `[least, most]`.
fn clip_linear(low: &mut f64, high: &mut f64, start: f64, slope: f64, least: f64, most: f64) {
    if slope.abs() < 1e-9 {
        if start < least || start > most {
            *high = *low - 1.0;
        }
        return;
    }
    let (a, b) = ((least - start) / slope, (most - start) / slope);
    *low = low.max(a.min(b));
    *high = high.min(a.max(b));
}

/// A shadow has no sharp sides: the aperture looks past the needle's end.
fn soften(shade: &mut [(usize, f32)]) {
    for _ in 0..6 {
        let before = shade.to_vec();
        for beam in 1..before.len().saturating_sub(1) {
            let (left, middle, right) = (before[beam - 1], before[beam], before[beam + 1]);
            shade[beam].1 = 0.25 * (left.1 + right.1) + 0.5 * middle.1;
            if middle.1 >= 1.0 {
                shade[beam].0 = left.0.min(right.0);
            }
        }
    }
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}
