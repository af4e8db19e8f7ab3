//! Centre-line precision and recall: how much of the predicted centre line lies in the true mask, and how much of the true
//! one in the predicted mask. For thin things such as needles they say whether the line is found where the overlap of
//! pixels mostly says how thick it was drawn.
//!
//! Shit and others, "clDice - a Novel Topology-Preserving Loss Function for Tubular Structure Segmentation", CVPR 2021,
//! arXiv:2003.07311, section 3: topology precision and sensitivity, of which clDice is the harmonic mean. The skeletons are
//! those of Zhang and Suen, "A fast parallel algorithm for thinning digital patterns", 1984.

use super::measure::{Better, Measure, Metric};

/// Share of the predicted centre line that lies in the true mask.
pub const PRECISION: Metric = Metric::new("cl_precision", "centre-line precision", Better::Higher);

/// Share of the true centre line that lies in the predicted mask.
pub const RECALL: Metric = Metric::new("cl_recall", "centre-line recall", Better::Higher);

/// Both, of a predicted and a true mask. The precision of a mask without pixels is not defined, and neither is the recall
/// where there is nothing to find.
///
/// # Shapes
/// - `predicted`, `truth`: row-major `[height, width]`
pub fn measures(predicted: &[bool], truth: &[bool], size: [usize; 2]) -> Vec<Measure> {
    let share = |metric: Metric, line: &[bool], mask: &[bool]| {
        let inside = line.iter().zip(mask).filter(|(line, mask)| **line && **mask).count();
        Measure::new(metric, inside as f64, line.iter().filter(|line| **line).count() as f64)
    };
    vec![share(PRECISION, &skeleton(predicted, size), truth), share(RECALL, &skeleton(truth, size), predicted)]
}

/// The mask thinned to lines one pixel wide that hang together as it does.
///
/// # Shapes
/// - `mask`, output: row-major `[height, width]`
pub fn skeleton(mask: &[bool], [height, width]: [usize; 2]) -> Vec<bool> {
    assert_eq!(mask.len(), height * width, "a mask of {height} x {width} has as many pixels");
    // With a rim of background, so that every pixel has eight neighbours.
    let row = width + 2;
    let mut thin = vec![false; (height + 2) * row];
    let place = |index: usize| (index / width + 1) * row + index % width + 1;
    let mut left: Vec<usize> = (0..mask.len()).filter(|&index| mask[index]).map(place).collect();
    left.iter().for_each(|&at| thin[at] = true);
    // Clockwise from the one above.
    let steps =
        |at: usize| [at - row, at - row + 1, at + 1, at + row + 1, at + row, at + row - 1, at - 1, at - row - 1];
    loop {
        let before = left.len();
        for first in [true, false] {
            let goes = |at: &usize| {
                let around = steps(*at).map(|neighbour| thin[neighbour]);
                let count = around.iter().filter(|&&set| set).count();
                let rises = (0..8).filter(|&i| !around[i] && around[(i + 1) % 8]).count();
                let [above, _, right, _, below, _, left, _] = around;
                let open =
                    if first { !(right && below && (above || left)) } else { !(above && left && (right || below)) };
                (2..=6).contains(&count) && rises == 1 && open
            };
            let mut gone: Vec<usize> = left.iter().filter(|at| goes(at)).copied().collect();
            // A block of two by two would vanish at once: of what goes with all its neighbours, the first pixel stays.
            let leaves = |at: &usize| gone.binary_search(at).is_ok();
            let vanishes = |at: &usize| {
                let mut around = steps(*at).into_iter().filter(|&neighbour| thin[neighbour]);
                around.all(|neighbour| neighbour > *at && leaves(&neighbour))
            };
            let stay: Vec<usize> = gone.iter().filter(|at| vanishes(at)).copied().collect();
            gone.retain(|at| !stay.contains(at));
            gone.iter().for_each(|&at| thin[at] = false);
            left.retain(|&at| thin[at]);
        }
        if left.len() == before {
            return (0..mask.len()).map(|index| thin[place(index)]).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Needle, Point, draw_capsule};

    const SIZE: [usize; 2] = [40, 48];

    fn shaft(radius_px: f64, down: f64) -> Vec<bool> {
        let needle = Needle { entry: Point { x: 6.0, y: 5.0 + down }, tip: Point { x: 40.0, y: 25.0 + down } };
        draw_capsule(&needle, radius_px, SIZE[0], SIZE[1]).classes.iter().map(|&class| class > 0).collect()
    }

    fn values(predicted: &[bool], truth: &[bool]) -> [Option<f64>; 2] {
        let found = measures(predicted, truth, SIZE);
        [found[0].value(), found[1].value()]
    }

    #[test]
    fn a_line_is_found_however_thick_it_is_drawn() {
        let (thin, thick) = (shaft(1.5, 0.0), shaft(4.0, 0.0));
        assert_eq!(values(&thick, &thick), [Some(1.0); 2]);
        let [precision, recall] = values(&thick, &thin).map(Option::unwrap);
        assert!(precision > 0.85 && recall == 1.0, "{precision} {recall}");
        assert_eq!(values(&shaft(1.0, 12.0), &shaft(1.0, 0.0)), [Some(0.0); 2]);
    }

    #[test]
    fn what_is_not_there_has_no_share() {
        let (line, nothing) = (shaft(2.0, 0.0), vec![false; SIZE[0] * SIZE[1]]);
        assert_eq!(values(&line, &nothing), [Some(0.0), None]);
        assert_eq!(values(&nothing, &line), [None, Some(0.0)]);
        assert_eq!(values(&nothing, &nothing), [None, None]);
    }

    #[test]
    fn a_skeleton_is_thin_whole_and_inside() {
        let mask = shaft(4.0, 0.0);
        let line = skeleton(&mask, SIZE);
        let count = line.iter().filter(|set| **set).count();
        assert!((28..=44).contains(&count), "a line of 39 pixels, {count}");
        assert!(line.iter().zip(&mask).all(|(line, mask)| !line || *mask));
        // Every pixel of it but the two ends has two neighbours or more: it hangs together.
        let set = |x: i32, y: i32| (0..48).contains(&x) && (0..40).contains(&y) && line[(y * 48 + x) as usize];
        let around = |x: i32, y: i32| {
            (-1..2)
                .flat_map(|dy| (-1..2).map(move |dx| (dx, dy)))
                .filter(|&(dx, dy)| (dx, dy) != (0, 0) && set(x + dx, y + dy))
                .count()
        };
        let all: Vec<usize> = (0..40)
            .flat_map(|y| (0..48).map(move |x| (x, y)))
            .filter(|&(x, y)| set(x, y))
            .map(|(x, y)| around(x, y))
            .collect();
        assert_eq!(all.iter().filter(|&&count| count == 1).count(), 2, "{all:?}");
        assert!(all.iter().all(|&count| (1..=4).contains(&count)), "{all:?}");
        // A ring stays a ring, and a pixel stays a pixel.
        let ring: Vec<bool> = (0..81)
            .map(|i| {
                let (x, y) = (i % 9, i / 9);
                !((3..6).contains(&x) && (3..6).contains(&y)) && (1..8).contains(&x) && (1..8).contains(&y)
            })
            .collect();
        let thin = skeleton(&ring, [9, 9]);
        assert!(thin.iter().filter(|set| **set).count() >= 12 && !thin[4 * 9 + 4]);
        assert_eq!(skeleton(&[true], [1, 1]), [true]);
        assert_eq!(skeleton(&[true; 4], [2, 2]), [true, false, false, false], "a block does not vanish");
    }
}
