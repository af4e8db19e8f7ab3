//! The stack machine that a pickle is a program of, with the instructions that `torch.save` uses.

use std::collections::HashMap;

use super::value::{Id, Name, Storage, Value, View, known};
use crate::checkpoint::numbers::{MOST_AXES, short};

/// Instructions that one pickle may have; a large network with its optimiser has a hundred thousand. Each makes one value
/// at most, so this also bounds the memory, to some 70 MB.
pub(super) const MOST_INSTRUCTIONS: usize = 1_000_000;

/// Run the pickle that begins at the first byte. Gives all values, the place of the outermost one and how many bytes are
/// left behind it.
pub(super) fn run(bytes: &[u8]) -> Result<(Vec<Value<'_>>, Id, usize), String> {
    let mut machine = Machine {
        rest: bytes,
        values: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        copied: 0,
    };
    for _ in 0..MOST_INSTRUCTIONS {
        if let Some(root) = machine.step()? {
            return Ok((machine.values, root, machine.rest.len()));
        }
    }
    Err(format!("its pickle has more than {MOST_INSTRUCTIONS} instructions, far more than the weights of any network"))
}

struct Machine<'a> {
    rest: &'a [u8],
    values: Vec<Value<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack where an open list, tuple or dictionary begins.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    /// Entries of lists that were copied.
    copied: usize,
}

impl<'a> Machine<'a> {
    /// Do one instruction. Gives the outermost value when it was the last.
    fn step(&mut self) -> Result<Option<Id>, String> {
        let code = self.byte()?;
        match code {
            b'.' => return self.pop().map(Some),
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
                self.push(value);
            }
        }
        Ok(None)
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
                "asks Python for `{}.{}`, which no tensor needs; nothing of it was run. Save the weights alone, with \
                 torch.save(model.state_dict(), ..)",
                short(module),
                short(name)
            ));
        };
        self.push(Value::Name(known));
        Ok(())
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
                if short(key) != **key {
                    return Err(damaged());
                }
                Storage { element: *element, key, count: *count, offset }
            }
            [Value::Text("module"), ..] => return Err("holds a whole network with its program; save the weights alone, with torch.save(model.state_dict(), ..)".into()),
            _ => return Err("keeps its numbers in a way that is not known here".into()),
        };
        self.push(Value::Storage(storage));
        Ok(())
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
                Value::List(items) => {
                    // The same list can be asked for again and again.
                    let copied = self.copied + items.len();
                    if copied > MOST_INSTRUCTIONS {
                        return Err(damaged());
                    }
                    let entries = items.iter().map(|&item| self.pair(item)).collect::<Result<_, _>>()?;
                    self.copied = copied;
                    Value::Dict(entries)
                }
                _ => return Err(damaged()),
            },
            Value::Name(Name::Size | Name::RebuildParameter) => {
                // A size is its tuple, and a parameter its tensor, without "requires grad" and hooks.
                let same = *arguments.first().ok_or_else(damaged)?;
                if !matches!(self.value(same), Value::Tensor(_) | Value::Tuple(_)) {
                    return Err(damaged());
                }
                self.stack.push(same);
                return Ok(());
            }
            Value::Name(Name::RebuildTensor) => match (argument(0), argument(1), argument(2), argument(3)) {
                (Value::Storage(storage), Value::Int(offset), Value::Tuple(shape), Value::Tuple(strides))
                    if shape.len().max(strides.len()) <= MOST_AXES =>
                {
                    let (shape, strides) = (self.integers(shape)?, self.integers(strides)?);
                    Value::Tensor(Box::new(View { storage: *storage, offset: *offset, shape, strides }))
                }
                _ => return Err(damaged()),
            },
            _ => return Err(damaged()),
        };
        self.push(result);
        Ok(())
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

    fn push(&mut self, value: Value<'a>) {
        self.stack.push(self.values.len() as Id);
        self.values.push(value);
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
