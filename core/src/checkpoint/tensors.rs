//! Files of tensors that other programs wrote, as they are: PyTorch's of both kinds and safetensors, told apart by their
//! first bytes.
//!
//! Reading never runs anything, never panics, and takes no more memory than a small multiple of the file's size.

use safetensors::{Dtype, SafeTensors};

use super::CheckpointError;
use super::numbers::{Element, Tensors, short};
use super::torch;
use super::unwrap::unwrapped;

/// Length of a tensor's name, in bytes.
const MOST_LETTERS: usize = 300;

/// The tensors of a file by its bytes; `name` is for the message.
///
/// Of a training file these are the weights (its `model` or `state_dict`). What training on several devices, compiling,
/// averaging and Lightning put in front of the names is taken off.
pub fn read_tensors(name: &str, bytes: &[u8]) -> Result<Tensors, CheckpointError> {
    read_tensors_under(name, bytes, None)
}

/// Those of [`read_tensors`] in the dictionary, or with the beginning of their names, that `key` is: `model_ema`,
/// `teacher.backbone`.
pub fn read_tensors_under(name: &str, bytes: &[u8], key: Option<&str>) -> Result<Tensors, CheckpointError> {
    let refused = |reason: String| CheckpointError::Foreign { name: name.to_owned(), reason };
    let (tensors, key) = read(bytes, key).map_err(refused)?;
    if tensors.is_empty() {
        return Err(refused("holds no tensors".into()));
    }
    // Names are printed and become keys of other files.
    if let Some(odd) = tensors.keys().find(|tensor| tensor.len() > MOST_LETTERS || tensor.contains(char::is_control)) {
        return Err(refused(format!("holds a tensor with the name `{}`, which is none", short(odd))));
    }
    unwrapped(tensors, key.as_deref()).map_err(refused)
}

/// The tensors, and what of the key is left to look for in their names.
fn read(bytes: &[u8], key: Option<&str>) -> Result<(Tensors, Option<String>), String> {
    if bytes.is_empty() {
        Err("is empty; download it again".into())
    } else if bytes.starts_with(b"PK\x03\x04") {
        torch::read_archive(bytes, key)
    } else if torch::is_stream(bytes) {
        torch::read_stream(bytes, key)
    } else if bytes.get(8) == Some(&b'{') {
        Ok((read_safetensors(bytes)?, key.map(str::to_owned)))
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
}
