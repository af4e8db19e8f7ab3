//! Model files: safetensors with PyTorch's tensor names and layouts, and a header that says how to use the network.
//!
//! Only this file knows the format. Reading and writing never block on the device, so the browser can do both.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use half::f16;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};

pub mod numbers;
mod pickle;
pub mod tensors;
mod torch;
mod unwrap;

/// What can be wrong with a model file.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Not a safetensors file, or cut short.
    #[error("{name}: not a readable safetensors model file ({reason}); export it again with `sonoseg export`")]
    Unreadable {
        /// File name.
        name: String,
        /// What the reader says.
        reason: String,
    },
    /// A file of something else, or one that was refused.
    #[error("{name}: {reason}")]
    Foreign {
        /// File name.
        name: String,
        /// Why it is no model of ours and what to do.
        reason: String,
    },
    /// The tensors do not fit the network that the file describes.
    #[error(
        "{name}: the tensors do not fit the network: {reason}. Take the file that belongs to these settings, or export it again"
    )]
    Mismatch {
        /// File name.
        name: String,
        /// Missing, unknown and misshapen tensors.
        reason: String,
    },
    /// The device did not give the weights.
    #[error("the weights could not be read from the device: {0}")]
    Device(String),
}

/// How numbers are stored in a model file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// 32 bits a number.
    F32,
    /// 16 bits a number; computation stays in 32 bits.
    F16,
}

const HEADER_KEY: &str = "sonoseg";

/// PyTorch's name for the parameter that a visitor or mapper is at, and whether its layout is transposed there.
#[derive(Debug, Default)]
pub struct StateNames {
    path: Vec<String>,
    containers: Vec<String>,
}

impl StateNames {
    /// To be called from `enter_module`.
    pub fn enter(&mut self, name: &str, container: &str) {
        self.path.push(name.to_owned());
        self.containers.push(container.to_owned());
    }

    /// To be called from `exit_module`.
    pub fn exit(&mut self) {
        self.path.pop();
        self.containers.pop();
    }

    /// Dotted name; a norm's `gamma` and `beta` are called `weight` and `bias` in PyTorch. A choice of networks adds no
    /// name of its own.
    pub fn name(&self) -> String {
        let places = self.path.iter().zip(&self.containers);
        let named = places.filter(|(_, container)| !container.starts_with("Enum:")).map(|(name, _)| name.as_str());
        let mut name = named.collect::<Vec<_>>().join(".");
        if self.containers.last().is_some_and(|container| container.ends_with("Norm")) {
            for (ours, theirs) in [("gamma", "weight"), ("beta", "bias")] {
                if let Some(prefix) = name.strip_suffix(ours) {
                    name = format!("{prefix}{theirs}");
                }
            }
        }
        name
    }

    /// The name of the weight beside a flag of a batch normalisation; none at other flags.
    pub fn weight_beside(&self) -> Option<String> {
        let normalises = self.containers.last().is_some_and(|container| container.ends_with("BatchNorm"));
        let name = self.name();
        normalises.then(|| format!("{}weight", &name[..name.rfind('.').map_or(0, |dot| dot + 1)]))
    }

    /// True for the weight of a linear layer: `[in, out]` here, `[out, in]` in PyTorch.
    pub fn transposed(&self) -> bool {
        self.containers.last().is_some_and(|container| container == "Struct:Linear")
            && self.path.last().is_some_and(|name| name == "weight")
    }
}

/// All tensors of a module by PyTorch name: shape and numbers. The way to move weights in and out of any module.
pub type State = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Move every number of `mean` towards that of `other`, the state in the file `name`, by `share`: with shares 1/2, 1/3, ..
/// of one state after another it becomes their mean. An error when they are of different networks.
pub fn average(name: &str, mean: &mut State, other: &State, share: f32) -> Result<(), CheckpointError> {
    let shapes =
        |state: &State| state.iter().map(|(name, (shape, _))| (name.clone(), shape.clone())).collect::<Vec<_>>();
    if shapes(mean) != shapes(other) {
        let reason = "is another network than the first, and only models of one network can be averaged".into();
        return Err(CheckpointError::Foreign { name: name.to_owned(), reason });
    }
    for ((_, numbers), (_, others)) in mean.values_mut().zip(other.values()) {
        numbers.iter_mut().zip(others).for_each(|(number, other)| *number = (1.0 - share) * *number + share * other);
    }
    Ok(())
}

