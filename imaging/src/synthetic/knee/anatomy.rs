//! The shape of a knee above the patella, and its section under the probe at one moment of the sweep.
//!
//! `a` runs along the section, mm, from the thigh (negative) to the patella (positive); `u` is the depth, mm.

use super::config::{Effusion, KneeSimConfig};
use super::structure::Column;
use crate::rng::Rng;
use crate::synthetic::config::{draw, draw_sign, happens};
use crate::synthetic::field::Noise1;

/// A recess thinner than this is closed, mm.
const LEAST_MM: f64 = 0.4;
/// Radius of the patella's upper pole in the plane of the skin, mm.
const POLE_RADIUS_MM: f64 = 22.0;
/// Radius of the femur's front across its length, mm.
const FEMUR_RADIUS_MM: f64 = 22.0;

/// What is drawn once for a knee; lengths in mm.
pub(super) struct Anatomy {
    /// 1 where the patella is at the right of the picture, -1 where it is at the left.
    pub(super) side: f64,
    /// Half the width of the section.
    half: f64,
    gel: f64,
    skin: f64,
    fat: f64,
    tendon: f64,
    muscle: f64,
    /// Where the muscle begins, from the patella's pole.
    muscle_from: f64,
    pad: f64,
    pad_length: f64,
    least_prefemoral: f64,
    /// Where the pole of the patella lies when the probe stands on its middle.
    pole: f64,
    rise: f64,
    before_patella: f64,
    /// Ends of the recess.
    recess: [f64; 2],
    fluid: f64,
    skew: f64,
    fluid_wave: f64,
    tendon_slope: f64,
    femur_slope: f64,
    femur_curve: f64,
    bump: f64,
    bump_at: f64,
    bone_mm: f64,
    cartilage: f64,
    wave: Noise1,
}

/// Where the probe is at a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pose {
    /// Distance across the plane from the middle of the patella, mm.
    pub(super) across: f64,
    /// Shift along the plane, mm.
    pub(super) slip: f64,
    /// Share of their thickness that soft things have.
    pub(super) pressed: f64,
    /// Loss of smooth surfaces, as the plane tilts, dB.
    pub(super) tilt_db: f64,
}

impl Anatomy {
    pub(super) fn draw(config: &KneeSimConfig, effusion: Effusion, width_mm: f64, rng: &mut Rng) -> Self {
        let side = if rng.chance(config.patella_left_share) { -1.0 } else { 1.0 };
        let half = 0.5 * width_mm;
        let tilt = draw(rng, config.tilt_deg).to_radians().tan();
        let shown = draw(rng, config.patella_mm);
        let pole = if happens(rng, config.patella_share) { half - shown } else { half + 6.0 + shown };
        let fluid = match effusion {
            Effusion::None => 0.0,
            Effusion::Trace => draw(rng, config.trace_mm),
            Effusion::Much => draw(rng, config.much_mm),
        };
        let distal = if rng.chance(0.7) { rng.uniform(1.0, 9.0) } else { rng.uniform(-4.0, 0.0) };
        Self {
            side,
            half,
            gel: if happens(rng, config.gel_share) { draw(rng, config.gel_mm) } else { 0.0 },
            skin: draw(rng, config.skin_mm),
            fat: draw(rng, config.fat_mm),
            tendon: draw(rng, config.tendon_mm),
            muscle: draw(rng, config.muscle_mm),
            muscle_from: rng.uniform(8.0, 24.0),
            pad: draw(rng, config.suprapatellar_pad_mm),
            pad_length: rng.uniform(12.0, 28.0),
            least_prefemoral: draw(rng, config.prefemoral_pad_mm),
            pole,
            rise: rng.uniform(2.5, 6.0),
            before_patella: rng.uniform(0.6, 1.6),
            recess: [pole - draw(rng, config.recess_mm), pole + distal],
            fluid,
            skew: rng.uniform(0.6, 1.7),
            fluid_wave: rng.uniform(0.05, 0.3),
            tendon_slope: 0.5 * tilt + rng.uniform(-0.06, 0.04),
            femur_slope: tilt + rng.uniform(-0.07, 0.05),
            femur_curve: draw_sign(rng) * rng.uniform(0.0, 0.0012),
            bump: rng.uniform(0.0, 3.5),
            bump_at: pole + rng.uniform(-4.0, 10.0),
            bone_mm: rng.uniform(1.0, 1.7),
            cartilage: if happens(rng, config.cartilage_share) { rng.uniform(0.8, 2.2) } else { 0.0 },
            wave: Noise1::draw(rng),
        }
    }

