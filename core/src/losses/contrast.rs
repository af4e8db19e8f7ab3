//! Contrastive losses: what belongs together is to lie closer than everything else.
//!
//! Wang 2021 (DenseCL), He 2020 (the queue of MoCo) and Chen 2020a (SimCLR, NT-Xent).

use burn::tensor::{Int, Tensor, TensorData, activation};

/// Numbers of a matrix of similarities that is computed at once: 64 MB. Dense contrast at the paper's sizes has 103 million.
const AT_ONCE: usize = 1 << 24;

/// Shortest length that a vector is divided by (PyTorch's `normalize`).
const SHORTEST: f64 = 1e-12;

/// What far outweighs every similarity.
const FAR: f32 = -1e9;

/// Vectors of length 1 along an axis.
///
/// # Shapes
/// - any, to the same
pub fn unit<const D: usize>(x: Tensor<D>, axis: usize) -> Tensor<D> {
    let length = x.clone().square().sum_dim(axis).sqrt().clamp_min(SHORTEST);
    x / length
}

/// A contrastive loss, and how often it is right.
#[derive(Clone, Debug)]
pub struct Contrasted {
    /// Mean over the rows, `[1]`.
    pub loss: Tensor<1>,
    /// Share of the rows that are closer to what belongs to them than to anything else, `[1]`, without gradient.
    pub accuracy: Tensor<1>,
}

/// Similarities of every row with its key and with all keys of the queue, over the temperature: the scores of which the first
/// one is to be the largest.
///
/// # Shapes
/// - `query`, `key`: `[rows, width]`, of length 1
/// - `queue`: `[width, keys]`, of length 1
/// - output: `[rows, 1]` and `[rows, keys]`
pub fn similarities(query: Tensor<2>, key: Tensor<2>, queue: Tensor<2>, temperature: f64) -> (Tensor<2>, Tensor<2>) {
    assert_eq!(query.dims(), key.dims(), "every row has one key");
    assert_eq!(query.dims()[1], queue.dims()[0], "the keys of the queue are as wide as the rows");
    let query = query / temperature;
    ((query.clone() * key).sum_dim(1), query.matmul(queue))
}

/// InfoNCE with a queue: the mean over the rows of `-log(exp(q k / t) / (exp(q k / t) + sum of exp(q n / t)))` over the keys
/// `n` of the queue (Wang 2021, equation 1). Gradients go to `query` alone.
///
/// The gradient is known in closed form, and the rows are gone through in portions: the matrix of similarities, which dense
/// contrast makes huge, is never there as a whole and never kept for the way back.
///
/// # Shapes
/// - `query`, `key`: `[rows, width]`, of length 1
/// - `queue`: `[width, keys]`, of length 1
pub fn info_nce(query: Tensor<2>, key: Tensor<2>, queue: Tensor<2>, temperature: f64) -> Contrasted {
    let portion = AT_ONCE / queue.dims()[1].max(1);
    info_nce_by(portion.max(1), query, key, queue, temperature)
}

/// [`info_nce`] by so many rows at once.
fn info_nce_by(portion: usize, query: Tensor<2>, key: Tensor<2>, queue: Tensor<2>, temperature: f64) -> Contrasted {
    let [rows, _] = query.dims();
    let (fixed, key, queue) = (constant(query.clone()), constant(key), constant(queue));
    let (mut losses, mut correct, mut slopes) = (Vec::new(), Vec::new(), Vec::new());
    for first in (0..rows).step_by(portion) {
        let count = portion.min(rows - first);
        let (query, key) = (fixed.clone().narrow(0, first, count), key.clone().narrow(0, first, count));
        let (own, others) = similarities(query, key.clone(), queue.clone(), temperature);
        let nearest = others.clone().max_dim(1);
        let top = nearest.clone().max_pair(own.clone());
        let shares = (others - top.clone()).exp();
        let own_share = (own.clone() - top.clone()).exp();
        let all = own_share.clone() + shares.clone().sum_dim(1);
        slopes.push(key * (own_share / all.clone() - 1.0) + shares.matmul(queue.clone().transpose()) / all.clone());
        correct.push(own.clone().greater(nearest).float());
        losses.push(all.log() + top - own);
    }
    let mean = |parts: Vec<Tensor<2>>| Tensor::cat(parts, 0).mean();
    let slope = Tensor::cat(slopes, 0) / (temperature * rows as f64);
    // Nothing in number, and in gradient what the loss would have.
    let along = (query * slope).sum();
    let loss = mean(losses) + (along.clone() - along.detach());
    Contrasted { loss, accuracy: mean(correct) }
}

/// The same numbers, through which no gradient goes.
fn constant<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    // A parameter that is detached would go on asking for a gradient.
    x.detach().set_require_grad(false)
}

/// For every place of one map the place of the other that is most alike, by the cosine of their features (Wang 2021,
/// equation 4, and its code: features of the backbone, not of the head).
///
/// # Shapes
/// - `query`, `key`: `[batch, channels, places]`
/// - output: `[batch, places]`
pub fn correspondence(query: Tensor<3>, key: Tensor<3>) -> Tensor<2, Int> {
    let [batch, channels, places] = query.dims();
    assert_eq!([batch, channels], key.dims()[..2], "maps of the same pictures by the same network");
    // The length of a query changes nothing in the order of its likenesses.
    let alike = query.detach().swap_dims(1, 2).matmul(unit(key.detach(), 1));
    alike.argmax(2).reshape([batch, places])
}

