//! A limit on the norm of all gradients together.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

/// Scale all gradients so that their common norm is at most `limit`; nothing is read back.
pub(super) fn clip<M: Module>(model: &M, mut grads: GradientsParams, limit: f64) -> GradientsParams {
    struct Squares<'a>(&'a GradientsParams, Option<Tensor<1>>);
    impl ModuleVisitor for Squares<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(grad) = self.0.get::<D>(param.id) {
                let sum = grad.square().sum();
                self.1 = Some(match self.1.take() {
                    Some(total) => total + sum,
                    None => sum,
                });
            }
        }
    }
    struct Scale<'a>(&'a mut GradientsParams, Tensor<1>);
    impl ModuleVisitor for Scale<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(grad) = self.0.remove::<D>(param.id) {
                self.0.register(param.id, grad * self.1.clone().reshape([1; D]));
            }
        }
    }
    let mut squares = Squares(&grads, None);
    model.visit(&mut squares);
    if let Some(total) = squares.1 {
        let factor = (total.sqrt() + 1e-6).recip().mul_scalar(limit).clamp_max(1.0);
        model.visit(&mut Scale(&mut grads, factor));
    }
    grads
}