    /// Make the fat under the skin thinner where the femur would lie deeper than this, mm.
    pub(super) fn within(&mut self, deepest_mm: f64) {
        let pose = Pose { across: 0.0, slip: 0.0, pressed: 1.0, tilt_db: 0.0 };
        let depth = self.section(pose).deepest();
        self.fat = (self.fat - (depth - deepest_mm).max(0.0)).max(1.2);
    }

    /// The section under the probe.
    pub(super) fn section(&self, pose: Pose) -> Section<'_> {
        let across = pose.across;
        let mut section = Section {
            knee: self,
            pose,
            pole: self.pole + across * across / (2.0 * POLE_RADIUS_MM),
            femur: 0.0,
            fluid: self.fluid * pose.pressed * (1.0 + 0.25 * self.wave.at(0.11 * across + 140.0)),
        };
        // The femur lies as close below as the least of the fat pad lets it, and falls off to both sides.
        let round = across * across / (2.0 * FEMUR_RADIUS_MM);
        let deepest = |a: f64| section.soft(a)[6] - section.femur_shape(a);
        let steps = 48;
        let places = (0..=steps).map(|k| self.half * (2.0 * f64::from(k) / f64::from(steps) - 1.0));
        section.femur = self.least_prefemoral * pose.pressed + round + places.map(deepest).fold(0.0, f64::max);
        section
    }

    /// Smooth waves of a boundary, mm.
    fn waves(&self, boundary: f64, a: f64, across: f64) -> f64 {
        let offset = 17.3 * boundary;
        0.7 * self.wave.at(a / 17.0 + 0.03 * across + offset) + 0.3 * self.wave.at(a / 6.0 + 0.05 * across - offset)
    }
}

/// The knee under the probe at a moment.
pub(super) struct Section<'a> {
    pub(super) knee: &'a Anatomy,
    pub(super) pose: Pose,
    /// Where the patella begins.
    pub(super) pole: f64,
    femur: f64,
    /// Thickness of the fluid where it is thickest.
    pub(super) fluid: f64,
}

