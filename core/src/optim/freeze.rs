//! Networks of which a part stays as it is: no gradients are computed there, and batch normalisation keeps its statistics.

use burn::module::{Flag, Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::Tensor;

use super::rules::ParameterRule;
use crate::checkpoint::StateNames;

/// The same network without gradients for what is not trained: nobody computes what would be thrown away. A batch
/// normalisation whose weight is not trained normalises by its running statistics and leaves them alone. Dropout stays on.
pub fn freeze<M: Module>(model: M, rule: impl Fn(&str, usize) -> ParameterRule) -> M {
    struct Freeze<F> {
        rule: F,
        names: StateNames,
    }
    impl<F: Fn(&str, usize) -> ParameterRule> ModuleMapper for Freeze<F> {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.names.enter(name, container);
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.names.exit();
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            if (self.rule)(&self.names.name(), D).trained { param } else { param.set_require_grad(false) }
        }
        fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
            match self.names.weight_beside() {
                Some(weight) if !(self.rule)(&weight, 1).trained => flag.with_value(false),
                _ => flag,
            }
        }
    }
    model.map(&mut Freeze { rule, names: StateNames::default() })
}

/// Numbers that learn, among all that a network consists of.
pub fn trained<M: Module>(model: &M, rule: impl Fn(&str, usize) -> ParameterRule) -> usize {
    struct Count<F> {
        rule: F,
        names: StateNames,
        numbers: usize,
    }
    impl<F: Fn(&str, usize) -> ParameterRule> ModuleVisitor for Count<F> {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.names.enter(name, container);
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.names.exit();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if (self.rule)(&self.names.name(), D).trained {
                self.numbers += param.lazy_shape().num_elements();
            }
        }
    }
    let mut count = Count { rule, names: StateNames::default(), numbers: 0 };
    model.visit(&mut count);
    count.numbers
}
