//! What moves from frame to frame: the needle's insertion, the hand, the probe, the tissue.

use super::config::{DifficultyConfig, NeedleSimConfig, draw, draw_sign, happens};
use super::probe::Probe;
use crate::rng::Rng;

/// One pass of the needle: a straight line in mm.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass {
    /// Where the tip is meant to go, mm.
    pub(super) target: (f64, f64),
    /// Unit vector of the insertion.
    pub(super) direction: (f64, f64),
    /// Distance from the place where the line enters the picture to the target, mm.
    pub(super) reach_mm: f64,
    /// Length next to the tip that lies in the plane, where the needle begins inside the picture, mm.
    pub(super) in_plane_mm: Option<f64>,
}

/// How the needle of a procedure runs.
#[derive(Clone, Copy, PartialEq)]
enum Course {
    /// From an edge of the picture to a target in it.
    Entering,
    /// It comes into the plane inside the picture.
    Floating,
    /// Right through the picture.
    Through,
}

impl Course {
    fn draw(config: &NeedleSimConfig, rng: &mut Rng) -> Self {
        if happens(rng, config.floating_share) {
            Self::Floating
        } else if happens(rng, config.through_share) {
            Self::Through
        } else {
            Self::Entering
        }
    }
}

/// The state of one machine frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// The line of the needle, or that none is near the picture.
    pub(super) pass: Option<Pass>,
    /// Position of the tip along the line, mm from the target (negative: before it).
    pub(super) tip_mm: f64,
    /// Turn of the needle about its entry, rad.
    pub(super) turn: f64,
    /// Shift across the needle, mm.
    pub(super) shift_mm: f64,
    /// Length next to the tip that is out of the plane, mm.
    pub(super) tip_hidden_mm: f64,
    /// Length next to the entry that is out of the plane, mm.
    pub(super) entry_hidden_mm: f64,
    /// Brightness left of the needle when all of it moves out of the plane, 0 to 1.
    pub(super) presence: f64,
    /// Shift of the tissue under the probe `(x, z)`, mm.
    pub(super) drift: (f64, f64),
    /// How far the needle drags the tissue along, mm.
    pub(super) drag_mm: f64,
    /// Half width of the injected fluid around the target of the pass, mm.
    pub(super) fluid_mm: f64,
    /// Phase of the pulse, rad.
    pub(super) pulse: f64,
    /// Mixing angle of the two slices of tissue, rad.
    pub(super) slice: f64,
}

/// What the hand is doing.
#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Away,
    Advance,
    Hold,
    Withdraw,
}

/// A value that wanders about 0 and comes back.
struct Wander {
    value: f64,
    pull: f64,
    kick: f64,
}

impl Wander {
    /// `deviation` is the standard deviation in the long run, `seconds` the time to forget.
    fn new(deviation: f64, seconds: f64, step: f64, rng: &mut Rng) -> Self {
        let pull = (-step / seconds).exp();
        Self { value: deviation * rng.normal(), pull, kick: deviation * (1.0 - pull * pull).sqrt() }
    }

    fn step(&mut self, rng: &mut Rng) -> f64 {
        self.value = self.pull * self.value + self.kick * rng.normal();
        self.value
    }
}

/// An on and off switch with ramps: 0 is off, 1 is on.
struct Episode {
    level: f64,
    active: bool,
    start: f64,
    stop: f64,
    ramp: f64,
}

impl Episode {
    /// On for `share` of the time, `seconds` at a time.
    fn new(share: f64, seconds: f64, step: f64, rng: &mut Rng) -> Self {
        let active = rng.chance(share);
        let stop = (step / seconds).min(1.0);
        let start = (stop * share / (1.0 - share).max(1e-3)).min(1.0);
        Self { level: if active { 1.0 } else { 0.0 }, active, start, stop, ramp: rng.uniform(0.2, 0.6) }
    }

    fn step(&mut self, rng: &mut Rng) -> f64 {
        if rng.chance(if self.active { self.stop } else { self.start }) {
            self.active = !self.active;
        }
        let change = if self.active { self.ramp } else { -self.ramp };
        self.level = (self.level + change).clamp(0.0, 1.0);
        self.level
    }
}