impl Section<'_> {
    /// The coordinate along the section of a point of the face, mm from its middle.
    pub(super) fn along(&self, x: f64) -> f64 {
        self.knee.side * x + self.pose.slip
    }

    /// The boundaries under a point of the face, mm from its middle.
    pub(super) fn column(&self, x: f64) -> Column {
        let a = self.along(x);
        let soft = self.soft(a);
        let femur = (self.femur + self.femur_shape(a)).max(soft[6] + 0.3);
        let [gel, skin, fat, tendon, muscle, pad, recess] = soft;
        let bottoms = [gel, skin, fat, tendon, muscle, pad, recess, femur];
        let patella = (a >= self.pole).then(|| self.patella(a));
        // Cartilage covers the femur where the patella glides, and thins out above.
        let cartilage_mm = self.knee.cartilage * smooth((a - self.pole + 12.0) / 14.0);
        Column { bottoms, patella, bone_mm: self.knee.bone_mm, cartilage_mm }
    }

    /// Whether the walls of the recess are there at `a`, open or closed.
    pub(super) fn has_recess(&self, a: f64) -> bool {
        let [from, to] = self.knee.recess;
        (from..to).contains(&a)
    }

    /// Depth of the patella's pole, mm.
    pub(super) fn pole_depth(&self) -> f64 {
        self.patella(self.pole)
    }

    /// Where all soft layers end at `a`, mm.
    fn soft(&self, a: f64) -> [f64; 7] {
        let (knee, across, pressed) = (self.knee, self.pose.across, self.pose.pressed);
        let waves = |boundary: f64| knee.waves(boundary, a, across);
        let before = self.pole - a;
        let gel = if knee.gel > 0.0 { (knee.gel * (1.0 + 0.4 * waves(1.0)) + 0.02 * a).max(0.2) } else { 0.0 };
        let skin = gel + knee.skin * (1.0 + 0.12 * waves(2.0));
        let fat = (knee.fat * pressed * (1.0 + 0.15 * waves(3.0)) + knee.tendon_slope * a).max(0.8);
        let fat = skin + fat;
        // The tendon is thickest at the patella, and thinner to the sides and up the thigh.
        let thin = (1.0 - (across / 30.0).powi(2)).max(0.35) * (1.0 - 0.35 * smooth(before / 45.0));
        let tendon = fat + knee.tendon * thin * (1.0 + 0.07 * waves(4.0));
        let muscle =
            tendon + knee.muscle * pressed * smooth((before - knee.muscle_from) / 26.0) * (1.0 + 0.15 * waves(5.0));
        let fluid = self.fluid(a);
        let triangle = (1.0 - before.max(0.0) / knee.pad_length).max(0.0);
        let pad = knee.pad * pressed * (triangle * triangle * (3.0 - 2.0 * triangle)) * (1.0 + 0.15 * waves(6.0));
        // Fluid flattens the pad above it.
        let pad = muscle + pad - (0.3 * fluid).min(0.5 * pad);
        [gel, skin, fat, tendon, muscle, pad, pad + fluid]
    }

    /// Thickness of the recess at `a`, mm; 0 where it is closed.
    fn fluid(&self, a: f64) -> f64 {
        let knee = self.knee;
        let [from, to] = knee.recess;
        let t = (a - from) / (to - from);
        if self.fluid <= 0.0 || t <= 0.0 || t >= 1.0 {
            return 0.0;
        }
        let round = (std::f64::consts::PI * t.powf(knee.skew)).sin().max(0.0).powf(0.55);
        let wave = 1.0 + knee.fluid_wave * self.knee.waves(7.0, 1.6 * a, self.pose.across);
        let fluid = self.fluid * round * wave;
        if fluid < LEAST_MM { 0.0 } else { fluid }
    }

    /// Depth of the femur's surface at `a` but for a constant, mm.
    fn femur_shape(&self, a: f64) -> f64 {
        let knee = self.knee;
        let bump = (-((a - knee.bump_at) / 9.0).powi(2)).exp();
        knee.femur_slope * a + knee.femur_curve * a * a - knee.bump * bump + 0.35 * knee.waves(8.0, a, self.pose.across)
    }

    /// Depth of the patella's surface at `a`, mm: round at the pole, then under a thin rest of the tendon.
    fn patella(&self, a: f64) -> f64 {
        let knee = self.knee;
        let [_, _, top, bottom, ..] = self.soft(a);
        let left = (1.0 - (a - self.pole) / knee.rise).clamp(0.0, 1.0);
        top + knee.before_patella + (0.75 * (bottom - top) - knee.before_patella).max(0.0) * left * left
    }

    /// Depth of the femur where it lies deepest in the picture, mm.
    pub(super) fn deepest(&self) -> f64 {
        let depth = |x: f64| self.column(x).femur();
        depth(-self.knee.half).max(depth(0.0)).max(depth(self.knee.half))
    }
}

/// From 0 at 0 to 1 at 1, smoothly.
pub(super) fn smooth(t: f64) -> f64 {
    let t = t.clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}
