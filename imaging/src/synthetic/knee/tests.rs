//! Tests of the knee's simulator.

use super::*;
use crate::geometry::Scale;
use crate::synthetic::MachineConfig;

/// Clear fluid, and a picture that shows it as it is.
fn plain(effusion: Effusion) -> KneeSimConfig {
    let machine = MachineConfig {
        image_side_px: [240.0, 240.0],
        noise_db: [-80.0, -80.0],
        near_field_db: [-60.0, -60.0],
        tissue_level: [0.45, 0.45],
        tgc_error_db: [0.0, 0.0],
        attenuation_db: [0.0, 0.0],
        marks_share: 0.0,
        resampling_share: 0.0,
        jpeg_share: 0.0,
        ..MachineConfig::default()
    };
    let effusion = Some(effusion);
    KneeSimConfig {
        effusion,
        debris_share: 0.0,
        septa: [0, 0],
        synovium_share: 0.0,
        machine,
        ..KneeSimConfig::default()
    }
}

/// Mean grey of the pixels that a rule picks, and how many there are.
fn mean(frame: &KneeFrame, picks: impl Fn(usize) -> bool) -> (f64, usize) {
    let picked = (0..frame.image.pixels.len()).filter(|&at| picks(at));
    let (sum, count) = picked.fold((0.0, 0), |(sum, n), at| (sum + f64::from(frame.image.pixels[at]), n + 1));
    (sum / f64::from(count.max(1)), count as usize)
}

#[test]
fn everything_follows_from_seed_and_index() {
    let config = KneeSimConfig::default();
    let frame = |seed, index, t| KneeSim::new(&config, seed, index, 4).frame(t);
    assert_eq!(frame(3, 4, 2), frame(3, 4, 2));
    let sim = KneeSim::new(&config, 3, 4, 4);
    let (last, again) = (sim.frame(3), sim.frame(2));
    assert_eq!((again, sim.len()), (frame(3, 4, 2), 4));
    for other in [frame(4, 4, 2), frame(3, 5, 2), last] {
        assert_ne!(frame(3, 4, 2).image, other.image);
    }
}

#[test]
fn fluid_is_marked_where_there_is_any_and_nowhere_else() {
    let frames = |effusion: Effusion, share: f64| {
        let config = KneeSimConfig { effusion: Some(effusion), ..KneeSimConfig::default() };
        let (mut with, mut pixels) = (0, 0);
        for index in 0..16 {
            let sim = KneeSim::new(&config, 8, index, 6);
            assert_eq!(sim.effusion(), effusion);
            for t in [0, 5] {
                let frame = sim.frame(t);
                let recess = frame.recess();
                assert_eq!(recess.pixels(), frame.structures.classes.iter().filter(|&&class| class == 1).count());
                with += usize::from(!recess.is_empty());
                pixels += recess.pixels();
            }
        }
        assert!(f64::from(with as u32) >= share * 32.0, "{effusion:?}: {with} of 32 frames show fluid");
        (with, pixels)
    };
    assert_eq!(frames(Effusion::None, 0.0), (0, 0));
    let ((_, trace), (_, much)) = (frames(Effusion::Trace, 0.8), frames(Effusion::Much, 0.9));
    assert!(much > 2 * trace, "{trace} pixels of a trace, {much} of much");
    // Mixed procedures have all three.
    let mixed: Vec<Effusion> =
        (0..24).map(|index| KneeSim::new(&KneeSimConfig::default(), 1, index, 1).effusion()).collect();
    assert!(Effusion::ALL.iter().all(|effusion| mixed.contains(effusion)), "{mixed:?}");
}

#[test]
fn the_recess_is_dark_up_to_the_edge_of_its_mask() {
    let (mut checked, mut inside, mut outside) = (0, 0.0, 0.0);
    for index in 0..8 {
        let frame = KneeSim::new(&plain(Effusion::Much), 5, index, 6).frame(3);
        let (height, width) = (frame.image.height, frame.image.width);
        let recess = frame.recess().classes;
        let class = |at: usize| frame.structures.classes[at];
        // A pixel three rows within is dark.
        let far = 3 * width;
        let within = |at: usize| at >= far && at + far < height * width && recess[at - far] + recess[at + far] == 2;
        let (dark, count) = mean(&frame, |at| recess[at] == 1 && within(at));
        // Haze of the machine may lie over all of a picture.
        assert!(count > 50 && dark < 0.12, "procedure {index}: {dark} in {count} pixels of fluid");
        // Three rows from its lower edge it is bright on the one side and dark on the other.
        for at in width..height * width - far {
            let edge = recess[at - width] == 1 && class(at) == Structure::PrefemoralPad.class();
            if edge && at >= far + width && recess[at - far] == 1 && class(at + far) == Structure::PrefemoralPad.class()
            {
                inside += f64::from(frame.image.pixels[at - far]);
                outside += f64::from(frame.image.pixels[at + 2 * width]);
                checked += 1;
            }
        }
    }
    assert!(checked > 300, "{checked} places at the edge");
    assert!(outside > 4.0 * inside, "{outside} outside, {inside} inside");
}