/// Dense InfoNCE: every place of the query's map against the place of the key's map that corresponds to it (Wang 2021,
/// equation 3). Gradients go to `query` alone.
///
/// # Shapes
/// - `query`, `key`: `[batch, width, places]`, of length 1 along `width`
/// - `matches`: `[batch, places]`, as [`correspondence`] gives it
/// - `queue`: `[width, keys]`, of length 1
pub fn dense_info_nce(
    query: Tensor<3>,
    key: Tensor<3>,
    matches: Tensor<2, Int>,
    queue: Tensor<2>,
    temperature: f64,
) -> Contrasted {
    let [batch, width, places] = query.dims();
    let matches = matches.reshape([batch, 1, places]).expand([batch, width, places]);
    let rows = |map: Tensor<3>| map.swap_dims(1, 2).reshape([batch * places, width]);
    info_nce(rows(query), rows(key.gather(2, matches)), queue, temperature)
}

/// NT-Xent: every view of every picture against all other views of the batch, of which the picture's other view is the right
/// one. Gradients go to both.
///
/// # Shapes
/// - `first`, `second`: `[pictures, width]`
pub fn nt_xent(first: Tensor<2>, second: Tensor<2>, temperature: f64) -> Contrasted {
    let [pictures, _] = first.dims();
    assert_eq!(first.dims(), second.dims(), "two views of every picture");
    let device = first.device();
    let views = unit(Tensor::cat(vec![first, second], 0), 1);
    let count = 2 * pictures;
    let alike = views.clone().matmul(views.transpose()) / temperature;
    let marked = |other: usize, mark: f32| {
        let mut matrix = vec![0.0; count * count];
        (0..count).for_each(|row| matrix[row * count + (row + other) % count] = mark);
        Tensor::<2>::from_data(TensorData::new(matrix, [count, count]), &device)
    };
    // A view is not compared with itself.
    let alike = alike + marked(0, FAR);
    let right = marked(pictures, 1.0);
    let own = (alike.clone() * right.clone()).sum_dim(1);
    let nearest_other = (alike.clone() + right.clone() * FAR).detach().max_dim(1);
    let loss = -(activation::log_softmax(alike, 1) * right).sum() / count as f64;
    Contrasted { loss, accuracy: own.detach().greater(nearest_other).float().mean() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Distribution};

    fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_into_vec().unwrap()
    }

    fn near(found: Tensor<1>, expected: f64) {
        let found = f64::from(read(found)[0]);
        assert!((found - expected).abs() < 1e-5, "{found} instead of {expected}");
    }

    #[test]
    fn the_best_and_the_worst_that_can_be() {
        let device = Device::flex();
        let axis = |axes: &[usize]| {
            let rows =
                axes.iter().flat_map(|&at| (0..4).map(move |i| f32::from(u8::from(i == at)))).collect::<Vec<_>>();
            Tensor::<2>::from_data(TensorData::new(rows, [axes.len(), 4]), &device)
        };
        let queue = axis(&[2, 3, 3]).transpose();
        let best = info_nce(axis(&[0, 1]), axis(&[0, 1]), queue.clone(), 0.2);
        near(best.loss, (1.0 + 3.0 * (-5.0_f64).exp()).ln());
        near(best.accuracy, 1.0);
        let worst = info_nce(axis(&[2]), axis(&[0]), queue, 0.2);
        near(worst.loss, (5.0_f64.exp() + 3.0).ln());
        near(worst.accuracy, 0.0);
        let same = nt_xent(axis(&[0, 0, 0]), axis(&[0, 0, 0]), 0.5);
        near(same.loss, 5.0_f64.ln());
        near(same.accuracy, 0.0);
        let apart = nt_xent(axis(&[0, 1, 2]), axis(&[0, 1, 2]), 0.5);
        near(apart.loss, ((2.0_f64).exp() + 4.0).ln() - 2.0);
        near(apart.accuracy, 1.0);
    }

    #[test]
    fn the_gradient_in_closed_form_is_that_of_the_formula_in_whatever_portions() {
        let device = Device::flex().autodiff();
        let random = |shape: [usize; 2]| unit(Tensor::random(shape, Distribution::Default, &device) - 0.5, 1).detach();
        let (query, key, queue) = (random([5, 3]), random([5, 3]), random([9, 3]).transpose());
        let query = query.require_grad();
        let (own, others) = similarities(query.clone(), key.clone(), queue.clone(), 0.2);
        let scores = Tensor::cat(vec![own, others], 1);
        let plain = -activation::log_softmax(scores, 1).narrow(1, 0, 1).mean();
        let slope = |loss: Tensor<1>| read(query.grad(&loss.backward()).unwrap());
        let (value, expected) = (read(plain.clone())[0], slope(plain));
        for portion in [1, 2, 5, 100] {
            let ours = info_nce_by(portion, query.clone(), key.clone(), queue.clone(), 0.2).loss;
            near(ours.clone(), f64::from(value));
            for (ours, plain) in slope(ours).into_iter().zip(&expected) {
                assert!((ours - plain).abs() < 1e-5, "{ours} instead of {plain} by {portion} rows");
            }
        }
    }

    #[test]
    fn places_that_are_alike_correspond_whatever_their_lengths() {
        let map =
            |numbers: [f32; 6]| Tensor::<3>::from_data(TensorData::new(numbers.to_vec(), [1, 2, 3]), &Device::flex());
        // Places point right, up and left; in the other map left (short), right (long) and up.
        let matches = correspondence(map([1.0, 0.0, -1.0, 0.0, 1.0, 0.0]), map([-0.1, 9.0, 0.0, 0.0, 0.0, 2.0]));
        let data = matches.into_data().convert::<i32>();
        assert_eq!(data.try_into_vec::<i32>().unwrap(), [1, 2, 0]);
    }
}
