//! Matrix products in register blocks, for targets on which Burn's are slow.
//!
//! Both matrices are copied in the order of their use, in portions that stay in the caches.

use super::lanes::{LANES, Lanes, Matrix, ROWS, VECTORS, add_products, load, store};
use super::parallel::each;

/// Columns that are computed together.
const RUN: usize = LANES * VECTORS;
/// Products that are summed up before the sums go back to memory: as many rows of [`RUN`] numbers fit the first cache.
const DEPTH: usize = 512;
/// Rows of a portion: [`DEPTH`] columns of them fit the second cache.
const PORTION: usize = 256;

/// `out += a * b` of `rows` x `depth` and `depth` x `width`.
pub(super) fn add(a: Matrix<'_>, b: Matrix<'_>, [rows, depth, width]: [usize; 3], out: &mut [f32]) {
    assert_eq!(out.len(), rows * width, "a product of {rows} rows and {width} columns");
    each(out.chunks_mut(PORTION * width).collect(), rows * depth * width, |portion, out: &mut [f32]| {
        let rows = out.len() / width;
        let mut columns = vec![0.0; rows.next_multiple_of(ROWS) * DEPTH.min(depth)];
        let mut run = [0.0; DEPTH * RUN];
        for first in (0..depth).step_by(DEPTH) {
            let depth = DEPTH.min(depth - first);
            let blocks = columns.chunks_exact_mut(ROWS * depth);
            for (at, columns) in (0..rows).step_by(ROWS).zip(blocks) {
                let from = (portion * PORTION + at) * a.row + first * a.column;
                pack::<ROWS>(&a.numbers[from..], [a.column, a.row], ROWS.min(rows - at), columns);
            }
            let run = &mut run[..depth * RUN];
            for at in (0..width).step_by(RUN) {
                let taken = RUN.min(width - at);
                pack::<RUN>(&b.numbers[first * b.row + at * b.column..], [b.row, b.column], taken, run);
                for (out, columns) in out.chunks_mut(ROWS * width).zip(columns.chunks_exact(ROWS * depth)) {
                    add_block(columns, run, &mut out[at..], width, taken);
                }
            }
        }
    });
}

/// Copy `taken` of `N` numbers side by side, `step` apart, from every row of `x`; rows are `row` apart.
#[inline(always)]
fn pack<const N: usize>(x: &[f32], [row, step]: [usize; 2], taken: usize, packed: &mut [f32]) {
    if step == 1 && taken == N {
        for (k, packed) in packed.chunks_exact_mut(N).enumerate() {
            packed.copy_from_slice(&x[k * row..][..N]);
        }
    } else {
        for lane in 0..N {
            for (k, packed) in packed.chunks_exact_mut(N).enumerate() {
                packed[lane] = if lane < taken { x[k * row + lane * step] } else { 0.0 };
            }
        }
    }
}

/// Add a block of a product, whose rows are `width` apart, to the first `taken` columns of `out`.
#[inline(always)]
fn add_block(columns: &[f32], run: &[f32], out: &mut [f32], width: usize, taken: usize) {
    let mut sums = [[Lanes::ZERO; VECTORS]; ROWS];
    if taken == RUN {
        for (sums, out) in sums.iter_mut().zip(out.chunks(width)) {
            *sums = std::array::from_fn(|v| load(out, v * LANES));
        }
    }
    add_products(&mut sums, columns, run.chunks_exact(RUN));
    for (sums, out) in sums.iter().zip(out.chunks_mut(width)) {
        if taken == RUN {
            store(sums, &mut out[..RUN]);
        } else {
            for (out, sum) in out.iter_mut().zip(sums.iter().flat_map(Lanes::as_array)).take(taken) {
                *out += sum;
            }
        }
    }
}