/// Read every parameter back from the device, in PyTorch's names and layouts.
pub async fn read_state<M: Module>(model: &M) -> Result<State, CheckpointError> {
    read_where(model, false).await
}

/// Those of [`read_state`] that have a value already. Parameters get their first one when they are first used, from the
/// device's generator: to read them all would give a fresh network other weights than its first pass does.
pub async fn read_initialised<M: Module>(model: &M) -> Result<State, CheckpointError> {
    read_where(model, true).await
}

async fn read_where<M: Module>(model: &M, initialised: bool) -> Result<State, CheckpointError> {
    struct Collect {
        initialised: bool,
        names: StateNames,
        found: Vec<(String, Vec<usize>, Tensor<1>)>,
    }
    impl ModuleVisitor for Collect {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.names.enter(name, container);
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.names.exit();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if self.initialised && !param.is_initialized() {
                return;
            }
            let tensor = param.val().inner();
            let tensor = if D == 2 && self.names.transposed() { tensor.swap_dims(0, 1) } else { tensor };
            let shape = tensor.dims().to_vec();
            let count: usize = shape.iter().product();
            self.found.push((self.names.name(), shape, tensor.reshape([count])));
        }
    }
    let mut collect = Collect { initialised, names: StateNames::default(), found: Vec::new() };
    model.visit(&mut collect);
    read_tensors(collect.found).await
}

/// Read named tensors with their shapes back from the device.
pub(crate) async fn read_tensors(found: Vec<(String, Vec<usize>, Tensor<1>)>) -> Result<State, CheckpointError> {
    let failed = |e: &dyn std::fmt::Debug| CheckpointError::Device(format!("{e:?}"));
    let mut state = State::new();
    for (name, shape, tensor) in found {
        let data = tensor.into_data_async().await.map_err(|e| failed(&e))?;
        let numbers = data.convert::<f32>().try_into_vec::<f32>().map_err(|e| failed(&e))?;
        state.insert(name, (shape, numbers));
    }
    Ok(state)
}

/// Put tensors into a module. Every parameter must be there in its shape, and nothing may be left over.
/// `name` is the file's name, for the message.
pub fn write_state<M: Module>(name: &str, mut state: State, model: M) -> Result<M, CheckpointError> {
    struct Fill<'a> {
        names: StateNames,
        state: &'a mut State,
        problems: Vec<String>,
    }
    impl ModuleMapper for Fill<'_> {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.names.enter(name, container);
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.names.exit();
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let name = self.names.name();
            let transposed = D == 2 && self.names.transposed();
            let mut expected = param.lazy_shape().to_vec();
            if transposed {
                expected.reverse();
            }
            let Some((shape, numbers)) = self.state.remove(&name) else {
                self.problems.push(format!("{name} is missing"));
                return param;
            };
            if shape != expected {
                self.problems.push(format!("{name} is {shape:?} instead of {expected:?}"));
                return param;
            }
            param.map(|old| {
                let tracked = old.is_require_grad();
                // Transposed here and not on the device: a strided tensor may be summed in another order, and then a
                // resumed run would differ in the last bits from one that never stopped.
                let data = if transposed {
                    TensorData::new(transpose(&numbers, shape[0], shape[1]), [shape[1], shape[0]])
                } else {
                    TensorData::new(numbers, shape)
                };
                let fresh = Tensor::<D>::from_data(data, &old.device());
                if tracked { fresh.detach().require_grad() } else { fresh }
            })
        }
    }
    let mut fill = Fill { names: StateNames::default(), state: &mut state, problems: Vec::new() };
    let model = model.map(&mut fill);
    let mut problems = fill.problems;
    problems.extend(state.keys().map(|left| format!("{left} is unknown to the network")));
    if problems.is_empty() {
        return Ok(model);
    }
    let more = problems.len().saturating_sub(5);
    problems.truncate(5);
    let mut reason = problems.join("; ");
    if more > 0 {
        reason.push_str(&format!("; and {more} more"));
    }
    Err(CheckpointError::Mismatch { name: name.to_owned(), reason })
}

