//! Batch normalisation as PyTorch computes it, with PyTorch's names.
//!
//! Our own, because the running statistics of Burn's are one update behind when a model is read, its clones share them,
//! and its running variance is not PyTorch's. Here they are true at any moment and belong to one layer alone.

use std::sync::{Mutex, PoisonError};

use burn::module::{
    Content, Flag, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor, Param, ParamId,
};
use burn::nn::Initializer;
use burn::tensor::module::{batch_norm, batch_norm_train};
use burn::tensor::{Device, Tensor};

const EPSILON: f64 = 1e-5;

/// Share of the running statistics that a batch replaces.
const MOMENTUM: f64 = 0.1;

/// Normalises every channel: by the batch while it learns, by running statistics otherwise. A layer that is frozen
/// (`training` off), or whose input has no gradients, keeps its statistics.
#[derive(Module, Debug)]
pub struct BatchNorm {
    /// Factor, `[channels]`.
    pub weight: Param<Tensor<1>>,
    /// Added after it, `[channels]`.
    pub bias: Param<Tensor<1>>,
    /// Mean of past batches, `[channels]`.
    pub running_mean: Running,
    /// Unbiased variance of past batches, `[channels]`.
    pub running_var: Running,
    /// Off where the layer is frozen.
    pub training: Param<Flag>,
}

impl BatchNorm {
    /// A layer for so many channels.
    pub fn new(channels: usize, device: &Device) -> Self {
        Self {
            weight: Initializer::Ones.init([channels], device),
            bias: Initializer::Zeros.init([channels], device),
            running_mean: Running::new(Tensor::zeros([channels], device)),
            running_var: Running::new(Tensor::ones([channels], device)),
            training: Param::from_bool(true),
        }
    }

    /// # Shapes
    /// - `x`: `[batch, channels, ..]`, to the same
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.forward_in_groups(x, 1)
    }

    /// [`BatchNorm::forward`] of a batch that is cut into `groups` while it learns: sample `i` is normalised with all others
    /// of group `i % groups`, as if each group were on a device of its own. Running statistics follow the mean over the
    /// groups (the public demonstration of MoCo on CIFAR; He et al., "Momentum Contrast for Unsupervised Visual
    /// Representation Learning", CVPR 2020, arXiv:1911.05722, section 3.3).
    ///
    /// Panics where `groups` does not divide the batch.
    ///
    /// # Shapes
    /// - `x`: `[batch, channels, ..]`, to the same
    pub fn forward_in_groups<const D: usize>(&self, x: Tensor<D>, groups: usize) -> Tensor<D> {
        let (weight, bias) = (self.weight.val(), self.bias.val());
        if !(x.is_autodiff() && self.training.is_enabled()) {
            return batch_norm(x, weight, bias, self.running_mean.value(), self.running_var.value(), EPSILON);
        }
        let shape = x.dims();
        let [samples, channels] = [shape[0], shape[1]];
        assert!(groups > 0 && samples.is_multiple_of(groups), "{groups} groups do not divide a batch of {samples}");
        let numbers = shape.iter().product::<usize>() / channels / groups;
        assert!(numbers > 1, "one number a channel has no variance: a batch needs at least two");
        if groups == 1 {
            let batch = batch_norm_train(x, weight, bias, EPSILON);
            self.follow(batch.mean, batch.variance, numbers);
            return batch.output;
        }
        // Samples of different groups as different channels.
        let mut apart = shape;
        (apart[0], apart[1]) = (samples / groups, groups * channels);
        let [weight, bias] = [weight, bias].map(|each| each.repeat_dim(0, groups));
        let batch = batch_norm_train(x.reshape(apart), weight, bias, EPSILON);
        let mean = |each: Tensor<1>| each.reshape([groups, channels]).mean_dim(0).reshape([channels]);
        self.follow(mean(batch.mean), mean(batch.variance), numbers);
        batch.output.reshape(shape)
    }

    /// Running statistics after a batch of so many numbers a channel; `variance` is the biased one.
    fn follow(&self, mean: Tensor<1>, variance: Tensor<1>, numbers: usize) {
        self.running_mean.follow(mean);
        self.running_var.follow(variance * (numbers as f64 / (numbers as f64 - 1.0)));
    }
}

