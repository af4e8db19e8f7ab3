//! Self-attention from the joint projection to queries, keys and values, head by head inside the second cache.

use super::gelu::exp_negative;
use super::lanes::{LANES, Matrix, product};
use super::parallel::map;

/// Queries that are answered together, so that their scores stay in the first cache.
const QUERIES: usize = 32;

/// Sizes of a self-attention.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// Sequences.
    pub(super) batch: usize,
    /// Tokens of a sequence.
    pub(super) tokens: usize,
    /// Heads.
    pub(super) heads: usize,
    /// Numbers of a head.
    pub(super) head: usize,
}

impl Size {
    /// Length of a row of scores, filled up for the registers.
    fn row(&self) -> usize {
        self.tokens.next_multiple_of(LANES)
    }

    /// Length of a token's part of a head, filled up for the registers.
    fn padded(&self) -> usize {
        self.head.next_multiple_of(LANES)
    }

    fn scale(&self) -> f32 {
        (self.head as f64).powf(-0.5) as f32
    }

    /// Multiply-adds of one product of all heads.
    fn work(&self) -> usize {
        self.batch * self.heads * self.tokens * self.tokens * self.head
    }

    /// The `which`th of `parts` parts of one head (counted over the batch) of `x` `[batch, tokens, parts, heads, head]`.
    fn part<'a>(&self, x: &'a [f32], index: usize, which: usize, parts: usize) -> Matrix<'a> {
        let (image, head) = (index / self.heads, index % self.heads);
        let row = parts * self.heads * self.head;
        let first = image * self.tokens * row + (which * self.heads + head) * self.head;
        Matrix { numbers: &x[first..], row, column: 1 }
    }

    /// Rows of tokens without gaps, times `scale`: `[tokens, padded]`.
    fn rows(&self, x: Matrix<'_>, scale: f32) -> Vec<f32> {
        let mut rows = vec![0.0; self.tokens * self.padded()];
        for (token, row) in rows.chunks_exact_mut(self.padded()).enumerate() {
            for (out, &x) in row.iter_mut().zip(&x.numbers[token * x.row..][..self.head]) {
                *out = x * scale;
            }
        }
        rows
    }

    /// Columns of tokens: `[head, row]`.
    fn columns(&self, x: Matrix<'_>) -> Vec<f32> {
        let mut columns = vec![0.0; self.head * self.row()];
        for token in 0..self.tokens {
            for (k, &x) in x.numbers[token * x.row..][..self.head].iter().enumerate() {
                columns[k * self.row() + token] = x;
            }
        }
        columns
    }

    /// The places of the heads in `x` `[batch, tokens, parts, heads, head]`: for every head of the batch, part by part
    /// and token by token.
    fn places<'a>(&self, x: &'a mut [f32], parts: usize) -> Vec<Vec<&'a mut [f32]>> {
        let mut places: Vec<Vec<Option<&mut [f32]>>> = Vec::new();
        for image in x.chunks_mut(self.tokens * parts * self.heads * self.head) {
            let mut heads: Vec<Vec<Option<&mut [f32]>>> =
                (0..self.heads).map(|_| (0..parts * self.tokens).map(|_| None).collect()).collect();
            for (at, piece) in image.chunks_mut(self.head).enumerate() {
                let (head, part, token) = (at % self.heads, at / self.heads % parts, at / self.heads / parts);
                heads[head][part * self.tokens + token] = Some(piece);
            }
            places.extend(heads);
        }
        places.into_iter().map(|places| places.into_iter().flatten().collect()).collect()
    }
}

