//! The kernels as an extension of Burn's CPU backend, with their places in the autodiff graph.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, DispatchDevice, Flex, TensorMetadata, backend_extension};
use burn::tensor::{DType, Shape, Tensor, TensorData};

use super::conv3x3::{self, Size};
use super::lanes::Matrix;
use super::norm::{self, Groups, Moments};
use super::{AdamWStep, adamw, attention, double, gelu, matmul};

/// A tensor of the CPU backend.
type Flat = FloatTensor<Flex>;

/// What the CPU backend computes by our own kernels. All tensors are f32.
#[backend_extension(Flex, Autodiff)]
pub(super) trait Kernels: Backend {
    /// See [`super::gelu()`].
    fn exact_gelu(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// See [`super::group_norm_gelu`].
    fn group_norm_gelu(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        groups: usize,
        epsilon: f64,
    ) -> FloatTensor<Self>;

    /// See [`super::layer_norm`].
    fn exact_layer_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self>;

    /// See [`super::conv3x3()`].
    fn conv3x3(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;

    /// See [`super::attention()`].
    fn joint_attention(qkv: FloatTensor<Self>, heads: usize) -> FloatTensor<Self>;

    /// See [`super::interleave`].
    fn interleave(x: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self>;

    /// The product of `a` `[.., rows, depth]` and `b` `[.., depth, width]` with `row` `[width]` added to every row. There is
    /// at most one dimension in front, and where the two differ in it, one of them has a single matrix for all.
    fn product(a: FloatTensor<Self>, b: FloatTensor<Self>, row: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// What has no gradient.
#[backend_extension(Flex)]
pub(super) trait Updates: Backend {
    /// See [`super::adamw_step`].
    fn adamw_step(
        param: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        square: FloatTensor<Self>,
        step: AdamWStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

impl Updates for Flex {
    fn adamw_step(param: Flat, grad: Flat, mean: Flat, square: Flat, step: AdamWStep) -> (Flat, Flat, Flat) {
        let grad = ordered(grad);
        let (mut mean, mut square) = (Some(mean), Some(square));
        let param = change(param, |param| {
            mean = mean.take().map(|mean| {
                change(mean, |mean| {
                    square = square
                        .take()
                        .map(|square| change(square, |square| adamw::step(param, numbers(&grad), mean, square, step)));
                })
            });
        });
        let moment = |moment: Option<Flat>| moment.expect("each moment is put back");
        (param, moment(mean), moment(square))
    }
}

/// True when `x` lives on the CPU backend in f32.
pub(super) fn serves<const D: usize>(x: &Tensor<D>) -> bool {
    let flex = |device: &DispatchDevice| matches!(device, DispatchDevice::Flex(_));
    let here = match x.device().as_dispatch() {
        DispatchDevice::Autodiff(inner) => flex(inner),
        device => flex(device),
    };
    here && x.dtype() == DType::F32
}

pub(super) fn run<const D: usize, const E: usize>(
    x: Tensor<D>,
    kernel: impl FnOnce(FloatTensor<Dispatch>) -> FloatTensor<Dispatch>,
) -> Tensor<E> {
    Tensor::from_dispatch(kernel(x.into_dispatch()))
}

/// The numbers of a tensor in order.
fn ordered(x: Flat) -> Flat {
    if x.as_slice::<f32>().is_some() { x } else { x.to_contiguous() }
}

fn numbers(x: &Flat) -> &[f32] {
    x.as_slice().expect("a tensor in order")
}

fn tensor<const D: usize>(numbers: Vec<f32>, shape: [usize; D]) -> Flat {
    Flat::from_data(TensorData::new(numbers, shape))
}

/// Like `x`, with its numbers changed: in place when nobody else holds them.
fn change(x: Flat, work: impl FnOnce(&mut [f32])) -> Flat {
    let mut x = ordered(x);
    let whole = x.as_slice::<f32>().map(<[f32]>::len) == Some(x.storage::<f32>().len());
    if whole && let Some(numbers) = x.try_storage_mut() {
        work(numbers);
        return x;
    }
    let mut copy = numbers(&x).to_vec();
    work(&mut copy);
    Flat::from_data(TensorData::new(copy, x.shape()))
}

/// A node of the autodiff graph: a function of what the forward pass kept, of the gradient of the output, and of which
/// inputs want a gradient.
#[derive(Debug)]
struct Node<S, const N: usize>(fn(S, Flat, [bool; N]) -> [Option<Flat>; N]);

impl<S: Clone + Send + std::fmt::Debug + 'static, const N: usize> Backward<Flex, N> for Node<S, N> {
    type State = S;

    fn backward(self, ops: Ops<S, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node);
        let wanted = ops.parents.each_ref().map(Option::is_some);
        for (parent, grad) in ops.parents.into_iter().zip(self.0(ops.state, grad, wanted)) {
            if let (Some(parent), Some(grad)) = (parent, grad) {
                grads.register::<Flex>(parent.id, grad);
            }
        }
    }
}

/// Run `forward`, which gives the output and what `backward` needs, and note it in the graph.
fn track<C: CheckpointStrategy, S: Clone + Send + std::fmt::Debug + 'static, const N: usize>(
    inputs: [FloatTensor<Autodiff<Flex, C>>; N],
    forward: impl FnOnce([Flat; N]) -> (Flat, S),
    backward: fn(S, Flat, [bool; N]) -> [Option<Flat>; N],
) -> FloatTensor<Autodiff<Flex, C>> {
    let nodes = inputs.each_ref().map(|input| input.node());
    let (output, state) = forward(inputs.map(|input| input.into_primitive()));
    match Node(backward).prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(state, output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}

impl Kernels for Flex {
    fn exact_gelu(x: Flat) -> Flat {
        change(x, gelu::forward_in_place)
    }

    fn group_norm_gelu(x: Flat, gamma: Flat, beta: Flat, groups: usize, epsilon: f64) -> Flat {
        group_norm_gelu(x, gamma, beta, groups, epsilon).0
    }

    fn exact_layer_norm(x: Flat, gamma: Flat, beta: Flat, epsilon: f64) -> Flat {
        layer_norm(x, gamma, beta, epsilon).0
    }

    fn conv3x3(x: Flat, weight: Flat) -> Flat {
        conv3x3(x, weight).0
    }

    fn joint_attention(qkv: Flat, heads: usize) -> Flat {
        joint_attention(qkv, heads, false).0
    }

    fn interleave(x: Flat, bias: Flat) -> Flat {
        interleave(x, bias).0
    }

    fn product(a: Flat, b: Flat, row: Flat) -> Flat {
        product(a, b, row).0
    }
}

impl<C: CheckpointStrategy> Kernels for Autodiff<Flex, C> {
    fn exact_gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let forward = |[x]: [Flat; 1]| {
            let x = ordered(x);
            let mut out = vec![0.0; numbers(&x).len()];
            gelu::forward(numbers(&x), &mut out);
            (Flat::from_data(TensorData::new(out, x.shape())), x)
        };
        track::<C, _, _>([x], forward, |x, grad, _| [Some(change(grad, |grad| gelu::backward(numbers(&x), grad)))])
    }

    fn group_norm_gelu(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        groups: usize,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        let forward = |[x, gamma, beta]: [Flat; 3]| group_norm_gelu(x, gamma, beta, groups, epsilon);
        track::<C, _, _>([x, gamma, beta], forward, |(x, gamma, beta, size, moments), grad, _| {
            let mut sums = [vec![], vec![]];
            let of_x = change(grad, |grad| {
                let [x, gamma, beta] = [&x, &gamma, &beta].map(numbers);
                sums = norm::group_gelu_backward(x, gamma, beta, size, &moments, grad);
            });
            let [of_gamma, of_beta] = sums.map(|sums| Some(tensor(sums, [size.channels])));
            [Some(of_x), of_gamma, of_beta]
        })
    }

    fn exact_layer_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        let forward = |[x, gamma, beta]: [Flat; 3]| layer_norm(x, gamma, beta, epsilon);
        track::<C, _, _>([x, gamma, beta], forward, |(x, gamma, moments), grad, _| {
            let mut sums = [vec![], vec![]];
            let of_x = change(grad, |grad| {
                sums = norm::layer_backward(numbers(&x), numbers(&gamma), &moments, grad);
            });
            let [of_gamma, of_beta] = sums.map(|sums| {
                let width = sums.len();
                Some(tensor(sums, [width]))
            });
            [Some(of_x), of_gamma, of_beta]
        })
    }

    fn conv3x3(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        track::<C, _, _>(
            [x, weight],
            |[x, weight]| conv3x3(x, weight),
            |(x, weight, channels, size), grad, [of_x, of_weight]| {
                let grad = ordered(grad);
                let (x, weight, grad) = (numbers(&x), numbers(&weight), numbers(&grad));
                let [output, input] = channels;
                let of_x = of_x.then(|| {
                    let mut out = vec![0.0; x.len()];
                    conv3x3::input_gradient(grad, weight, channels, size, &mut out);
                    tensor(out, [size.batch, input, size.height, size.width])
                });
                let of_weight =
                    of_weight.then(|| tensor(conv3x3::weight_gradient(x, grad, channels, size), [output, input, 3, 3]));
                [of_x, of_weight]
            },
        )
    }

    fn joint_attention(qkv: FloatTensor<Self>, heads: usize) -> FloatTensor<Self> {
        track::<C, _, _>(
            [qkv],
            |[qkv]| joint_attention(qkv, heads, true),
            |(qkv, size, weights), grad, _| {
                let grad = ordered(grad);
                let mut out = vec![0.0; numbers(&qkv).len()];
                attention::backward(numbers(&qkv), &weights, numbers(&grad), size, &mut out);
                [Some(Flat::from_data(TensorData::new(out, qkv.shape())))]
            },
        )
    }

    fn interleave(x: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        track::<C, _, _>(
            [x, bias],
            |[x, bias]| interleave(x, bias),
            |[batch, channels, height, width], grad, _| {
                let grad = ordered(grad);
                let mut out = vec![0.0; numbers(&grad).len()];
                let of_bias = double::deal(numbers(&grad), channels, [height, width], &mut out);
                [Some(tensor(out, [batch, 4 * channels, height, width])), Some(tensor(of_bias, [channels]))]
            },
        )
    }

    fn product(a: FloatTensor<Self>, b: FloatTensor<Self>, row: FloatTensor<Self>) -> FloatTensor<Self> {
        track::<C, _, _>(
            [a, b, row],
            |[a, b, row]| product(a, b, row),
            |(a, b), grad, [of_a, of_b, of_row]| {
                let grad = ordered(grad);
                let ([count, rows, width], [_, _, depth]) = (matrices(&grad), matrices(&a));
                let of_a = of_a.then(|| {
                    products(a.shape(), count, [rows, width, depth], |index| {
                        [matrix(&grad, index), matrix(&b, index).turned()]
                    })
                });
                let of_b = of_b.then(|| {
                    products(b.shape(), count, [depth, rows, width], |index| {
                        [matrix(&a, index).turned(), matrix(&grad, index)]
                    })
                });
                let of_row = of_row.then(|| {
                    let mut sums = vec![0.0_f64; width];
                    for row in numbers(&grad).chunks_exact(width) {
                        for (sum, &grad) in sums.iter_mut().zip(row) {
                            *sum += f64::from(grad);
                        }
                    }
                    tensor(sums.into_iter().map(|sum| sum as f32).collect(), [width])
                });
                [of_a, of_b, of_row]
            },
        )
    }
}

/// Number of matrices, rows, columns.
fn matrices(x: &Flat) -> [usize; 3] {
    match *x.shape() {
        [rows, columns] => [1, rows, columns],
        [matrices, rows, columns] => [matrices, rows, columns],
        ref shape => panic!("no matrices: {shape:?}"),
    }
}

/// The `index`th matrix; the only one when there is only one.
fn matrix(x: &Flat, index: usize) -> Matrix<'_> {
    let strides: Vec<usize> = x.layout().strides().iter().map(|&stride| stride.unsigned_abs()).collect();
    let [matrices, _, _] = matrices(x);
    let first = if matrices > 1 { index * strides[0] } else { 0 };
    let [row, column] = [2, 1].map(|back| strides[strides.len() - back]);
    Matrix { numbers: &x.storage()[x.layout().start_offset() + first..], row, column }
}

/// A tensor of products of `sizes`: of `count` pairs of matrices, all added up when `shape` has room for one only.
fn products<'a>(shape: Shape, count: usize, sizes: [usize; 3], pair: impl Fn(usize) -> [Matrix<'a>; 2]) -> Flat {
    let mut out = vec![0.0; shape.num_elements()];
    for index in 0..count {
        let [a, b] = pair(index);
        let first = index * sizes[0] * sizes[2] % out.len();
        matmul::add(a, b, sizes, &mut out[first..][..sizes[0] * sizes[2]]);
    }
    Flat::from_data(TensorData::new(out, shape))
}