/// Numbers that training changes on the way forward. To visitors and mappers a parameter without gradients.
#[derive(Debug)]
pub struct Running {
    id: ParamId,
    value: Mutex<Tensor<1>>,
}

impl Running {
    fn new(value: Tensor<1>) -> Self {
        Self { id: ParamId::new(), value: Mutex::new(value) }
    }

    /// The numbers as they are now.
    pub fn value(&self) -> Tensor<1> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn follow(&self, batch: Tensor<1>) {
        let mut value = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        *value = (value.clone() * (1.0 - MOMENTUM) + batch * MOMENTUM).detach();
    }

    fn with(self, change: impl FnOnce(Tensor<1>) -> Tensor<1>) -> Self {
        let value = self.value.into_inner().unwrap_or_else(PoisonError::into_inner);
        Self { id: self.id, value: Mutex::new(change(value)) }
    }
}

impl Clone for Running {
    /// A copy that goes its own way.
    fn clone(&self) -> Self {
        Self { id: self.id, value: Mutex::new(self.value()) }
    }
}

impl Module for Running {
    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        visitor.visit_float(&Param::initialized(self.id, self.value()));
    }

    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        let id = self.id;
        self.with(|value| mapper.map_float(Param::initialized(id, value)).consume().1.set_require_grad(false))
    }

    fn to_device(self, device: &Device) -> Self {
        self.with(|value| value.to_device(device))
    }

    fn fork(self, device: &Device) -> Self {
        self.to_device(device)
    }

    fn collect_devices(&self, mut devices: Vec<Device>) -> Vec<Device> {
        let device = self.value().device();
        if !devices.contains(&device) {
            devices.push(device);
        }
        devices
    }

    fn materialize(self) -> Self {
        self
    }

    fn valid(&self) -> Self {
        self.clone().with(Tensor::inner)
    }

    fn train(self) -> Self {
        self.with(Tensor::from_inner)
    }
}

impl ModuleDisplay for Running {}

impl ModuleDisplayDefault for Running {
    fn content(&self, content: Content) -> Option<Content> {
        content.add_formatted(&format!("Running({})", self.value().dims()[0])).optional()
    }
}

