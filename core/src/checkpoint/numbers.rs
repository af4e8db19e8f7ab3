//! Tensors as files hold them: numbers of any type, by name. What the readers of all formats share.

use std::collections::BTreeMap;

use half::{bf16, f16};

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
    fn every_type_of_number_of_safetensors_is_read() {
        let number = |element: Element, bytes: &[u8]| element.numbers(bytes, 0..1);
        assert_eq!(number(Element::F64, &1.5_f64.to_le_bytes()), Numbers::Real(vec![1.5]));
        assert_eq!(number(Element::Bf16, &[0xc0, 0xbf]), Numbers::Real(vec![-1.5]));
        assert_eq!(number(Element::I16, &[0xfe, 0xff]), Numbers::Whole(vec![-2]));
        assert_eq!(number(Element::U8, &[0xfe]), Numbers::Whole(vec![254]));
        assert_eq!(number(Element::Bool, &[2]), Numbers::Whole(vec![1]));
    }
}