fn product(a: Flat, b: Flat, row: Flat) -> (Flat, (Flat, Flat)) {
    let [a, b] = [a, b].map(|x| if x.layout().has_positive_strides() { x } else { x.to_contiguous() });
    let row = ordered(row);
    let ([of_a, rows, depth], [of_b, below, width]) = (matrices(&a), matrices(&b));
    assert!(depth == below && (of_a == of_b || of_a.min(of_b) == 1), "{:?} times {:?}", a.shape(), b.shape());
    let count = of_a.max(of_b);
    let mut out = numbers(&row).repeat(count * rows);
    for (index, out) in out.chunks_exact_mut(rows * width).enumerate() {
        matmul::add(matrix(&a, index), matrix(&b, index), [rows, depth, width], out);
    }
    let shape = if a.shape().len() == 2 { vec![rows, width] } else { vec![count, rows, width] };
    (Flat::from_data(TensorData::new(out, shape)), (a, b))
}

fn joint_attention(qkv: Flat, heads: usize, keep: bool) -> (Flat, (Flat, attention::Size, Vec<Vec<f32>>)) {
    let qkv = ordered(qkv);
    let shape = qkv.shape();
    let (batch, tokens, width) = (shape[0], shape[1], shape[2] / 3);
    let size = attention::Size { batch, tokens, heads, head: width / heads };
    let mut out = vec![0.0; batch * tokens * width];
    let weights = attention::forward(numbers(&qkv), size, &mut out, keep);
    (tensor(out, [batch, tokens, width]), (qkv, size, weights))
}