/// Row-major `[rows, columns]` to row-major `[columns, rows]`.
fn transpose(numbers: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| (0..rows).map(move |row| numbers[row * columns + column])).collect()
}

/// Fill a part of a module from a state that holds it: every tensor of the module whose name starts with `part` must be
/// there in its shape; everything else of the module stays as it is. Tensors outside the part are left alone.
pub async fn write_part<M: Module>(name: &str, state: &State, part: &str, model: M) -> Result<M, CheckpointError> {
    let mut all = read_state(&model).await?;
    let missing: Vec<&String> =
        all.keys().filter(|key| key.starts_with(part) && !state.contains_key(*key)).take(5).collect();
    if !missing.is_empty() {
        let reason = format!("{missing:?} are missing, which `{part}` needs");
        return Err(CheckpointError::Mismatch { name: name.to_owned(), reason });
    }
    all.extend(
        state.iter().filter(|(key, _)| key.starts_with(part)).map(|(key, tensor)| (key.clone(), tensor.clone())),
    );
    write_state(name, all, model)
}

/// What makes weights useless: numbers that are not finite, by the name of the first tensor that holds some. A training that
/// diverged writes such, and no device can compute with them.
pub fn unusable(state: &State) -> Option<String> {
    state.iter().find_map(|(tensor, (_, numbers))| {
        let bad = numbers.iter().filter(|number| !number.is_finite()).count();
        let all = numbers.len();
        (bad > 0).then(|| format!("{bad} of the {all} numbers of its tensor {tensor} are infinite or no numbers"))
    })
}

/// Share of a tensor's length (root of the sum of squares) that 16 bits may lose: far above rounding, far below what a
/// network needs.
const MOST_LOST: f64 = 0.01;

/// What 16 bits make of a tensor, or why they cannot hold it.
fn halved(tensor: &str, numbers: &[f32]) -> Result<Vec<u8>, String> {
    let halves: Vec<f16> = numbers.iter().map(|&number| f16::from_f32(number)).collect();
    let pairs = || numbers.iter().zip(&halves);
    if let Some((large, _)) = pairs().find(|(number, half)| number.is_finite() && !half.is_finite()) {
        return Err(format!(
            "its tensor {tensor} holds {large}, and 16 bits end at 65504: store it with 32 (--dtype f32)"
        ));
    }
    let squares = |sum: f64, number: f64| if number.is_finite() { sum + number * number } else { sum };
    let all = numbers.iter().map(|&number| f64::from(number)).fold(0.0, squares);
    let lost = pairs().map(|(&number, half)| f64::from(number) - half.to_f64()).fold(0.0, squares);
    if lost.sqrt() > MOST_LOST * all.sqrt() {
        return Err(format!(
            "the numbers of its tensor {tensor} are so small that 16 bits lose {:.0} % of them: store it with 32 (--dtype f32)",
            100.0 * (lost / all).sqrt()
        ));
    }
    Ok(halves.iter().flat_map(|half| half.to_le_bytes()).collect())
}

