//! Sine-cosine position tables, and how they are brought to another grid (MAE's public code).

use burn::tensor::{Device, Tensor, TensorData};

/// The table of a `grid` x `grid` square of patches with an all-zero class row in front, computed in f64.
/// The first half of the channels encodes the column, the second half the row.
///
/// # Shapes
/// - output: row-major `[1 + grid * grid, width]`
pub fn sincos_table(width: usize, grid: usize) -> Vec<f32> {
    assert!(width.is_multiple_of(4), "the position table needs a width that 4 divides, not {width}");
    let quarter = width / 4;
    let mut table = vec![0.0; width];
    for row in 0..grid {
        for column in 0..grid {
            for coordinate in [column, row] {
                let angle = |i: usize| coordinate as f64 / 10_000_f64.powf(i as f64 / quarter as f64);
                table.extend((0..quarter).map(|i| angle(i).sin() as f32));
                table.extend((0..quarter).map(|i| angle(i).cos() as f32));
            }
        }
    }
    table
}

/// [`sincos_table`] as a tensor.
///
/// # Shapes
/// - output: `[1, 1 + grid * grid, width]`
pub fn sincos(width: usize, grid: usize, device: &Device) -> Tensor<3> {
    Tensor::from_data(TensorData::new(sincos_table(width, grid), [1, 1 + grid * grid, width]), device)
}

/// Bring a position table to another grid: the first row (class token) stays, the others are resampled bicubically
/// (a = -0.75, corners not aligned, no antialias), channel by channel, as PyTorch does.
///
/// # Shapes
/// - `table`: row-major `[1 + from * from, width]`
/// - output: row-major `[1 + to * to, width]`
pub fn resize_table(table: &[f32], width: usize, from: usize, to: usize) -> Vec<f32> {
    assert_eq!(table.len(), (1 + from * from) * width, "a table of grid {from} and width {width}");
    let taps: Vec<[(usize, f64); 4]> = (0..to).map(|index| cubic_taps(index, from, to)).collect();
    let mut resized = table[..width].to_vec();
    for row in &taps {
        for column in &taps {
            for channel in 0..width {
                let mut sum = 0.0;
                for &(y, wy) in row {
                    for &(x, wx) in column {
                        sum += wy * wx * f64::from(table[(1 + y * from + x) * width + channel]);
                    }
                }
                resized.push(sum as f32);
            }
        }
    }
    resized
}

/// The four source positions (clamped to the border) and weights of one output position.
fn cubic_taps(index: usize, from: usize, to: usize) -> [(usize, f64); 4] {
    const A: f64 = -0.75;
    let near = |t: f64| ((A + 2.0) * t - (A + 3.0)) * t * t + 1.0;
    let far = |t: f64| ((A * t - 5.0 * A) * t + 8.0 * A) * t - 4.0 * A;
    let position = (index as f64 + 0.5) * from as f64 / to as f64 - 0.5;
    let (base, t) = (position.floor(), position - position.floor());
    let weights = [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)];
    std::array::from_fn(|k| {
        let source = (base as isize + k as isize - 1).clamp(0, from as isize - 1);
        (source as usize, weights[k])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_values_of_the_base_table() {
        let table = sincos_table(768, 14);
        let at = |token: usize, channel: usize| f64::from(table[token * 768 + channel]);
        assert!((at(2, 0) - 0.841_471_0).abs() < 1e-6, "the first half encodes the column");
        assert!((at(15, 384) - 0.841_471_0).abs() < 1e-6, "the second half encodes the row");
        let total: f64 = table.iter().map(|&x| f64::from(x)).sum();
        assert!((total - 69_594.493_86).abs() < 1e-2, "sum {total}");
    }

    #[test]
    fn resizing_to_the_same_grid_changes_nothing() {
        let table = sincos_table(8, 5);
        assert_eq!(resize_table(&table, 8, 5, 5), table);
    }
}
