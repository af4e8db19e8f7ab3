//! Files of tensors that other programs wrote, as they are: PyTorch's of both kinds and safetensors, told apart by their
//! first bytes.
//!
//! Reading never runs anything, never panics, and takes no more memory than a small multiple of the file's size.

use std::collections::BTreeMap;

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};

use super::{CheckpointError, torch};

/// Length of a tensor's name, in bytes.
const MOST_LETTERS: usize = 300;

/// Numbers of a tensor, row-major.
#[derive(Clone, Debug, PartialEq)]
pub enum Numbers {
    /// Numbers of any floating type.
    Real(Vec<f32>),
    /// Integers of any size, and truth values as 0 and 1.
    Whole(Vec<i64>),
}

impl Numbers {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Real(numbers) => numbers.len(),
            Self::Whole(numbers) => numbers.len(),
        }
    }

    /// True for a tensor with an axis of length 0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Tensors of a file by name: shape and numbers.
pub type Tensors = BTreeMap<String, (Vec<usize>, Numbers)>;

/// The tensors of a file by its bytes; `name` is for the message.
///
/// Of a training file these are the weights (its `model` or `state_dict`). The `module.` in front of every name that
/// training on several devices leaves is taken off.
pub fn read_tensors(name: &str, bytes: &[u8]) -> Result<Tensors, CheckpointError> {
    let refused = |reason: String| CheckpointError::Foreign { name: name.to_owned(), reason };
    let tensors = read(bytes).map_err(refused)?;
    if tensors.is_empty() {
        return Err(refused("holds no tensors".into()));
    }
    // Names are printed and become keys of other files.
    if let Some(odd) = tensors.keys().find(|tensor| tensor.len() > MOST_LETTERS || tensor.contains(char::is_control)) {
        return Err(refused(format!("holds a tensor with the name `{}`, which is none", short(odd))));
    }
    if tensors.keys().all(|tensor| tensor.starts_with("module.")) {
        return Ok(tensors
            .into_iter()
            .map(|(tensor, numbers)| (tensor["module.".len()..].to_owned(), numbers))
            .collect());
    }
    Ok(tensors)
}

fn read(bytes: &[u8]) -> Result<Tensors, String> {
    if bytes.is_empty() {
        Err("is empty; download it again".into())
    } else if bytes.starts_with(b"PK\x03\x04") {
        torch::read_archive(bytes)
    } else if torch::is_stream(bytes) {
        torch::read_stream(bytes)
    } else if bytes.get(8) == Some(&b'{') {
        read_safetensors(bytes)
    } else if bytes.get(257..262) == Some(b"ustar") {
        Err("is in the format of PyTorch before 0.1.10; load it in Python and save it again".into())
    } else if bytes.trim_ascii_start().starts_with(b"<") {
        Err("is a web page and not a checkpoint; download the file itself".into())
    } else if bytes.starts_with(b"version https://git-lfs") {
        Err("only says where Git keeps the file; fetch it with `git lfs pull`".into())
    } else {
        Err("begins neither like a file of `torch.save` nor like safetensors: it is damaged or something else".into())
    }
}

fn read_safetensors(bytes: &[u8]) -> Result<Tensors, String> {
    let file = SafeTensors::deserialize(bytes)
        .map_err(|e| format!("is no readable safetensors file ({e}); download it again"))?;
    let mut tensors = Tensors::new();
    for (name, view) in file.iter() {
        let element = match view.dtype() {
            Dtype::F64 => Element::F64,
            Dtype::F32 => Element::F32,
            Dtype::F16 => Element::F16,
            Dtype::BF16 => Element::Bf16,
            Dtype::I64 => Element::I64,
            Dtype::I32 => Element::I32,
            Dtype::I16 => Element::I16,
            Dtype::I8 => Element::I8,
            Dtype::U8 => Element::U8,
            Dtype::BOOL => Element::Bool,
            other => return Err(format!("{name} holds numbers of type {other:?}; save it again as f32")),
        };
        let places = 0..view.data().len() / element.bytes();
        tensors.insert(name.to_owned(), (view.shape().to_vec(), element.numbers(view.data(), places)));
    }
    Ok(tensors)
}