/// Draw a line that the needle can take.
fn draw_pass(config: &NeedleSimConfig, probe: &Probe, course: Course, side: f64, rng: &mut Rng) -> Pass {
    let mut pass = Pass { target: (0.0, 0.0), direction: (0.0, 1.0), reach_mm: 0.0, in_plane_mm: None };
    // Some angles leave hardly any line in the picture: try a few.
    for _ in 0..24 {
        let angle = draw(rng, config.angle_deg).to_radians();
        let beam = rng.uniform(0.12, 0.88) * probe.beams as f64;
        let sample = rng.uniform(0.14, 0.88) * probe.samples as f64;
        pass.target = probe.mm_from_cell(beam, sample);
        pass.direction = (side * angle.cos(), angle.sin());
        if !probe.shows(pass.target.0, pass.target.1) {
            continue;
        }
        // Needles go in near the top of the picture, seldom far down its side.
        let deepest = if rng.chance(0.15) || course == Course::Floating { 1.0 } else { 0.55 };
        pass.reach_mm = 0.0;
        let step = 0.25;
        while pass.reach_mm < 300.0 {
            let next = pass.reach_mm + step;
            if !probe.shows(pass.target.0 - next * pass.direction.0, pass.target.1 - next * pass.direction.1) {
                break;
            }
            pass.reach_mm = next;
        }
        let entry_mm = pass.target.1 - pass.reach_mm * pass.direction.1;
        let long = pass.reach_mm > 0.22 * probe.depth_mm && pass.reach_mm < 110.0;
        if long && entry_mm < deepest * probe.depth_mm {
            break;
        }
    }
    match course {
        Course::Entering => {}
        Course::Floating => pass.in_plane_mm = Some(draw(rng, config.floating_length) * pass.reach_mm),
        Course::Through => {
            let mut beyond_mm = 0.0;
            while beyond_mm < 300.0
                && probe
                    .shows(pass.target.0 + beyond_mm * pass.direction.0, pass.target.1 + beyond_mm * pass.direction.1)
            {
                beyond_mm += 0.25;
            }
            beyond_mm += rng.uniform(1.0, 10.0);
            pass.target.0 += beyond_mm * pass.direction.0;
            pass.target.1 += beyond_mm * pass.direction.1;
            pass.reach_mm += beyond_mm;
        }
    }
    pass
}