/// `x` is `[batch, 4 * channels, height, width]`.
fn interleave(x: Flat, bias: Flat) -> (Flat, [usize; 4]) {
    let [x, bias] = [x, bias].map(ordered);
    let shape = x.shape();
    let (channels, height, width) = (shape[1] / 4, shape[2], shape[3]);
    let mut out = vec![0.0; numbers(&x).len()];
    double::interleave(numbers(&x), numbers(&bias), [height, width], &mut out);
    (tensor(out, [shape[0], channels, 2 * height, 2 * width]), [shape[0], channels, height, width])
}

type GroupState = (Flat, Flat, Flat, Groups, Vec<Moments>);

fn group_norm_gelu(x: Flat, gamma: Flat, beta: Flat, groups: usize, epsilon: f64) -> (Flat, GroupState) {
    let [x, gamma, beta] = [x, gamma, beta].map(ordered);
    let shape = x.shape();
    let size = Groups { groups, channels: shape[1], area: shape[2..].iter().product(), epsilon };
    let mut out = vec![0.0; numbers(&x).len()];
    let moments = norm::group_gelu(numbers(&x), numbers(&gamma), numbers(&beta), size, &mut out);
    (Flat::from_data(TensorData::new(out, shape)), (x, gamma, beta, size, moments))
}

fn layer_norm(x: Flat, gamma: Flat, beta: Flat, epsilon: f64) -> (Flat, (Flat, Flat, Vec<Moments>)) {
    let [x, gamma, beta] = [x, gamma, beta].map(ordered);
    let mut out = vec![0.0; numbers(&x).len()];
    let moments = norm::layer(numbers(&x), numbers(&gamma), numbers(&beta), epsilon, &mut out);
    (Flat::from_data(TensorData::new(out, x.shape())), (x, gamma, moments))
}

fn conv3x3(x: Flat, weight: Flat) -> (Flat, (Flat, Flat, [usize; 2], Size)) {
    let [x, weight] = [x, weight].map(ordered);
    let (images, weights) = (x.shape(), weight.shape());
    let [output, input] = [weights[0], weights[1]];
    let size = Size { batch: images[0], height: images[2], width: images[3] };
    let mut out = vec![0.0; size.batch * output * size.height * size.width];
    conv3x3::forward(numbers(&x), numbers(&weight), [output, input], size, &mut out);
    (tensor(out, [size.batch, output, size.height, size.width]), (x, weight, [output, input], size))
}