#[test]
fn bone_is_bright_dark_below_and_hides_what_is_behind_it() {
    let (mut bones, mut left) = (0, 0);
    for index in 0..8 {
        let sim = KneeSim::new(&plain(Effusion::Trace), 9, index, 4);
        let frame = sim.frame(1);
        let (height, width) = (frame.image.height, frame.image.width);
        let classes = &frame.structures.classes;
        let is_bone = |class: u8| class == Structure::Femur.class() || class == Structure::Patella.class();
        // The brightest place of each column's bone: what rings on below it is marked, too.
        let peaks: Vec<f32> = (0..width)
            .filter_map(|x| {
                let column = (0..height).map(|y| y * width + x).filter(|&at| is_bone(classes[at]));
                column.map(|at| frame.image.pixels[at]).max_by(f32::total_cmp)
            })
            .collect();
        let bone = peaks.iter().map(|&level| f64::from(level)).sum::<f64>() / peaks.len() as f64;
        let (tissue, _) = mean(&frame, |at| classes[at] == Structure::PrefemoralPad.class());
        let (_, fluid) = mean(&frame, |at| classes[at] == Structure::Recess.class());
        let below = |at: usize| at >= 12 * width && is_bone(classes[at - 12 * width]) && classes[at] == 0;
        let (shadow, _) = mean(&frame, below);
        assert!(!peaks.is_empty() && fluid < height * width / 4, "procedure {index}");
        assert!(bone > 1.1 * tissue && shadow < 0.7 * bone, "{index}: {bone} bone, {tissue} tissue, {shadow} shadow");
        for x in 0..width {
            let mut column = (0..height).map(|y| classes[y * width + x]).skip_while(|&class| !is_bone(class));
            let bone = column.next();
            assert!(column.all(|class| class == 0 || Some(class) == bone), "procedure {index}: something behind bone");
        }
        // The patella is at its side.
        let patella: Vec<usize> =
            (0..classes.len()).filter(|&at| classes[at] == Structure::Patella.class()).map(|at| at % width).collect();
        if !patella.is_empty() {
            bones += 1;
            left += usize::from(sim.patella_left());
            let middle = patella.iter().sum::<usize>() / patella.len();
            assert_eq!(2 * middle < width, sim.patella_left(), "procedure {index}: the patella is at column {middle}");
        }
    }
    assert!(bones >= 4 && left > 0 && left < bones, "{left} of {bones} patellae at the left");
}

#[test]
fn all_structures_are_seen_and_pictures_have_a_scale() {
    let mut seen = [false; Structure::ALL.len()];
    for index in 0..12 {
        let config = KneeSimConfig::default();
        let sim = KneeSim::new(&config, 2, index, 3);
        let frame = sim.frame(0);
        assert_eq!((frame.structures.height, frame.structures.width), (frame.image.height, frame.image.width));
        assert!(frame.image.pixels.iter().all(|level| (0.0..=1.0).contains(level)));
        assert_ne!(frame.image.scale, Scale::Unknown);
        let depth = sim.probe.depth_mm;
        assert!(depth >= config.depth_mm[0] && depth <= config.depth_mm[1], "{depth} mm");
        frame.structures.classes.iter().for_each(|&class| seen[usize::from(class)] = true);
    }
    assert_eq!(seen, [true; Structure::ALL.len()]);
}

#[test]
fn a_sweep_is_slow() {
    let sim = KneeSim::new(&plain(Effusion::Much), 4, 1, 20);
    let masks: Vec<Mask> = (0..20).map(|t| sim.frame(t).recess()).collect();
    for pair in masks.windows(2) {
        let changed = pair[0].classes.iter().zip(&pair[1].classes).filter(|(a, b)| a != b).count();
        assert!(4 * changed < pair[0].pixels() + pair[1].pixels(), "{changed} of {} pixels", pair[0].pixels());
    }
    assert_ne!(masks[0], masks[19]);
}