/// The states of `frames` machine frames.
pub(super) fn draw_moments(
    config: &NeedleSimConfig,
    difficulty: &DifficultyConfig,
    probe: &Probe,
    frames: usize,
    rng: &mut Rng,
) -> Vec<Moment> {
    let step = 1.0 / config.machine_fps.max(1e-3);
    let with_needle = !rng.chance(difficulty.no_needle_share);
    let side = draw_sign(rng);
    let course = Course::draw(config, rng);
    let mut pass = draw_pass(config, probe, course, side, rng);
    let speed = draw(rng, config.speed_mm_s) * (probe.depth_mm / 45.0).max(1.0);
    let start = rng.uniform(0.0, 1.0);
    let (mut phase, mut tip_mm) = match start {
        s if s < 0.18 => (Phase::Away, -pass.reach_mm - 4.0),
        s if s < 0.7 => (Phase::Advance, -pass.reach_mm * rng.uniform(0.1, 1.0)),
        s if s < 0.9 => (Phase::Hold, rng.uniform(-0.2, 0.0) * pass.reach_mm),
        _ => (Phase::Withdraw, rng.uniform(-0.4, 0.0) * pass.reach_mm),
    };
    let mut left = rng.uniform(0.2, 1.5);
    let mut pace = 1.0;
    let jitter = draw(rng, config.jitter_mm);
    let mut shift = Wander::new(jitter, 0.4, step, rng);
    let mut turn = Wander::new(rng.uniform(0.0, 0.02), 1.5, step, rng);
    let mut tremor = Wander::new(1.5 * jitter, 0.25, step, rng);
    let mut drift_x = Wander::new(draw(rng, config.drift_mm_s), 2.0, step, rng);
    let mut drift_z = Wander::new(0.5 * draw(rng, config.drift_mm_s), 1.5, step, rng);
    let mut tip_out = Episode::new(difficulty.tip_out_share, 0.8, step, rng);
    let mut all_out = Episode::new(difficulty.needle_out_share, 0.6, step, rng);
    let hidden_mm = rng.uniform(0.1, 0.5) * pass.reach_mm;
    let entry_hidden = if rng.chance(difficulty.entry_hidden_share) { rng.uniform(0.05, 0.4) } else { 0.0 };
    let mut entry_wander = Wander::new(0.06, 1.5, step, rng);
    let pulse_rate = rng.uniform(0.8, 1.8) * std::f64::consts::TAU;
    let slice_rate = draw(rng, config.decorrelation);
    let drag = rng.uniform(0.0, 0.9);
    let mut slice = rng.uniform(0.0, 1.5);
    let mut drag_mm: f64 = 0.0;
    let injection = if rng.chance(config.injection_share) { rng.uniform(0.8, 4.0) } else { 0.0 };
    let mut fluid_mm: f64 = if injection > 0.0 && start >= 0.7 { rng.uniform(0.0, 5.0) } else { 0.0 };

    (0..frames)
        .map(|_| {
            left -= step;
            let before = tip_mm;
            match phase {
                Phase::Away if left <= 0.0 => {
                    phase = Phase::Advance;
                    pass = draw_pass(config, probe, course, side, rng);
                    tip_mm = -pass.reach_mm - rng.uniform(0.5, 3.0);
                    fluid_mm = 0.0;
                }
                Phase::Advance => {
                    // Stick and slip: the pace changes, and stops now and then.
                    if rng.chance(0.15) {
                        pace = if rng.chance(0.2) { 0.0 } else { rng.uniform(0.3, 1.6) };
                    }
                    tip_mm += pace * speed * step;
                    if tip_mm >= 0.0 {
                        phase = Phase::Hold;
                        left = rng.uniform(0.4, 2.5);
                    }
                }
                Phase::Hold if left <= 0.0 => {
                    phase = if rng.chance(0.4) { Phase::Advance } else { Phase::Withdraw };
                    if phase == Phase::Advance {
                        tip_mm -= rng.uniform(0.05, 0.3) * pass.reach_mm * 0.3;
                    }
                }
                Phase::Withdraw => {
                    tip_mm -= 1.6 * speed * step;
                    if rng.chance(0.03) {
                        phase = Phase::Advance;
                    }
                    if tip_mm < -pass.reach_mm - 2.0 {
                        phase = Phase::Away;
                        left = rng.uniform(0.2, 1.2);
                    }
                }
                Phase::Away | Phase::Hold => {}
            }
            let moved = (tip_mm - before).clamp(-2.0, 2.0);
            drag_mm = (0.85 * drag_mm + drag * 0.35 * moved).clamp(-1.2, 1.2);
            if phase == Phase::Hold && tip_mm > -3.0 {
                fluid_mm = (fluid_mm + injection * step).min(7.0);
            }
            let out = tip_out.step(rng);
            let presence = 1.0 - all_out.step(rng);
            slice += slice_rate * step;
            let entry_share = if entry_hidden > 0.0 { (entry_hidden + entry_wander.step(rng)).max(0.0) } else { 0.0 };
            Moment {
                pass: (with_needle && phase != Phase::Away).then_some(pass),
                tip_mm: tip_mm + tremor.step(rng),
                turn: turn.step(rng),
                shift_mm: shift.step(rng),
                tip_hidden_mm: out * hidden_mm,
                entry_hidden_mm: entry_share * pass.reach_mm,
                presence,
                drift: (drift_x.step(rng).clamp(-2.5, 2.5), drift_z.step(rng).clamp(-1.2, 1.2)),
                drag_mm,
                fluid_mm,
                pulse: 0.0,
                slice,
            }
        })
        .enumerate()
        .map(|(index, moment)| Moment { pulse: pulse_rate * step * index as f64, ..moment })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needles_come_and_go_and_stay_near_their_target() {
        let config = NeedleSimConfig::default();
        let mut inserted = 0;
        for index in 0..20 {
            let mut rng = Rng::stream(8, "test", [index, 0]);
            let probe = Probe::draw(&config, &mut rng);
            let moments = draw_moments(&config, &config.medium, &probe, 60, &mut rng);
            assert_eq!(moments.len(), 60);
            for moment in &moments {
                assert!(moment.tip_mm < 3.0, "overshoot {}", moment.tip_mm);
                if let Some(pass) = moment.pass {
                    assert!((pass.direction.0.hypot(pass.direction.1) - 1.0).abs() < 1e-9);
                }
                inserted += usize::from(moment.pass.is_some() && moment.tip_mm > -moment.pass.unwrap().reach_mm);
            }
        }
        assert!((500..1190).contains(&inserted), "{inserted} of 1200 frames with a needle");
    }
}
