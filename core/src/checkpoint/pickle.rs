//! The part of Python's pickle language that `torch.save` writes, as a table of values: names are looked up in a fixed
//! list, and nothing is ever called.
//!
//! Written here because no library serves: `pytorch-reader` 0.22.1 (of burn-store) and `candle-core` 0.11.1 read paths
//! and not bytes, pass over foreign calls in silence, and the second refuses strided views and old files;
//! `serde-pickle` 1.2 knows no persistent ids, in which PyTorch keeps the tensors; `repugnant-pickle` 0.0.1 only scrapes.

mod machine;
mod value;

pub(super) use value::{Id, Storage, Value, View};

/// A pickle that was read.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    values: Vec<Value<'a>>,
    root: Id,
}

impl<'a> Pickle<'a> {
    /// Read the pickle that begins at the first byte. Gives it with its length in bytes; the error is what is wrong.
    pub(super) fn read(bytes: &'a [u8]) -> Result<(Self, usize), String> {
        let (values, root, rest) = machine::run(bytes)?;
        Ok((Self { values, root }, bytes.len() - rest))
    }

    /// The outermost value.
    pub(super) fn root(&self) -> &Value<'a> {
        self.get(self.root)
    }

    /// The value at a place.
    pub(super) fn get(&self, id: Id) -> &Value<'a> {
        self.values.get(id as usize).unwrap_or(&Value::None)
    }

    /// The entries of a dictionary whose keys are text.
    pub(super) fn entries<'s>(&'s self, dict: &'s [(Id, Id)]) -> impl Iterator<Item = (&'a str, &'s Value<'a>)> {
        dict.iter().filter_map(|&(key, value)| match self.get(key) {
            Value::Text(key) => Some((*key, self.get(value))),
            _ => None,
        })
    }

    /// All storages that are mentioned.
    pub(super) fn storages(&self) -> impl Iterator<Item = &Storage<'a>> {
        self.values.iter().filter_map(|value| match value {
            Value::Storage(storage) => Some(storage),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(bytes: &[u8]) -> String {
        match Pickle::read(bytes) {
            Ok((pickle, _)) => format!("{:?}", pickle.root()),
            Err(reason) => reason,
        }
    }

    #[test]
    fn values_are_read_and_shared_ones_are_kept_once() {
        assert_eq!(root(b"\x80\x02\x8a\x02\xfe\xff."), "Int(-2)");
        assert_eq!(root(b"\x80\x04\x8c\x02ab."), "Text(\"ab\")");
        assert_eq!(root(b"\x80\x02}q\x00(K\x01K\x02u."), "Dict([(1, 2)])");
        // A list that holds itself and is doubled many times would fill the memory if it were copied.
        let mut bomb = b"\x80\x02]q\x00h\x00a".to_vec();
        bomb.extend(b"h\x00h\x00\x86q\x00".repeat(1000));
        bomb.push(b'.');
        assert_eq!(root(&bomb), "Tuple([999, 999])");
    }

    #[test]
    fn no_name_outside_the_list_is_accepted_in_any_spelling() {
        let call = b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.";
        assert!(root(call).contains("`os.system`"), "{}", root(call));
        let call = b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.";
        assert!(root(call).contains("`builtins.eval`"), "{}", root(call));
        for code in [b"i", b"o", b"P", b"S", b"I", b"\x82", b"\x92", b"\x97"] {
            assert!(root(code).contains("torch.save"), "{code:?}: {}", root(code));
        }
        assert_eq!(root(b"\x80\x02cargparse\nNamespace\n)\x81}X\x01\x00\x00\x00aK\x01sb."), "Inert");
    }

    #[test]
    fn nonsense_is_refused() {
        for bytes in [
            &b""[..],
            b".",
            b"(.",
            b"t.",
            b"(0.",
            b"K",
            b"h\x00.",
            b"\x85.",
            b"(K\x01K\x02(\x86.",
            b"X\xff\xff\xff\xff.",
        ] {
            assert!(root(bytes).contains("pickle"), "{bytes:?}: {}", root(bytes));
        }
        let long = b"N".repeat(machine::MOST_INSTRUCTIONS + 1);
        assert!(root(&long).contains("more than"), "{}", root(&long));
    }
}
