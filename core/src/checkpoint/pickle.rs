//! The part of Python's pickle language that `torch.save` writes, as a table of values: names are looked up in a fixed
//! list, and nothing is ever called.
//!
//! Written here because no library serves: `pytorch-reader` 0.22.1 (of burn-store) and `candle-core` 0.11.1 read paths
//! and not bytes, pass over foreign calls in silence, and the second refuses strided views and old files;
//! `serde-pickle` 1.2 knows no persistent ids, in which PyTorch keeps the tensors; `repugnant-pickle` 0.0.1 only scrapes.

use std::collections::HashMap;

use super::tensors::Element;

/// Values that one pickle may hold; large training files have some hundred thousand.
const MOST_VALUES: usize = 1_000_000;

/// The place of a value in its [`Pickle`]. Values refer to each other by place, so that shared and circular ones cost
/// nothing.
pub(super) type Id = u32;

/// A value, as far as it matters for tensors.
#[derive(Debug)]
pub(super) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    Text(&'a str),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Name(Name),
    Storage(Storage<'a>),
    Tensor(Box<View<'a>>),
    /// Something that holds no weights: a number with a fraction, bytes, an object of the list [`INERT`].
    Inert,
}

/// A run of numbers in the file, as the pickle claims it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Storage<'a> {
    /// Type of its numbers.
    pub(super) element: Element,
    /// How the file calls it.
    pub(super) key: &'a str,
    /// Numbers that it should have.
    pub(super) count: i64,
    /// Where this view of it begins, in numbers; only old files have such views.
    pub(super) offset: i64,
}

/// A tensor as the pickle claims it; nothing is checked yet. Offset and strides count numbers.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) storage: Storage<'a>,
    pub(super) offset: i64,
    pub(super) shape: Vec<i64>,
    pub(super) strides: Vec<i64>,
}

/// What the names stand for that a checkpoint may mention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Size,
    StorageOf(Element),
    Inert,
}

/// Objects that training programs save beside the weights. They become [`Value::Inert`], whatever they hold.
const INERT: [(&str, &str); 17] = [
    ("argparse", "Namespace"),
    ("collections", "Counter"),
    ("collections", "defaultdict"),
    ("copyreg", "_reconstructor"),
    ("copy_reg", "_reconstructor"),
    ("builtins", "dict"),
    ("builtins", "object"),
    ("builtins", "set"),
    ("__builtin__", "dict"),
    ("__builtin__", "object"),
    ("__builtin__", "set"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    ("_codecs", "encode"),
    ("pathlib", "PosixPath"),
    ("torch", "device"),
];

fn known(module: &str, name: &str) -> Option<Name> {
    let storage = match name {
        "DoubleStorage" => Some(Element::F64),
        "FloatStorage" => Some(Element::F32),
        "HalfStorage" => Some(Element::F16),
        "BFloat16Storage" => Some(Element::Bf16),
        "LongStorage" => Some(Element::I64),
        "IntStorage" => Some(Element::I32),
        "ShortStorage" => Some(Element::I16),
        "CharStorage" => Some(Element::I8),
        "ByteStorage" => Some(Element::U8),
        "BoolStorage" => Some(Element::Bool),
        _ => None,
    };
    match (module, name, storage) {
        ("torch" | "torch.cuda", _, Some(element)) => Some(Name::StorageOf(element)),
        ("collections", "OrderedDict", _) => Some(Name::OrderedDict),
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2", _) => Some(Name::RebuildTensor),
        ("torch._utils", "_rebuild_parameter", _) => Some(Name::RebuildParameter),
        ("torch", "Size", _) => Some(Name::Size),
        _ => INERT.contains(&(module, name)).then_some(Name::Inert),
    }
}

/// A pickle that was read.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    values: Vec<Value<'a>>,
    root: Id,
}

