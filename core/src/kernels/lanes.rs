//! The shape of register blocks, and small matrix products made of them.

#[cfg(target_feature = "avx512f")]
mod shape {
    pub(in super::super) use wide::f32x16 as Lanes;
    pub(in super::super) const LANES: usize = 16;
    pub(in super::super) const ROWS: usize = 8;
}
#[cfg(not(any(target_feature = "avx512f", target_arch = "wasm32")))]
mod shape {
    pub(in super::super) use wide::f32x8 as Lanes;
    pub(in super::super) const LANES: usize = 8;
    pub(in super::super) const ROWS: usize = 4;
}
#[cfg(target_arch = "wasm32")]
mod shape {
    pub(in super::super) use wide::f32x4 as Lanes;
    pub(in super::super) const LANES: usize = 4;
    pub(in super::super) const ROWS: usize = 4;
}
pub(super) use shape::{LANES, Lanes, ROWS};

/// Vectors in a row of a register block of [`ROWS`] rows.
pub(super) const VECTORS: usize = 2;

/// The numbers from `at`.
#[inline(always)]
pub(super) fn load(x: &[f32], at: usize) -> Lanes {
    let mut lanes = [0.0; LANES];
    lanes.copy_from_slice(&x[at..at + LANES]);
    Lanes::new(lanes)
}

/// A matrix whose rows and columns are some steps apart, for example transposed or a part of a bigger one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Matrix<'a> {
    /// From the first number on.
    pub(super) numbers: &'a [f32],
    /// Step from row to row.
    pub(super) row: usize,
    /// Step from column to column.
    pub(super) column: usize,
}

impl Matrix<'_> {
    /// The transposed matrix.
    pub(super) fn turned(self) -> Self {
        Self { row: self.column, column: self.row, ..self }
    }
}

/// `out = a * b` of `rows` x `depth` and `depth` x `width`, where `b` and `out` have rows without gaps and `width` is a
/// multiple of [`LANES`].
pub(super) fn product(a: Matrix<'_>, b: &[f32], [rows, depth, width]: [usize; 3], out: &mut [f32]) {
    assert!(width.is_multiple_of(LANES) && b.len() == depth * width && out.len() == rows * width);
    let mut panel = vec![0.0; depth * ROWS];
    for (block, out) in out.chunks_mut(ROWS * width).enumerate() {
        for (k, panel) in panel.chunks_exact_mut(ROWS).enumerate() {
            for (r, panel) in panel.iter_mut().enumerate().take(out.len() / width) {
                *panel = a.numbers[(block * ROWS + r) * a.row + k * a.column];
            }
        }
        let mut at = 0;
        while at + VECTORS * LANES <= width {
            block_product::<VECTORS>(&panel, b, width, at, out);
            at += VECTORS * LANES;
        }
        while at < width {
            block_product::<1>(&panel, b, width, at, out);
            at += LANES;
        }
    }
}

/// [`ROWS`] rows and `N` vectors of a product.
#[inline(always)]
fn block_product<const N: usize>(panel: &[f32], b: &[f32], width: usize, at: usize, out: &mut [f32]) {
    let mut sums = [[Lanes::ZERO; N]; ROWS];
    add_products(&mut sums, panel, b.chunks_exact(width).map(|b| &b[at..]));
    for (out, sums) in out.chunks_exact_mut(width).zip(&sums) {
        store(sums, &mut out[at..]);
    }
}

/// Add to `sums` the products of the columns of a block, [`ROWS`] numbers each, with the first `N` vectors of the rows
/// `b`. This is where matrix products and convolutions spend their time.
#[inline(always)]
pub(super) fn add_products<'a, const N: usize>(
    sums: &mut [[Lanes; N]; ROWS],
    columns: &[f32],
    b: impl Iterator<Item = &'a [f32]>,
) {
    for (column, b) in columns.chunks_exact(ROWS).zip(b) {
        let b = &b[..N * LANES];
        let b: [Lanes; N] = std::array::from_fn(|v| load(b, v * LANES));
        for (sums, &a) in sums.iter_mut().zip(column) {
            let a = Lanes::splat(a);
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum = b.mul_add(a, *sum);
            }
        }
    }
}

/// Write `sums` to the beginning of `out`.
#[inline(always)]
pub(super) fn store(sums: &[Lanes], out: &mut [f32]) {
    for (sum, out) in sums.iter().zip(out.chunks_exact_mut(LANES)) {
        out.copy_from_slice(sum.as_array());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_every_remainder_agree_with_the_definition() {
        for [rows, depth, vectors] in [[1, 1, 1], [9, 5, 3], [17, 40, 4]] {
            let width = vectors * LANES;
            let value = |i: usize| ((i * 7919 + 13) % 101) as f32 / 50.0 - 1.0;
            let a: Vec<f32> = (0..rows * depth).map(value).collect();
            let b: Vec<f32> = (0..depth * width).map(value).collect();
            let mut out = vec![f32::NAN; rows * width];
            // `a` is stored by columns.
            product(Matrix { numbers: &a, row: 1, column: rows }, &b, [rows, depth, width], &mut out);
            for (at, &found) in out.iter().enumerate() {
                let (r, c) = (at / width, at % width);
                let sum: f32 = (0..depth).map(|k| a[k * rows + r] * b[k * width + c]).sum();
                assert!((found - sum).abs() < 1e-4, "{found} instead of {sum}");
            }
        }
    }
}
