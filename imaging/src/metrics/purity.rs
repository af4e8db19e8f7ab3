//! How pure the neighbourhoods of points are: of the nearest others of a point, the share that has its label.

/// Purity of nearest neighbours.
#[derive(Clone, Debug, PartialEq)]
pub struct Purity {
    /// Mean over all points of the share of their neighbours that has their label; undefined where no point has neighbours.
    pub purity: f64,
    /// The same where neighbours are drawn at random: what a network without an idea has.
    pub chance: f64,
    /// Points that have neighbours.
    pub points: usize,
}

/// Purity of the `neighbours` nearest points, Euclidean, among those of other groups: frames of one procedure are near
/// twins, and say nothing. A point with fewer others counts with those that there are, and one without any not at all. Of
/// points that are equally far the earlier ones are nearer. Panics where the three are of different lengths.
///
/// # Shapes
/// - `features`: `[points]`, each `[features]`
/// - `labels`, `groups`: `[points]`
pub fn purity(features: &[Vec<f32>], labels: &[usize], groups: &[usize], neighbours: usize) -> Purity {
    let count = features.len();
    assert_eq!([labels.len(), groups.len()], [count, count], "labels and groups of {count} points");
    let (mut sum, mut chance, mut points) = (0.0, 0.0, 0);
    for at in 0..count {
        let mut others: Vec<(f64, usize)> = (0..count)
            .filter(|&other| groups[other] != groups[at])
            .map(|other| (distance(&features[at], &features[other]), other))
            .collect();
        if others.is_empty() || neighbours == 0 {
            continue;
        }
        let alike = |others: &[(f64, usize)]| {
            let same = others.iter().filter(|(_, other)| labels[*other] == labels[at]).count();
            same as f64 / others.len() as f64
        };
        chance += alike(&others);
        others.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        others.truncate(neighbours);
        sum += alike(&others);
        points += 1;
    }
    let mean = |sum: f64| if points == 0 { f64::NAN } else { sum / points as f64 };
    Purity { purity: mean(sum), chance: mean(chance), points }
}

/// Square of the distance.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(places: &[f32]) -> Vec<Vec<f32>> {
        places.iter().map(|&place| vec![place]).collect()
    }

    #[test]
    fn the_share_of_like_neighbours_is_counted_by_hand() {
        // 0, 1 and 2 of one label, 3 and 10 of another; two neighbours each:
        // 0: {1, 2} 1; 1: {0, 2} 1; 2: {1, 3} 1/2; 3: {2, 1} 0; 10: {3, 2} 1/2.
        let features = line(&[0.0, 1.0, 2.0, 3.0, 10.0]);
        let found = purity(&features, &[0, 0, 0, 1, 1], &[0, 1, 2, 3, 4], 2);
        assert!((found.purity - 3.0 / 5.0).abs() < 1e-12, "{found:?}");
        // By chance three have two like ones of four, and two have one.
        assert!((found.chance - (3.0 * 0.5 + 2.0 * 0.25) / 5.0).abs() < 1e-12, "{found:?}");
        assert_eq!(found.points, 5);
    }

    #[test]
    fn twins_of_a_group_are_no_neighbours() {
        // Pairs of a group at one place; the nearest others are of the other label.
        let features = line(&[0.0, 0.0, 1.0, 1.0, 9.0]);
        let found = purity(&features, &[0, 0, 1, 1, 0], &[0, 0, 1, 1, 2], 1);
        // 0, 0 -> 1: no; 1, 1 -> 0: no; 9 -> 1: no.
        assert_eq!((found.purity, found.points), (0.0, 5));
        let one_group = purity(&features, &[0, 0, 1, 1, 0], &[7; 5], 1);
        assert!(one_group.purity.is_nan() && one_group.chance.is_nan() && one_group.points == 0);
    }

    #[test]
    fn all_of_one_label_is_as_pure_as_chance() {
        let found = purity(&line(&[0.0, 4.0, 5.0]), &[3; 3], &[0, 1, 2], 10);
        assert_eq!(found, Purity { purity: 1.0, chance: 1.0, points: 3 });
    }
}
