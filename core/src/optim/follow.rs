//! A network that follows another one by momentum, and what it begins as: the teacher of momentum contrast (He 2020,
//! section 3.2).

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;

use crate::checkpoint::StateNames;

/// A copy that learns nothing by itself: its parameters ask for no gradients and are nobody else's. Its batch normalisations go
/// on as they are, normalising by the batch where the original does, with running statistics of their own.
pub fn follower<M: Module>(module: &M) -> M {
    struct Copied;
    impl ModuleMapper for Copied {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            // Gradients and moments are kept by this number: two parameters of one number would be taken for one.
            let (_, tensor, mapper) = param.consume();
            Param::from_mapped_value(ParamId::new(), tensor.set_require_grad(false), mapper)
        }
    }
    module.clone().map(&mut Copied)
}

/// The follower a step nearer to what it follows: every parameter becomes `momentum` of itself and the rest of the other one.
/// Running statistics of batch normalisations are no parameters, and stay its own.
pub fn follow<M: Module>(follower: M, followed: &M, momentum: f64) -> M {
    struct Collect(Vec<Tensor<1>>);
    impl ModuleVisitor for Collect {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let value = param.val().inner();
            let count = value.dims().iter().product::<usize>();
            self.0.push(value.reshape([count]));
        }
    }
    struct Follow {
        others: std::vec::IntoIter<Tensor<1>>,
        momentum: f64,
        names: StateNames,
    }
    impl ModuleMapper for Follow {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.names.enter(name, container);
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.names.exit();
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let Some(other) = self.others.next() else { panic!("a follower is a copy of what it follows") };
            if self.names.name().contains("running_") {
                return param;
            }
            let momentum = self.momentum;
            param.map(|old| {
                let old = old.inner();
                let other = other.reshape(old.dims());
                Tensor::from_inner(old * momentum + other * (1.0 - momentum))
            })
        }
    }
    let mut collect = Collect(Vec::new());
    followed.visit(&mut collect);
    follower.map(&mut Follow { others: collect.0.into_iter(), momentum, names: StateNames::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::batch_norm::BatchNorm;
    use crate::checkpoint::{State, read_state, write_state};
    use burn::optim::GradientsParams;
    use burn::tensor::{Device, Distribution};

    fn state(layer: &BatchNorm) -> State {
        pollster::block_on(read_state(layer)).unwrap()
    }

    #[test]
    fn a_follower_moves_by_momentum_alone_and_keeps_statistics_of_its_own() {
        let device = Device::flex().autodiff();
        let random = || Tensor::<2>::random([4, 2], Distribution::Default, &device);
        let student = BatchNorm::new(2, &device);
        let teacher = follower(&student);
        assert_eq!(state(&teacher), state(&student));

        student.forward(random());
        let y = teacher.forward(random());
        assert!(state(&teacher) != state(&student), "each has seen other batches");
        let statistics = state(&teacher)["running_mean"].clone();
        assert_ne!(statistics.1, [0.0, 0.0], "a follower goes on normalising by the batch");
        let asked = (y.sum() + student.forward(random()).sum()).backward();
        assert_eq!(GradientsParams::from_grads(asked, &teacher).len(), 0);

        let mut other = state(&student);
        other.insert("weight".into(), (vec![2], vec![3.0, -1.0]));
        let student = write_state("student", other, student).unwrap();
        let teacher = follow(follow(teacher, &student, 0.9), &student, 0.9);
        // Two steps of a tenth of the way from 1.
        let weight = &state(&teacher)["weight"].1;
        assert!((weight[0] - 1.38).abs() < 1e-6 && (weight[1] - 0.62).abs() < 1e-6, "{weight:?}");
        assert_eq!(state(&teacher)["running_mean"], statistics);
        let last = state(&teacher);
        teacher.forward(random());
        assert_ne!(state(&teacher)["running_mean"], last["running_mean"], "and it still follows its own batches");
    }
}