impl<'a> Pickle<'a> {
    /// Read the pickle that begins at the first byte. Gives it with its length in bytes; the error is what is wrong.
    pub(super) fn read(bytes: &'a [u8]) -> Result<(Self, usize), String> {
        let mut machine =
            Machine { rest: bytes, values: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
        let root = machine.run()?;
        let used = bytes.len() - machine.rest.len();
        Ok((Self { values: machine.values, root }, used))
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

/// The stack machine that a pickle is a program of.
struct Machine<'a> {
    rest: &'a [u8],
    values: Vec<Value<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack where an open list, tuple or dictionary begins.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<Id, String> {
        loop {
            let code = self.byte()?;
            match code {
                b'.' => return self.pop(),
                // The version and the length of what follows say nothing that the instructions do not.
                0x80 => drop(self.take(1)?),
                0x95 => drop(self.take(8)?),
                b'(' => self.marks.push(self.stack.len()),
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.name(module, name)?;
                }
                0x93 => {
                    let (name, module) = (self.pop_text()?, self.pop_text()?);
                    self.name(module, name)?;
                }
                b'Q' => self.persistent()?,
                b'R' | 0x81 => self.call()?,
                b'b' => self.build()?,
                b'q' | b'r' | 0x94 => {
                    let place = match code {
                        b'q' => u32::from(self.byte()?),
                        b'r' => self.word()?,
                        _ => self.memo.len() as u32,
                    };
                    let top = *self.stack.last().ok_or_else(damaged)?;
                    self.memo.insert(place, top);
                }
                b'h' | b'j' => {
                    let place = if code == b'h' { u32::from(self.byte()?) } else { self.word()? };
                    self.stack.push(*self.memo.get(&place).ok_or_else(damaged)?);
                }
                b'a' | b'e' | 0x90 => {
                    let items = if code == b'a' { vec![self.pop()?] } else { self.since_mark()? };
                    match self.top()? {
                        Value::List(list) => list.extend(items),
                        Value::Inert => {}
                        _ => return Err(damaged()),
                    }
                }
                b's' | b'u' => {
                    let items = if code == b's' { self.pop_many(2)? } else { self.since_mark()? };
                    let pairs = pairs(&items)?;
                    match self.top()? {
                        Value::Dict(dict) => dict.extend(pairs),
                        Value::Inert => {}
                        _ => return Err(damaged()),
                    }
                }
                _ => {
                    let value = self.literal(code)?;
                    self.push(value)?;
                }
            }
        }
    }

    /// The instructions that only make a value.
    fn literal(&mut self, code: u8) -> Result<Value<'a>, String> {
        Ok(match code {
            b'N' => Value::None,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'K' => Value::Int(i64::from(self.byte()?)),
            b'M' => Value::Int(i64::from(u16::from_le_bytes(self.array()?))),
            b'J' => Value::Int(i64::from(i32::from_le_bytes(self.array()?))),
            0x8a => {
                let length = usize::from(self.byte()?);
                integer(self.take(length)?)
            }
            b'G' => {
                self.take(8)?;
                Value::Inert
            }
            // Text; in pickles of Python 2, text and bytes look alike.
            b'X' | 0x8c | 0x8d => {
                let length = self.length(code)?;
                Value::Text(std::str::from_utf8(self.take(length)?).map_err(|_| damaged())?)
            }
            b'U' | b'T' => {
                let length = self.length(code)?;
                std::str::from_utf8(self.take(length)?).map_or(Value::Inert, Value::Text)
            }
            b'C' | b'B' | 0x8e => {
                let length = self.length(code)?;
                self.take(length)?;
                Value::Inert
            }
            b')' => Value::Tuple(Vec::new()),
            0x85..=0x87 => Value::Tuple(self.pop_many(usize::from(code - 0x84))?),
            b't' => Value::Tuple(self.since_mark()?),
            b']' | 0x8f => Value::List(Vec::new()),
            b'l' | 0x91 => Value::List(self.since_mark()?),
            b'}' => Value::Dict(Vec::new()),
            b'd' => Value::Dict(pairs(&self.since_mark()?)?),
            _ => return Err(format!("its pickle has the instruction {code:#04x}, which `torch.save` does not write")),
        })
    }