impl std::fmt::Display for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Running({})", self.value().dims()[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{State, read_state, write_state};
    use crate::optim::freeze::freeze;
    use crate::optim::rules::ParameterRule;
    use burn::tensor::TensorData;

    /// Two images of one channel and two pixels: mean 3, variance 5, unbiased 20 / 3.
    fn images(device: &Device) -> Tensor<3> {
        Tensor::from_data(TensorData::from([[[0.0_f32, 2.0]], [[4.0, 6.0]]]), device)
    }

    fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_into_vec().unwrap()
    }

    fn state(layer: &BatchNorm) -> State {
        pollster::block_on(read_state(layer)).unwrap()
    }

    fn near(found: &[f32], expected: &[f64]) {
        let near = found.iter().zip(expected).all(|(&a, b)| (f64::from(a) - b).abs() < 1e-5);
        assert!(near && found.len() == expected.len(), "{found:?} instead of {expected:?}");
    }

    #[test]
    fn numbers_of_pytorchs_formulas() {
        let device = Device::flex().autodiff();
        let layer = BatchNorm::new(1, &device);
        let x = images(&device).require_grad();
        let y = layer.forward(x.clone());
        let deviation = (5.0_f64 + EPSILON).sqrt();
        near(&numbers(y.clone().inner()), &[-3.0, -1.0, 1.0, 3.0].map(|x| x / deviation));
        // The read is not one update behind.
        near(&state(&layer)["running_mean"].1, &[0.3]);
        near(&state(&layer)["running_var"].1, &[0.9 + 2.0 / 3.0]);
        assert_eq!(state(&layer).keys().collect::<Vec<_>>(), ["bias", "running_mean", "running_var", "weight"]);

        // Of sum(y * c): (c - mean(c) - z * mean(c * z)) / deviation, with z the normalised numbers.
        let weights = [1.0, 0.0, 0.0, 0.0];
        let cot = Tensor::from_data(TensorData::from([[[1.0_f32, 0.0]], [[0.0, 0.0]]]), &device);
        let gradients = (y * cot).sum().backward();
        let z = [-3.0, -1.0, 1.0, 3.0].map(|x| x / deviation);
        let expected: Vec<f64> =
            weights.iter().zip(z).map(|(c, each)| (c - 0.25 - each * z[0] / 4.0) / deviation).collect();
        near(&numbers(x.grad(&gradients).unwrap()), &expected);
        near(&numbers(layer.weight.val().grad(&gradients).unwrap()), &[z[0]]);
        near(&numbers(layer.bias.val().grad(&gradients).unwrap()), &[1.0]);

        let valid = layer.valid();
        let deviation = (0.9 + 2.0 / 3.0 + EPSILON).sqrt();
        let y = valid.forward(images(&Device::flex()));
        near(&numbers(y), &[0.0, 2.0, 4.0, 6.0].map(|x| (x - 0.3) / deviation));
        assert_eq!(state(&valid), state(&layer));
    }

    #[test]
    fn groups_are_normalised_apart_and_the_statistics_follow_their_mean() {
        let device = Device::flex().autodiff();
        let layer = BatchNorm::new(1, &device);
        // Samples 0 and 2, with means 1 and 7, are one group; 1 and 3 are the other.
        let pixels = [[[0.0_f32, 2.0]], [[10.0, 10.0]], [[6.0, 8.0]], [[30.0, 30.0]]];
        let x = Tensor::<3>::from_data(TensorData::from(pixels), &device);
        let y = numbers(layer.forward_in_groups(x.clone(), 2).inner());
        let (first, second) = ((10.0_f64 + EPSILON).sqrt(), (100.0_f64 + EPSILON).sqrt());
        let expected = [-4.0 / first, -2.0 / first, -10.0 / second, -10.0 / second];
        near(&y[..4], &expected);
        near(&y[4..], &[2.0 / first, 4.0 / first, 10.0 / second, 10.0 / second]);
        near(&state(&layer)["running_mean"].1, &[0.1 * (4.0 + 20.0) / 2.0]);
        near(&state(&layer)["running_var"].1, &[0.9 + 0.1 * (10.0 + 100.0) / 2.0 * 4.0 / 3.0]);
        let alike = BatchNorm::new(1, &device);
        assert_eq!(numbers(alike.forward_in_groups(x.clone(), 1)), numbers(BatchNorm::new(1, &device).forward(x)));
    }

    #[test]
    fn copies_share_nothing_and_what_is_frozen_keeps_its_statistics() {
        let device = Device::flex().autodiff();
        let layer = BatchNorm::new(1, &device);
        let fresh = state(&layer);
        let copy = layer.clone();
        layer.forward(images(&device));
        assert_eq!(state(&copy), fresh);
        let learned = state(&layer);
        assert_ne!(learned, fresh);
        let back = write_state("norm", learned.clone(), copy.valid().train()).unwrap();
        assert_eq!(state(&back), learned);

        let rule = |trained| ParameterRule { rate_scale: 1.0, weight_decay: 0.0, trained };
        let frozen = freeze(layer.clone(), |_, _| rule(false));
        let y = frozen.forward(images(&device));
        assert_eq!(state(&frozen), learned);
        assert_eq!(numbers(y.inner()), numbers(layer.valid().forward(images(&Device::flex()))));
        let other = freeze(layer, |_, _| rule(true));
        other.forward(images(&device));
        assert_ne!(state(&other), learned);
    }
}
