//! Reading a reference case and comparing with it.
//!
//! A case is one safetensors file, `KIND__LABEL.safetensors`, with tensors of f32 or i64 in PyTorch's layouts:
//!
//! | name | what |
//! |---|---|
//! | `in.X` | inputs; `in.cot.X` are weights that turn `out.X` into the one number that gradients belong to |
//! | `param.NAME` | parameters under their PyTorch names, before the case runs |
//! | `out.X`, `out.state.NAME` | results, and parameters after the case has run |
//! | `grad.X` | gradient of the parameter or input X |
//!
//! The metadata are texts: `case` is the kind, `config` (JSON) every size and setting, `oracle` who made the numbers,
//! `tolerance` (JSON) how far results may be off (`out`, `grad`, `floor`, and `tensors` for single ones), `hashed`
//! (JSON, in some) a list of `[name, shape, seed, scale, offset]`: tensors that `hashed_number` computes and nobody
//! stores. `difference` holds the rule of the comparison.

use std::collections::{BTreeMap, BTreeSet};

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use sonoseg_core::checkpoint::{State, StateNames, read_state, write_state};
use sonoseg_imaging::rng::splitmix64;

/// Numbers with their shape; integers are held exactly, since all of them lie within f64.
#[derive(Clone, Debug)]
pub(crate) struct Numbers {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f64>,
    exact: bool,
}

impl Numbers {
    pub(crate) fn f32(&self) -> Vec<f32> {
        self.values.iter().map(|&value| value as f32).collect()
    }
}

/// One reference case, and what has been compared with it.
pub(crate) struct Case {
    pub(crate) kind: String,
    pub(crate) config: Value,
    pub(crate) device: Device,
    tolerance: Value,
    tensors: BTreeMap<String, Numbers>,
    left: Vec<String>,
    problems: Vec<String>,
    compared: usize,
}

