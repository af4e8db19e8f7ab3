//! Tensors by parameter, gradients for example, as tensors by name, and back.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorData};

use crate::checkpoint::{CheckpointError, State, StateNames, read_tensors};

/// The tensors that there are, by the names of the parameters of `model`, in the layout that they have here (not PyTorch's).
///
/// # Errors
/// When the device fails.
pub(crate) async fn read<M: Module>(model: &M, tensors: &GradientsParams) -> Result<State, CheckpointError> {
    struct Collect<'a> {
        tensors: &'a GradientsParams,
        names: StateNames,
        found: Vec<(String, Vec<usize>, Tensor<1>)>,
    }
    impl ModuleVisitor for Collect<'_> {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.names.enter(name, container);
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.names.exit();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(tensor) = self.tensors.get::<D>(param.id) {
                let shape = tensor.dims();
                let flat = tensor.reshape([shape.iter().product::<usize>()]);
                self.found.push((self.names.name(), shape.to_vec(), flat));
            }
        }
    }
    let mut collect = Collect { tensors, names: StateNames::default(), found: Vec::new() };
    model.visit(&mut collect);
    read_tensors(collect.found).await
}

/// The tensors that [`read`] gave, on the device of the parameters of `model`. `name` says whose they are.
///
/// # Errors
/// When one fits no parameter.
pub(crate) fn write<M: Module>(name: &str, model: &M, state: State) -> Result<GradientsParams, CheckpointError> {
    struct Fill {
        state: State,
        tensors: GradientsParams,
        names: StateNames,
        problem: Option<String>,
    }
    impl ModuleVisitor for Fill {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.names.enter(name, container);
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.names.exit();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let name = self.names.name();
            let Some((shape, numbers)) = self.state.remove(&name) else { return };
            let parameter = param.val().inner();
            if shape == parameter.dims() {
                let tensor = Tensor::<D>::from_data(TensorData::new(numbers, shape), &parameter.device());
                self.tensors.register(param.id, tensor);
            } else {
                self.problem = Some(format!("the tensor {name} does not fit its parameter"));
            }
        }
    }
    let mut fill = Fill { state, tensors: GradientsParams::new(), names: StateNames::default(), problem: None };
    model.visit(&mut fill);
    let stray = fill.state.keys().next().map(|name| format!("the tensor {name} belongs to no parameter"));
    match fill.problem.or(stray) {
        Some(reason) => Err(CheckpointError::Mismatch { name: name.to_owned(), reason }),
        None => Ok(fill.tensors),
    }
}