/// Axes that a tensor may have.
pub(super) const MOST_AXES: usize = 16;

/// A piece of text from a file, fit for a message.
pub(super) fn short(text: &str) -> String {
    let shown: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(80).collect();
    if shown.len() < text.len() { format!("{shown}..") } else { shown }
}

/// How a number is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    F64,
    F32,
    F16,
    Bf16,
    I64,
    I32,
    I16,
    I8,
    U8,
    Bool,
}

impl Element {
    /// Bytes of one number in the file.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// Bytes of one number in [`Numbers`].
    pub(super) fn bytes_read(self) -> usize {
        match self {
            Self::F64 | Self::F32 | Self::F16 | Self::Bf16 => 4,
            _ => 8,
        }
    }

    /// The numbers at the given places of `data`, counted in numbers. A place outside gives 0.
    pub(super) fn numbers(self, data: &[u8], places: impl Iterator<Item = usize>) -> Numbers {
        let real = Numbers::Real;
        let whole = Numbers::Whole;
        match self {
            Self::F64 => real(places.map(|i| f64::from_le_bytes(at(data, i)) as f32).collect()),
            Self::F32 => real(places.map(|i| f32::from_le_bytes(at(data, i))).collect()),
            Self::F16 => real(places.map(|i| f16::from_le_bytes(at(data, i)).to_f32()).collect()),
            Self::Bf16 => real(places.map(|i| bf16::from_le_bytes(at(data, i)).to_f32()).collect()),
            Self::I64 => whole(places.map(|i| i64::from_le_bytes(at(data, i))).collect()),
            Self::I32 => whole(places.map(|i| i64::from(i32::from_le_bytes(at(data, i)))).collect()),
            Self::I16 => whole(places.map(|i| i64::from(i16::from_le_bytes(at(data, i)))).collect()),
            Self::I8 => whole(places.map(|i| i64::from(i8::from_le_bytes(at(data, i)))).collect()),
            Self::U8 => whole(places.map(|i| i64::from(u8::from_le_bytes(at(data, i)))).collect()),
            Self::Bool => whole(places.map(|i| i64::from(at::<1>(data, i) != [0])).collect()),
        }
    }
}

fn at<const N: usize>(data: &[u8], place: usize) -> [u8; N] {
    data.get(place * N..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_checkpoint_is_told_apart() {
        for (bytes, word) in [
            (&b""[..], "empty"),
            (b"\n<!DOCTYPE html>", "web page"),
            (b"version https://git-lfs.github.com/spec/v1", "git lfs"),
            (b"\x05\x00\x00\x00\x00\x00\x00\x00{", "safetensors"),
            (b"PK\x03\x04 and no directory", "directory"),
            (b"\x89PNG", "something else"),
        ] {
            let message = read_tensors("weights.pth", bytes).unwrap_err().to_string();
            assert!(message.contains(word) && message.contains("weights.pth"), "{word}: {message}");
        }
    }

    #[test]
    fn every_type_of_number_of_safetensors_is_read() {
        let number = |element: Element, bytes: &[u8]| element.numbers(bytes, 0..1);
        assert_eq!(number(Element::F64, &1.5_f64.to_le_bytes()), Numbers::Real(vec![1.5]));
        assert_eq!(number(Element::Bf16, &[0xc0, 0xbf]), Numbers::Real(vec![-1.5]));
        assert_eq!(number(Element::I16, &[0xfe, 0xff]), Numbers::Whole(vec![-2]));
        assert_eq!(number(Element::U8, &[0xfe]), Numbers::Whole(vec![254]));
        assert_eq!(number(Element::Bool, &[2]), Numbers::Whole(vec![1]));
    }
}