/// A model file as bytes: the header (any serialisable value) and the tensors. `name` is for the message where 16 bits
/// cannot hold a tensor.
pub fn encode_as<H: Serialize>(
    name: &str,
    header: &H,
    state: &State,
    storage: Storage,
) -> Result<Vec<u8>, CheckpointError> {
    let foreign = |reason: String| CheckpointError::Foreign { name: name.to_owned(), reason };
    let header = serde_json::to_string(header).map_err(|e| foreign(e.to_string()))?;
    let bytes: Vec<(&String, &[usize], Vec<u8>)> = state
        .iter()
        .map(|(name, (shape, numbers))| {
            let bytes = match storage {
                Storage::F32 => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
                Storage::F16 => halved(name, numbers).map_err(foreign)?,
            };
            Ok((name, shape.as_slice(), bytes))
        })
        .collect::<Result<_, _>>()?;
    let dtype = match storage {
        Storage::F32 => Dtype::F32,
        Storage::F16 => Dtype::F16,
    };
    let mut views = Vec::with_capacity(bytes.len());
    for (name, shape, bytes) in &bytes {
        let view = TensorView::new(dtype, shape.to_vec(), bytes).map_err(|e| foreign(format!("{name}: {e}")))?;
        views.push((name.as_str(), view));
    }
    let metadata = std::collections::HashMap::from([(HEADER_KEY.to_owned(), header)]);
    safetensors::serialize(views, Some(metadata)).map_err(|e| foreign(e.to_string()))
}

/// [`encode_as`] of a model that has no name yet.
pub fn encode<H: Serialize>(header: &H, state: &State, storage: Storage) -> Result<Vec<u8>, CheckpointError> {
    encode_as("model", header, state, storage)
}

/// Read a model file: its header and its tensors. f16, bf16 and f32 tensors are understood.
pub fn decode<H: for<'a> Deserialize<'a>>(name: &str, bytes: &[u8]) -> Result<(H, State), CheckpointError> {
    let header = header(name, bytes)?;
    Ok((header, decode_tensors(name, bytes)?))
}

/// What [`architecture`] gives for imported weights, which are no model yet.
pub const IMPORT: &str = "import";

/// The kind of network in a model file, for example `unetr`; [`IMPORT`] for imported weights.
pub fn architecture(name: &str, bytes: &[u8]) -> Result<String, CheckpointError> {
    #[derive(Deserialize)]
    struct Kind {
        architecture: String,
    }
    /// Models name it with the sizes of their network, those of the first version and imported weights outermost.
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Place {
        Outermost {
            #[serde(alias = "kind")]
            architecture: String,
        },
        Network {
            network: Kind,
        },
    }
    header(name, bytes).map(|place| match place {
        Place::Outermost { architecture } | Place::Network { network: Kind { architecture } } => architecture,
    })
}

/// The header of a model file.
pub fn header<H: for<'a> Deserialize<'a>>(name: &str, bytes: &[u8]) -> Result<H, CheckpointError> {
    let foreign = |reason: String| CheckpointError::Foreign { name: name.to_owned(), reason };
    let (_, metadata) = SafeTensors::read_metadata(bytes)
        .map_err(|e| CheckpointError::Unreadable { name: name.to_owned(), reason: e.to_string() })?;
    let header = metadata.metadata().as_ref().and_then(|map| map.get(HEADER_KEY)).ok_or_else(|| {
        foreign("a safetensors file, but not a sonoseg model: it says nothing about its network. Export one with `sonoseg export`".into())
    })?;
    serde_json::from_str(header).map_err(|e| {
        foreign(format!("written by another version of sonoseg: {e}. Export it again with `sonoseg export`"))
    })
}