/// Attention of `qkv` `[batch, tokens, 3, heads, head]` into `out` `[batch, tokens, heads, head]`. Returns the weights of
/// every head, rows filled up with zeros, when they are to be kept.
pub(super) fn forward(qkv: &[f32], size: Size, out: &mut [f32], keep: bool) -> Vec<Vec<f32>> {
    let Size { tokens, head, .. } = size;
    map(size.places(out, 1), size.work(), |index, mut places| {
        let keys = size.columns(size.part(qkv, index, 1, 3));
        // The query is scaled before the product: fewer numbers than the scores.
        let queries = size.rows(size.part(qkv, index, 0, 3), size.scale());
        let values = size.rows(size.part(qkv, index, 2, 3), 1.0);
        let mut weights = vec![0.0; if keep { tokens } else { QUERIES.min(tokens) } * size.row()];
        let mut mixed = vec![0.0; QUERIES.min(tokens) * size.padded()];
        for (block, places) in places.chunks_mut(QUERIES).enumerate() {
            let (first, rows) = (block * QUERIES, places.len());
            let start = if keep { first * size.row() } else { 0 };
            let weights = &mut weights[start..][..rows * size.row()];
            let queries = Matrix { numbers: &queries[first * size.padded()..], row: size.padded(), column: 1 };
            product(queries, &keys, [rows, head, size.row()], weights);
            for row in weights.chunks_exact_mut(size.row()) {
                let (row, rest) = row.split_at_mut(tokens);
                softmax(row);
                rest.fill(0.0);
            }
            let mixed = &mut mixed[..rows * size.padded()];
            let matrix = Matrix { numbers: weights, row: size.row(), column: 1 };
            product(matrix, &values, [rows, tokens, size.padded()], mixed);
            for (place, mixed) in places.iter_mut().zip(mixed.chunks_exact(size.padded())) {
                place.copy_from_slice(&mixed[..head]);
            }
        }
        if keep { weights } else { Vec::new() }
    })
}

/// The gradient of `qkv` from the one of the output and the weights that [`forward`] gave, into `out`.
pub(super) fn backward(qkv: &[f32], weights: &[Vec<f32>], grad: &[f32], size: Size, out: &mut [f32]) {
    let Size { tokens, head, .. } = size;
    let narrow = [tokens, tokens, size.padded()];
    map(size.places(out, 3), size.work(), |index, mut places| {
        let weights = &weights[index];
        let grad = size.part(grad, index, 0, 1);
        let mut part = vec![0.0; tokens * size.padded()];
        let mut put = |which: usize, part: &[f32], scale: f32| {
            for (place, part) in places[which * tokens..].iter_mut().zip(part.chunks_exact(size.padded())) {
                for (place, &part) in place.iter_mut().zip(part) {
                    *place = part * scale;
                }
            }
        };
        product(Matrix { numbers: weights, row: 1, column: size.row() }, &size.rows(grad, 1.0), narrow, &mut part);
        put(2, &part, 1.0);

        let values = size.columns(size.part(qkv, index, 2, 3));
        let mut scores = vec![0.0; tokens * size.row()];
        product(grad, &values, [tokens, head, size.row()], &mut scores);
        for (scores, weights) in scores.chunks_exact_mut(size.row()).zip(weights.chunks_exact(size.row())) {
            let mut lanes = [0.0_f32; LANES];
            for (scores, weights) in scores.chunks_exact(LANES).zip(weights.chunks_exact(LANES)) {
                for lane in 0..LANES {
                    lanes[lane] += scores[lane] * weights[lane];
                }
            }
            let mean: f32 = lanes.iter().sum();
            for (score, &weight) in scores.iter_mut().zip(weights) {
                *score = weight * (*score - mean);
            }
        }
        let keys = size.rows(size.part(qkv, index, 1, 3), 1.0);
        product(Matrix { numbers: &scores, row: size.row(), column: 1 }, &keys, narrow, &mut part);
        put(0, &part, size.scale());
        let queries = size.rows(size.part(qkv, index, 0, 3), size.scale());
        product(Matrix { numbers: &scores, row: 1, column: size.row() }, &queries, narrow, &mut part);
        put(1, &part, 1.0);
    });
}

/// Softmax of one row in place.
fn softmax(row: &mut [f32]) {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let mut chunks = row.chunks_exact(LANES);
    for chunk in chunks.by_ref() {
        for lane in 0..LANES {
            lanes[lane] = if chunk[lane] > lanes[lane] { chunk[lane] } else { lanes[lane] };
        }
    }
    let largest = lanes.iter().chain(chunks.remainder()).copied().fold(f32::NEG_INFINITY, f32::max);
    for x in row.iter_mut() {
        *x = exp_negative(*x - largest);
    }
    let mut lanes = [0.0_f32; LANES];
    let mut chunks = row.chunks_exact(LANES);
    for chunk in chunks.by_ref() {
        for lane in 0..LANES {
            lanes[lane] += chunk[lane];
        }
    }
    let factor = 1.0 / lanes.iter().chain(chunks.remainder()).sum::<f32>();
    for x in row {
        *x *= factor;
    }
}