    /// Look a name up; anything that is not on the list ends the reading.
    fn name(&mut self, module: &str, name: &str) -> Result<(), String> {
        let Some(known) = known(module, name) else {
            return Err(format!(
                "asks Python for `{module}.{name}`, which no tensor needs; nothing of it was run. Save the weights alone, \
                 with torch.save(model.state_dict(), ..)"
            ));
        };
        self.push(Value::Name(known))
    }

    /// A persistent id: `('storage', class, key, device, count)`, in old files with a view of it behind.
    fn persistent(&mut self) -> Result<(), String> {
        let id = self.pop()?;
        let Value::Tuple(fields) = self.value(id) else { return Err(damaged()) };
        let fields: Vec<&Value<'a>> = fields.iter().take(6).map(|&field| self.value(field)).collect();
        let storage = match fields[..] {
            [Value::Text("storage"), Value::Name(Name::StorageOf(element)), Value::Text(key), _, Value::Int(count), ref view @ ..] => {
                let offset = match view {
                    [Value::Tuple(view)] => match view.get(1).map(|&offset| self.value(offset)) {
                        Some(Value::Int(offset)) => *offset,
                        _ => return Err(damaged()),
                    },
                    _ => 0,
                };
                Storage { element: *element, key, count: *count, offset }
            }
            [Value::Text("module"), ..] => return Err("holds a whole network with its program; save the weights alone, with torch.save(model.state_dict(), ..)".into()),
            _ => return Err("keeps its numbers in a way that is not known here".into()),
        };
        self.push(Value::Storage(storage))
    }

    /// What a call would give, for the names of the list; nothing runs.
    fn call(&mut self) -> Result<(), String> {
        let (arguments, callee) = (self.pop()?, self.pop()?);
        let Value::Tuple(arguments) = self.value(arguments) else { return Err(damaged()) };
        let argument = |index: usize| arguments.get(index).map_or(&Value::None, |&id| self.value(id));
        let result = match self.value(callee) {
            Value::Name(Name::Inert) => Value::Inert,
            Value::Name(Name::OrderedDict) => match argument(0) {
                Value::None => Value::Dict(Vec::new()),
                Value::List(items) => Value::Dict(items.iter().map(|&item| self.pair(item)).collect::<Result<_, _>>()?),
                _ => return Err(damaged()),
            },
            Value::Name(Name::Size) => match argument(0) {
                Value::Tuple(sizes) => Value::Tuple(sizes.clone()),
                _ => return Err(damaged()),
            },
            Value::Name(Name::RebuildParameter) => {
                // The tensor itself, without "requires grad" and hooks.
                let tensor = *arguments.first().ok_or_else(damaged)?;
                if !matches!(self.value(tensor), Value::Tensor(_)) {
                    return Err(damaged());
                }
                self.stack.push(tensor);
                return Ok(());
            }
            Value::Name(Name::RebuildTensor) => match (argument(0), argument(1), argument(2), argument(3)) {
                (Value::Storage(storage), Value::Int(offset), Value::Tuple(shape), Value::Tuple(strides)) => {
                    let (shape, strides) = (self.integers(shape)?, self.integers(strides)?);
                    Value::Tensor(Box::new(View { storage: *storage, offset: *offset, shape, strides }))
                }
                _ => return Err(damaged()),
            },
            _ => return Err(damaged()),
        };
        self.push(result)
    }

    /// Attributes of an object: those of an ordered dictionary are versions of modules, and of no use here.
    fn build(&mut self) -> Result<(), String> {
        self.pop()?;
        match self.top()? {
            Value::Dict(_) | Value::Inert => Ok(()),
            _ => Err(damaged()),
        }
    }

