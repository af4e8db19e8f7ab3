//! How alike two networks see the same pictures: linear centred kernel alignment.
//!
//! Kornblith, Norouzi, Lee and Hinton, "Similarity of Neural Network Representations Revisited", ICML 2019, section 3,
//! arXiv:1905.00414.

/// Linear CKA of two sets of features of the same points: 1 where one is a rotation, a shift or a multiple of the other, 0 where
/// they have nothing in common. It is high for any two of few points, too: of fewer points than features it says little.
/// Undefined where all points of a set are alike. Panics where the two are of different lengths.
///
/// # Shapes
/// - `a`: `[points]`, each `[features of one]`; `b`: `[points]`, each `[features of the other]`
pub fn linear_cka(a: &[Vec<f32>], b: &[Vec<f32>]) -> f64 {
    assert_eq!(a.len(), b.len(), "two sets of features of the same points");
    let (a, b) = (gram(a), gram(b));
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    product(&a, &b) / (product(&a, &a) * product(&b, &b)).sqrt()
}

/// Products of all pairs of centred points, `[points, points]`.
fn gram(points: &[Vec<f32>]) -> Vec<f64> {
    let (count, width) = (points.len(), points.first().map_or(0, Vec::len));
    let mean = |feature: usize| points.iter().map(|point| f64::from(point[feature])).sum::<f64>() / count as f64;
    let means: Vec<f64> = (0..width).map(mean).collect();
    let centred: Vec<Vec<f64>> = points
        .iter()
        .map(|point| point.iter().zip(&means).map(|(one, mean)| f64::from(*one) - mean).collect())
        .collect();
    let mut gram = vec![0.0; count * count];
    for row in 0..count {
        for column in 0..=row {
            let product = centred[row].iter().zip(&centred[column]).map(|(a, b)| a * b).sum();
            (gram[row * count + column], gram[column * count + row]) = (product, product);
        }
    }
    gram
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_a_shift_and_a_multiple_change_nothing() {
        let a = vec![vec![1.0, 0.0], vec![-1.0, 2.0], vec![0.5, 1.0], vec![3.0, -2.0]];
        let turned: Vec<Vec<f32>> = a.iter().map(|p| vec![5.0 - 3.0 * p[1], 7.0 + 3.0 * p[0], 4.0]).collect();
        assert!((linear_cka(&a, &a) - 1.0).abs() < 1e-12);
        assert!((linear_cka(&a, &turned) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn it_is_what_a_hand_computes() {
        // One feature each, centred (-1, 0, 1) and (1, -2, 1): their product is 0.
        let column = |numbers: [f32; 3]| numbers.map(|one| vec![one]).to_vec();
        assert!(linear_cka(&column([0.0, 1.0, 2.0]), &column([1.0, -2.0, 1.0])).abs() < 1e-12);
        // (-1, 0, 1) and (-1, 1, 0): product 1, squares 2 and 2: the square of the correlation, 1/4.
        assert!((linear_cka(&column([0.0, 1.0, 2.0]), &column([0.0, 2.0, 1.0])) - 0.25).abs() < 1e-12);
        // Two features (-1, 0, 1), (1, -2, 1) against the first: |X'y|^2 = 4 over |X'X| |y'y| = sqrt(4 + 36) * 2.
        let both = vec![vec![-1.0, 1.0], vec![0.0, -2.0], vec![1.0, 1.0]];
        let found = linear_cka(&both, &column([0.0, 1.0, 2.0]));
        assert!((found - 4.0 / (40f64.sqrt() * 2.0)).abs() < 1e-12, "{found}");
    }

    #[test]
    fn points_that_are_all_alike_say_nothing() {
        let same = vec![vec![2.0]; 3];
        assert!(linear_cka(&same, &[vec![1.0], vec![2.0], vec![3.0]]).is_nan() && linear_cka(&[], &[]).is_nan());
    }
}
