//! From features to places on a map: principal components, then t-SNE.
//!
//! van der Maaten and Hinton, "Visualizing Data using t-SNE", Journal of Machine Learning Research 9, 2008. The map begins at the first
//! two components, as scikit-learn's does, and is made on one thread: the same features give the same map.

use anyhow::{Context, Result, anyhow};
use linfa_linalg::eigh::{EigSort, Eigh};
use ndarray::{Array2, Axis};
use sonoseg_imaging::rng::Rng;

/// Components that t-SNE looks at, as its authors do with pictures.
const COMPONENTS: usize = 50;
/// Neighbours that a point is to have, about; fewer where there are few points.
const PERPLEXITY: f64 = 30.0;
/// Spread of the first places.
const FIRST: f64 = 1e-4;
/// Points that lie on each other need a little of their own to come apart.
const APART: f64 = 1e-6;
/// Fewer points make no map.
pub(super) const LEAST: usize = 8;

/// Places `[points]` of features `[points]`, each `[features]`.
pub(super) fn places(features: &[Vec<f32>], seed: u64) -> Result<Vec<[f64; 2]>> {
    let components = components(features)?;
    let count = components.nrows();
    let rows: Vec<Vec<f64>> = components.rows().into_iter().map(|row| row.to_vec()).collect();
    let first: f64 = components.column(0).iter().map(|one| one * one).sum::<f64>() / count as f64;
    let scale = if first > 0.0 { FIRST / first.sqrt() } else { 0.0 };
    let mut rng = Rng::stream(seed, "map", [0, 0]);
    let second = |row: &[f64]| row.get(1).copied().unwrap_or_default();
    let start: Vec<f64> =
        rows.iter().flat_map(|row| [row[0], second(row)]).map(|one| scale * one + APART * rng.normal()).collect();
    let perplexity = PERPLEXITY.min((count as f64 - 1.0) / 3.0 - 0.01).max(1.0);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().context("starting a thread")?;
    let flat: Vec<f64> = pool.install(|| {
        let mut tsne = bhtsne::tSNE::<f64, Vec<f64>, 2>::new(&rows);
        tsne.perplexity(perplexity).initial_embedding(start);
        tsne.exact(|a, b| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()).embedding()
    });
    Ok(flat.chunks_exact(2).map(|place| [place[0], place[1]]).collect())
}

/// The first principal components `[points, components]`, of features that count alike: each is divided by its own spread.
fn components(features: &[Vec<f32>]) -> Result<Array2<f64>> {
    let (count, width) = (features.len(), features.first().map_or(0, Vec::len));
    let numbers: Vec<f64> = features.iter().flatten().map(|&one| f64::from(one)).collect();
    let rows = Array2::from_shape_vec((count, width), numbers).context("features of different lengths")?;
    let mean = rows.mean_axis(Axis(0)).context("there are no features")?;
    let mut rows = rows - &mean;
    let spread = rows.mapv(|one| one * one).mean_axis(Axis(0)).context("there are no features")?.mapv(f64::sqrt);
    let least = 1e-9 * spread.iter().copied().fold(0.0, f64::max);
    rows /= &spread.mapv(|one| if one > least { one } else { f64::INFINITY });
    // Of fewer points than features the products of points are the smaller matrix, with the same components.
    let gram = rows.dot(&rows.t());
    let (values, vectors) = gram.eigh().map_err(|e| anyhow!("the components of the features: {e}"))?.sort_eig_desc();
    let kept = COMPONENTS.min(count).min(width.max(1));
    let mut components = Array2::zeros((count, kept));
    for (at, (value, vector)) in values.iter().zip(vectors.columns()).take(kept).enumerate() {
        // A component has no sign of its own.
        let largest = vector.iter().copied().fold(0.0f64, |most, one| if one.abs() > most.abs() { one } else { most });
        let scale = value.max(0.0).sqrt() * if largest < 0.0 { -1.0 } else { 1.0 };
        components.column_mut(at).assign(&(&vector * scale));
    }
    Ok(components)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three clouds in ten features.
    fn clouds(each: usize) -> Vec<Vec<f32>> {
        let mut rng = Rng::stream(3, "clouds", [0, 0]);
        let point = |at: usize, rng: &mut Rng| -> Vec<f32> {
            (0..10).map(|feature| (if feature % 3 == at % 3 { 6.0 } else { 0.0 } + rng.normal()) as f32).collect()
        };
        (0..3 * each).map(|at| point(at, &mut rng)).collect()
    }

    #[test]
    fn clouds_stay_together_and_the_same_features_give_the_same_map() {
        let features = clouds(16);
        let map = places(&features, 1).unwrap();
        assert_eq!(map, places(&features, 1).unwrap());
        let distance = |a: usize, b: usize| (map[a][0] - map[b][0]).hypot(map[a][1] - map[b][1]);
        for a in 0..map.len() {
            let nearest = (0..map.len()).filter(|&b| b != a).min_by(|&b, &c| distance(a, b).total_cmp(&distance(a, c)));
            assert_eq!(nearest.unwrap() % 3, a % 3, "point {a}");
        }
    }

    #[test]
    fn components_are_those_of_a_line() {
        // Features (t, 2 t) and one that never changes: one component, of the places t in units of its spread times sqrt 2.
        let features: Vec<Vec<f32>> = [-1.0, 0.0, 0.0, 1.0].map(|t| vec![t, 2.0 * t, 5.0]).to_vec();
        let found = components(&features).unwrap();
        let wanted = [2.0, 0.0, 0.0, -2.0];
        let sign = found[(0, 0)].signum();
        for (at, wanted) in wanted.into_iter().enumerate() {
            assert!((sign * found[(at, 0)] - wanted).abs() < 1e-9 && found[(at, 1)].abs() < 1e-6, "{found}");
        }
        assert!(places(&vec![vec![1.0, 2.0]; 12], 0).unwrap().iter().flatten().all(|one| one.is_finite()));
    }
}