    fn integers(&self, ids: &[Id]) -> Result<Vec<i64>, String> {
        let integer = |&id: &Id| match self.value(id) {
            Value::Int(number) => Ok(*number),
            _ => Err(damaged()),
        };
        ids.iter().map(integer).collect()
    }

    fn pair(&self, id: Id) -> Result<(Id, Id), String> {
        match self.value(id) {
            Value::Tuple(pair) | Value::List(pair) if pair.len() == 2 => Ok((pair[0], pair[1])),
            _ => Err(damaged()),
        }
    }

    fn value(&self, id: Id) -> &Value<'a> {
        self.values.get(id as usize).unwrap_or(&Value::None)
    }

    fn top(&mut self) -> Result<&mut Value<'a>, String> {
        let id = *self.stack.last().ok_or_else(damaged)?;
        self.values.get_mut(id as usize).ok_or_else(damaged)
    }

    fn push(&mut self, value: Value<'a>) -> Result<(), String> {
        if self.values.len() >= MOST_VALUES {
            return Err(format!("its pickle holds more than {MOST_VALUES} values, far more than any network has"));
        }
        self.stack.push(self.values.len() as Id);
        self.values.push(value);
        Ok(())
    }

    fn pop(&mut self) -> Result<Id, String> {
        if self.marks.last().is_some_and(|&mark| mark >= self.stack.len()) {
            return Err(damaged());
        }
        self.stack.pop().ok_or_else(damaged)
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Id>, String> {
        let mut items = (0..count).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
        items.reverse();
        Ok(items)
    }

    fn pop_text(&mut self) -> Result<&'a str, String> {
        let id = self.pop()?;
        match self.value(id) {
            Value::Text(text) => Ok(text),
            _ => Err(damaged()),
        }
    }

    fn since_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().filter(|&mark| mark <= self.stack.len()).ok_or_else(damaged)?;
        Ok(self.stack.split_off(mark))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or("its pickle is cut short; download it again")?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.take(N)?.try_into().map_err(|_| damaged())
    }

    fn byte(&mut self) -> Result<u8, String> {
        self.array().map(|[byte]| byte)
    }

    fn word(&mut self) -> Result<u32, String> {
        self.array().map(u32::from_le_bytes)
    }

    /// The length in front of text or bytes.
    fn length(&mut self, code: u8) -> Result<usize, String> {
        match code {
            0x8c | b'U' | b'C' => Ok(usize::from(self.byte()?)),
            0x8d | 0x8e => usize::try_from(u64::from_le_bytes(self.array()?)).map_err(|_| damaged()),
            _ => usize::try_from(self.word()?).map_err(|_| damaged()),
        }
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let end = self.rest.iter().position(|&byte| byte == b'\n').ok_or_else(damaged)?;
        let line = self.take(end + 1)?;
        std::str::from_utf8(&line[..end]).map_err(|_| damaged())
    }
}

fn damaged() -> String {
    "its pickle makes no sense, so the file is damaged; download it again".into()
}

/// A whole number of any length, little-endian; numbers that do not fit 64 bits are of no use here.
fn integer<'a>(bytes: &[u8]) -> Value<'a> {
    if bytes.len() > 8 {
        return Value::Inert;
    }
    let negative = bytes.last().is_some_and(|&last| last >= 0x80);
    let mut wide = if negative { [0xff; 8] } else { [0; 8] };
    wide[..bytes.len()].copy_from_slice(bytes);
    Value::Int(i64::from_le_bytes(wide))
}

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>, String> {
    let (pairs, rest) = items.as_chunks::<2>();
    if rest.is_empty() { Ok(pairs.iter().map(|&[key, value]| (key, value)).collect()) } else { Err(damaged()) }
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
        let long = [b"\x80\x02".as_slice(), &b"N".repeat(MOST_VALUES + 1), b"."].concat();
        assert!(root(&long).contains("more than"), "{}", root(&long));
    }
}