/// The tensors of any safetensors file, without its header.
pub fn decode_tensors(name: &str, bytes: &[u8]) -> Result<State, CheckpointError> {
    let unreadable = |reason: String| CheckpointError::Unreadable { name: name.to_owned(), reason };
    let file = SafeTensors::deserialize(bytes).map_err(|e| unreadable(e.to_string()))?;
    let mut state = State::new();
    for (tensor, view) in file.iter() {
        let data = view.data();
        let numbers = match view.dtype() {
            Dtype::F32 => data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            Dtype::F16 => data.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
            Dtype::BF16 => data.chunks_exact(2).map(|b| half::bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
            other => return Err(unreadable(format!("{tensor} holds numbers of type {other:?}"))),
        };
        state.insert(tensor.to_owned(), (view.shape().to_vec(), numbers));
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::transformer::Block;
    use burn::tensor::Device;

    fn block() -> Block {
        Block::new(8, 2, 4, 1e-6, &Device::flex())
    }

    #[test]
    fn a_module_survives_the_file_and_linear_weights_have_pytorchs_layout() {
        let state = pollster::block_on(read_state(&block())).unwrap();
        assert_eq!(state["attn.qkv.weight"].0, [24, 8]);
        assert_eq!(state["norm1.weight"].1, [1.0; 8]);
        let bytes = encode(&"header", &state, Storage::F32).unwrap();
        let (header, read): (String, State) = decode("m.safetensors", &bytes).unwrap();
        assert_eq!((header.as_str(), &read), ("header", &state));
        let filled = write_state("m.safetensors", read, block()).unwrap();
        assert_eq!(pollster::block_on(read_state(&filled)).unwrap(), state);
    }

    #[test]
    fn sixteen_bits_hold_a_tensor_or_it_is_named() {
        let state =
            |numbers: &[f32]| State::from([("deep.weight".to_owned(), (vec![numbers.len()], numbers.to_vec()))]);
        let halved = |numbers: &[f32]| {
            let bytes = encode_as("m", &"header", &state(numbers), Storage::F16).map_err(|e| e.to_string())?;
            let (_, read): (String, State) = decode("m", &bytes).map_err(|e| e.to_string())?;
            Ok::<_, String>(read["deep.weight"].1.clone())
        };
        // The last number that is rounded down to 65504, and the first that is not.
        assert_eq!(halved(&[65519.996, -65504.0]).unwrap(), [65504.0, -65504.0]);
        for large in [65520.0, -7e4, 1e38] {
            let message = halved(&[1.0, large]).unwrap_err();
            assert!(message.contains("deep.weight") && message.contains("65504"), "{message}");
        }
        // A few numbers that vanish among others lose nothing; a whole tensor of them does.
        assert_eq!(halved(&[0.5, 1e-9, 0.0]).unwrap(), [0.5, 0.0, 0.0]);
        for small in [&[1e-8, 2e-8][..], &[7e-8, 1.3e-7], &[1e-40; 3]] {
            let message = halved(small).unwrap_err();
            assert!(message.contains("deep.weight") && message.contains("so small"), "{message}");
        }
        assert_eq!(halved(&[0.0; 3]).unwrap(), [0.0; 3]);
        assert!(encode(&"header", &state(&[1e38, 1e-40]), Storage::F32).is_ok());
        assert_eq!(unusable(&state(&[1e38, 1e-40])), None);
        let bad = unusable(&state(&[1.0, f32::NAN, f32::INFINITY])).unwrap();
        assert!(bad.contains("2 of the 3 numbers of its tensor deep.weight"), "{bad}");
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let mut state = pollster::block_on(read_state(&block())).unwrap();
        state.remove("mlp.fc1.bias");
        state.insert("head.weight".into(), (vec![1], vec![0.0]));
        state.insert("norm1.bias".into(), (vec![7], vec![0.0; 7]));
        let message = write_state("m.safetensors", state, block()).unwrap_err().to_string();
        for part in
            ["m.safetensors", "mlp.fc1.bias is missing", "head.weight is unknown", "norm1.bias is [7] instead of [8]"]
        {
            assert!(message.contains(part), "{part:?} is not in {message:?}");
        }
        let half = encode(&"header", &State::new(), Storage::F16).unwrap();
        assert!(decode::<String>("cut.safetensors", &half[..5]).is_err());
        assert!(decode::<u32>("other.safetensors", &half).unwrap_err().to_string().contains("another version"));
    }
}