impl Case {
    pub(crate) fn read(bytes: &[u8], device: &Device) -> Self {
        let (_, header) = SafeTensors::read_metadata(bytes).unwrap();
        let metadata = header.metadata().as_ref().unwrap();
        let json = |key: &str| serde_json::from_str::<Value>(&metadata[key]).unwrap();
        let mut tensors: BTreeMap<String, Numbers> = SafeTensors::deserialize(bytes)
            .unwrap()
            .iter()
            .map(|(name, view)| {
                let data = view.data();
                let (exact, values) = match view.dtype() {
                    Dtype::I64 => {
                        (true, data.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f64).collect())
                    }
                    Dtype::F32 => (
                        false,
                        data.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect(),
                    ),
                    other => panic!("{name}: {other:?} is no type of the format"),
                };
                (name.to_owned(), Numbers { shape: view.shape().to_vec(), values, exact })
            })
            .collect();
        if let Some(hashed) = metadata.get("hashed") {
            let list: Vec<(String, Vec<usize>, u64, f64, f64)> = serde_json::from_str(hashed).unwrap();
            for (name, shape, seed, scale, offset) in list {
                let name = if name.starts_with("in.") { name } else { format!("param.{name}") };
                let values =
                    (0..shape.iter().product()).map(|i: usize| hashed_number(seed, i, scale, offset)).collect();
                tensors.insert(name, Numbers { shape, values, exact: false });
            }
        }
        let expected = |name: &&String| name.starts_with("out.") || name.starts_with("grad.");
        Self {
            kind: metadata["case"].clone(),
            config: json("config"),
            tolerance: json("tolerance"),
            left: tensors.keys().filter(expected).cloned().collect(),
            device: device.clone().autodiff(),
            problems: Vec::new(),
            compared: 0,
            tensors,
        }
    }

    /// A setting as a number.
    pub(crate) fn number(&self, key: &str) -> f64 {
        self.config[key].as_f64().unwrap_or_else(|| panic!("config.{key} is {}", self.config[key]))
    }

    /// A setting as a size.
    pub(crate) fn size(&self, key: &str) -> usize {
        self.number(key) as usize
    }

    /// A setting as one size per axis: one number stands for both.
    pub(crate) fn pair(&self, key: &str) -> [usize; 2] {
        match &self.config[key] {
            Value::Array(list) => [0, 1].map(|i| list[i].as_u64().unwrap() as usize),
            _ => [self.size(key); 2],
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    pub(crate) fn numbers(&self, name: &str) -> &Numbers {
        self.tensors.get(name).unwrap_or_else(|| panic!("the case has no tensor {name}"))
    }

    /// How many axes a tensor has.
    pub(crate) fn axes(&self, name: &str) -> usize {
        self.numbers(name).shape.len()
    }

    /// A tensor on the device.
    pub(crate) fn tensor<const D: usize>(&self, name: &str) -> Tensor<D> {
        let numbers = self.numbers(name);
        let shape: [usize; D] = numbers.shape.clone().try_into().unwrap();
        Tensor::from_data(TensorData::new(numbers.f32(), shape), &self.device)
    }

    /// Put `param.*` into a module.
    pub(crate) fn fill<M: Module>(&self, module: M) -> M {
        self.fill_renamed(module, |state| state)
    }

    /// [`Case::fill`] with the case's names turned into the module's. How many batches a normalisation has seen is not kept.
    pub(crate) fn fill_renamed<M: Module>(&self, module: M, rename: fn(State) -> State) -> M {
        let state: State = self
            .tensors
            .iter()
            .filter(|(name, _)| !name.ends_with(".num_batches_tracked"))
            .filter_map(|(name, n)| Some((name.strip_prefix("param.")?.to_owned(), (n.shape.clone(), n.f32()))))
            .collect();
        write_state(&self.kind, rename(state), module).unwrap()
    }

    /// Compare numbers with the expected tensor `name`. A tensor that the case does not have is no fault.
    pub(crate) fn compare(&mut self, name: &str, found: &[f64]) {
        let Some(index) = self.left.iter().position(|left| left == name) else { return };
        self.left.remove(index);
        self.compared += 1;
        let expected = &self.tensors[name];
        if found.len() != expected.values.len() {
            self.problems.push(format!("{name}: {} values instead of {}", found.len(), expected.values.len()));
            return;
        }
        if let Some(problem) =
            difference(found, expected, self.allowed(name), self.tolerance["floor"].as_f64().unwrap())
        {
            self.problems.push(format!("{name}: {problem}"));
        }
    }

    fn allowed(&self, name: &str) -> f64 {
        let own = self.tolerance["tensors"][name].as_f64();
        let kind = if name.starts_with("grad.") { "grad" } else { "out" };
        own.unwrap_or_else(|| self.tolerance[kind].as_f64().unwrap())
    }

    /// Compare a tensor of the device.
    pub(crate) async fn compare_tensor<const D: usize>(&mut self, name: &str, found: Tensor<D>) {
        let data = found.into_data_async().await.unwrap();
        let values: Vec<f64> = data.try_into_vec::<f32>().unwrap().into_iter().map(f64::from).collect();
        self.compare(name, &values);
    }

    /// Compare the gradient of an input.
    pub(crate) async fn compare_gradient<const D: usize>(&mut self, name: &str, of: &Tensor<D>, gradients: &Gradients) {
        if self.has(&format!("grad.{name}")) {
            let gradient = of.grad(gradients).unwrap_or_else(|| panic!("{name} got no gradient"));
            self.compare_tensor(&format!("grad.{name}"), gradient).await;
        }
    }

    /// Compare the gradients of all parameters of a module, by PyTorch's names and layouts.
    pub(crate) async fn compare_gradients<M: Module>(&mut self, module: &M, gradients: &Gradients) {
        self.compare_gradients_renamed(module, gradients, |state| state).await;
    }

    /// [`Case::compare_gradients`] with the module's names turned into the case's.
    pub(crate) async fn compare_gradients_renamed<M: Module>(
        &mut self,
        module: &M,
        gradients: &Gradients,
        rename: fn(State) -> State,
    ) {
        for (name, (_, values)) in rename(read_gradients(module, gradients).await) {
            let values: Vec<f64> = values.into_iter().map(f64::from).collect();
            self.compare(&format!("grad.{name}"), &values);
        }
    }

    /// What was compared; an error with all differences. Anything left out fails too, unless named in `may_skip`.
    pub(crate) fn finish(mut self, may_skip: &[&str]) -> Result<String, String> {
        self.left.retain(|name| !may_skip.iter().any(|skip| name.starts_with(skip)));
        if !self.left.is_empty() {
            self.problems.push(format!("not compared: {}", self.left.join(", ")));
        }
        if self.problems.is_empty() {
            Ok(format!("{} tensors", self.compared))
        } else {
            Err(self.problems.join("\n    "))
        }
    }
}

/// Number `index` of a tensor that a case does not store but makes from a seed.
fn hashed_number(seed: u64, index: usize, scale: f64, offset: f64) -> f64 {
    let bits = splitmix64((seed << 32) + index as u64) >> 40;
    let u = bits as f64 / f64::from(1 << 23) - 1.0;
    f64::from((offset + scale * u) as f32)
}

#[cfg(not(target_family = "wasm"))]
#[test]
fn hashed_numbers_are_those_of_the_format() {
    let found: Vec<f64> = (0..4).map(|i| hashed_number(1, i, 1.0, 0.0)).collect();
    assert_eq!(found, [0.5326035022735596, -0.7479380369186401, 0.40186238288879395, 0.2657524347305298]);
}

/// The rule of the format: integers equal; `|a - b| <= tol (|b| + rms(b)) + floor`; NaN meets NaN, infinity itself.
fn difference(found: &[f64], expected: &Numbers, allowed: f64, floor: f64) -> Option<String> {
    let finite: Vec<f64> = expected.values.iter().copied().filter(|v| v.is_finite()).collect();
    let rms = (finite.iter().map(|v| v * v).sum::<f64>() / finite.len().max(1) as f64).sqrt();
    let mut worst: Option<(f64, usize)> = None;
    for (index, (&a, &b)) in found.iter().zip(&expected.values).enumerate() {
        let limit = if expected.exact { 0.0 } else { allowed * (b.abs() + rms) + floor };
        let fits = if b.is_nan() {
            a.is_nan()
        } else if b.is_infinite() {
            a == b
        } else {
            (a - b).abs() <= limit
        };
        let excess = if fits { 0.0 } else { (a - b).abs() / limit.max(1e-300) };
        if !fits && worst.is_none_or(|(most, _)| excess > most || excess.is_nan()) {
            worst = Some((excess, index));
        }
    }
    worst.map(|(excess, index)| {
        format!(
            "{} instead of {} at {index} of shape {:?}: {excess:.1} times the tolerance",
            found[index], expected.values[index], expected.shape
        )
    })
}

/// Gradients of a module's parameters: the state of a copy whose values are its gradients. Frozen ones have none; a
/// case that expects one reports it as not compared.
async fn read_gradients<M: Module>(module: &M, gradients: &Gradients) -> State {
    struct Collect<'a> {
        names: StateNames,
        gradients: &'a Gradients,
        visited: BTreeSet<String>,
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
            self.visited.insert(self.names.name());
            let Some(gradient) = param.val().grad(self.gradients) else { return };
            let gradient = if D == 2 && self.names.transposed() { gradient.swap_dims(0, 1) } else { gradient };
            let shape = gradient.dims().to_vec();
            let count: usize = shape.iter().product();
            self.found.push((self.names.name(), shape, gradient.reshape([count])));
        }
    }
    let mut collect = Collect { names: StateNames::default(), gradients, visited: BTreeSet::new(), found: Vec::new() };
    module.visit(&mut collect);
    // The names are those of the state, or a rename would pass unnoticed.
    assert!(collect.visited.iter().eq(read_state(module).await.unwrap().keys()), "names of the state");
    let mut state = State::new();
    for (name, shape, tensor) in collect.found {
        let data = tensor.into_data_async().await.unwrap();
        state.insert(name, (shape, data.try_into_vec().unwrap()));
    }
    state
}
