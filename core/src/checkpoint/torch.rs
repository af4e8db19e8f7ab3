//! Files of `torch.save`: the archive that PyTorch writes since 1.6 (a zip file of one pickle and one record a storage)
//! and the stream that it wrote before. What the pickle claims is checked against what the file holds.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;

use zip::{CompressionMethod, ZipArchive};

use super::numbers::{Element, Numbers, Tensors, short};
use super::pickle::{Id, Pickle, Value, View};

/// What a stream begins with, in Python's spelling of 0x1950a86a20f9469cfc6c.
const STREAM_MARK: [u8; 12] = [0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// Where training programs keep the weights. Of several that hold some, a person has to choose.
const WRAPPERS: [&str; 12] = [
    "model",
    "state_dict",
    "model_state_dict",
    "module",
    "net",
    "network",
    "model_ema",
    "ema_model",
    "ema",
    "state_dict_ema",
    "ema_state_dict",
    "params_ema",
];

/// What training programs keep beside the weights, of the same names or sizes.
const OTHERS: [&str; 7] =
    ["optimizer", "optimizer_state_dict", "optimizer_states", "lr_scheduler", "scaler", "callbacks", "loops"];

/// Dictionaries within dictionaries that are looked into.
const MOST_DEPTH: usize = 3;

/// Bytes that the tensors may fill for each byte of the file. Truth values fill eight; tensors that share their numbers
/// fill more than they take in the file, but a file of honest weights stays far below.
const MOST_GROWTH: usize = 8;

/// True for a file of PyTorch before 1.6.
pub(super) fn is_stream(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0x80) && bytes[..bytes.len().min(32)].windows(12).any(|window| window == STREAM_MARK)
}

/// The tensors of an archive.
pub(super) fn read_archive(bytes: &[u8], key: Option<&str>) -> Result<(Tensors, Option<String>), String> {
    let mut archive = Archive::open(bytes)?;
    if archive.holds("constants.pkl") {
        return Err("is a TorchScript program (torch.jit.save); load it in Python and save its state_dict()".into());
    }
    if archive.holds("byteorder") && archive.record("byteorder")? != b"little" {
        return Err("was written on a big-endian computer; load it in Python and save it again elsewhere".into());
    }
    let (pickle, _) = Pickle::read(archive.record("data.pkl")?)?;
    let (views, key) = weights(&pickle, key)?;
    let mut records = BTreeMap::new();
    for (_, view) in &views {
        let key = view.storage.key;
        if !records.contains_key(key) {
            records.insert(key, archive.record(&format!("data/{key}"))?);
        }
    }
    Ok((materialise(&views, &records, bytes.len())?, key))
}

/// The tensors of a stream: five pickles (mark, version, system, weights, keys of the storages), then the storages, each
/// with its count in front.
pub(super) fn read_stream(bytes: &[u8], key: Option<&str>) -> Result<(Tensors, Option<String>), String> {
    let mut rest = bytes;
    let mut pickles = Vec::with_capacity(5);
    for _ in 0..5 {
        let (pickle, used) = Pickle::read(rest)?;
        rest = rest.get(used..).unwrap_or_default();
        pickles.push(pickle);
    }
    let [_, version, system, main, keys] = &pickles[..] else { return Err("is cut short; download it again".into()) };
    if !matches!(version.root(), Value::Int(1001)) {
        return Err(
            "is in a version of PyTorch's old format that is not known here; load it in Python and save it again"
                .into(),
        );
    }
    if let Value::Dict(entries) = system.root()
        && system.entries(entries).any(|(key, value)| key == "little_endian" && !matches!(value, Value::Bool(true)))
    {
        return Err("was written on a big-endian computer; load it in Python and save it again elsewhere".into());
    }
    let elements: BTreeMap<&str, Element> = main.storages().map(|storage| (storage.key, storage.element)).collect();
    let Value::List(keys_of_storages) = keys.root() else {
        return Err("does not say which storages it holds, so it is damaged; download it again".into());
    };
    let mut records = BTreeMap::new();
    for &key in keys_of_storages {
        let element = match keys.get(key) {
            Value::Text(key) => elements.get(key).map(|element| (*key, *element)),
            _ => None,
        };
        let (key, element) =
            element.ok_or("holds a storage that no tensor uses, so it is damaged; download it again")?;
        let cut = || format!("is cut short in the storage {key}; download it again");
        let (count, numbers) = rest.split_first_chunk::<8>().ok_or_else(cut)?;
        let length = usize::try_from(i64::from_le_bytes(*count)).ok().and_then(|n| n.checked_mul(element.bytes()));
        let (record, after) = length.and_then(|length| numbers.split_at_checked(length)).ok_or_else(cut)?;
        records.insert(key, record);
        rest = after;
    }
    let (views, key) = weights(main, key)?;
    Ok((materialise(&views, &records, bytes.len())?, key))
}

/// The zip file, of which records are lent and not copied: PyTorch stores them as they are.
struct Archive<'a> {
    bytes: &'a [u8],
    zip: ZipArchive<Cursor<&'a [u8]>>,
    /// The folder that everything lies in, with its slash.
    folder: String,
    /// Bytes that records may still have, so that overlapping ones cannot be read over and over.
    left: usize,
}

impl<'a> Archive<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, String> {
        let zip = ZipArchive::new(Cursor::new(bytes)).map_err(|e| {
            format!("the directory at the end of the archive cannot be read ({e}): the file is cut short or damaged; download it again")
        })?;
        let folder = (zip.file_names().filter_map(Result::ok))
            .find_map(|name| name.strip_suffix("data.pkl").filter(|f| f.ends_with('/')).map(str::to_owned))
            .ok_or("is a zip file, but not one of `torch.save`: it holds no data.pkl")?;
        Ok(Self { bytes, zip, folder, left: bytes.len() })
    }

    fn holds(&self, record: &str) -> bool {
        self.zip.index_for_name_raw(format!("{}{record}", self.folder).as_bytes()).is_some()
    }

    /// The bytes of a record, whose checksum is right.
    fn record(&mut self, record: &str) -> Result<&'a [u8], String> {
        let path = format!("{}{record}", self.folder);
        let damaged = |why: &str| format!("its record {} {why}: the file is damaged; download it again", short(&path));
        let index = self.zip.index_for_name_raw(path.as_bytes()).ok_or_else(|| damaged("is missing"))?;
        let entry = self.zip.by_index_raw(index).map_err(|e| damaged(&format!("cannot be read ({e})")))?;
        if entry.compression() != CompressionMethod::Stored {
            return Err(format!(
                "its record {} is compressed, which `torch.save` never does; save it again in Python",
                short(&path)
            ));
        }
        let start = entry.data_start().and_then(|start| usize::try_from(start).ok());
        let length = usize::try_from(entry.compressed_size()).ok();
        let range = start.zip(length).and_then(|(start, length)| Some(start..start.checked_add(length)?));
        let data = range.and_then(|range| self.bytes.get(range)).ok_or_else(|| damaged("is cut short"))?;
        self.left = self.left.checked_sub(data.len()).ok_or_else(|| damaged("overlaps others"))?;
        if crc32fast::hash(data) != entry.crc32() {
            return Err(damaged("does not have its checksum"));
        }
        Ok(data)
    }
}

/// A dictionary that holds tensors, and the keys that lead to it, with dots between them.
type Group<'s> = (String, Entries<'s>);

/// Keys and values of a dictionary.
type Entries<'s> = &'s [(Id, Id)];

/// All dictionaries that hold tensors, the outermost first, each once: a file may mention one many times.
fn groups<'s>(
    pickle: &'s Pickle<'_>,
    path: &str,
    dict: &'s [(Id, Id)],
    depth: usize,
    seen: &mut BTreeSet<*const (Id, Id)>,
    found: &mut Vec<Group<'s>>,
) {
    if !seen.insert(dict.as_ptr()) {
        return;
    }
    if pickle.entries(dict).any(|(_, value)| matches!(value, Value::Tensor(_))) {
        found.push((path.to_owned(), dict));
    }
    for (key, value) in pickle.entries(dict).filter(|(key, _)| !OTHERS.contains(key)) {
        if let Value::Dict(inner) = value
            && depth < MOST_DEPTH
            && found.len() < MOST_GROUPS
        {
            let path = if path.is_empty() { short(key) } else { format!("{path}.{}", short(key)) };
            groups(pickle, &path, inner, depth + 1, seen, found);
        }
    }
}

/// Dictionaries of tensors that are told apart.
const MOST_GROUPS: usize = 100;

/// The dictionary that the weights are in, and what of the key is left to look for in their names.
fn chosen<'s>(pickle: &'s Pickle<'_>, key: Option<&str>) -> Result<(Entries<'s>, Option<String>), String> {
    let Value::Dict(root) = pickle.root() else {
        return Err("holds no dictionary of tensors; save it again with torch.save(model.state_dict(), ..)".into());
    };
    let mut found = Vec::new();
    groups(pickle, "", root, 1, &mut BTreeSet::new(), &mut found);
    if let Some(key) = key {
        let rest = |path: &str| match key.strip_prefix(path)? {
            "" => Some(None),
            rest if path.is_empty() => Some(Some(rest.to_owned())),
            rest => rest.strip_prefix('.').map(|rest| Some(rest.to_owned())),
        };
        // The longest path fits best.
        let fits = found.iter().filter_map(|(path, dict)| Some((path.len(), *dict, rest(path)?)));
        if let Some((_, dict, rest)) = fits.max_by_key(|(length, ..)| *length) {
            return Ok((dict, rest));
        }
    }
    let wraps = |path: &str| path.split('.').all(|part| WRAPPERS.contains(&part));
    let known: Vec<&Group<'s>> = found.iter().filter(|(path, _)| wraps(path)).collect();
    let candidates = if known.is_empty() { found.iter().collect() } else { known };
    match candidates[..] {
        [(_, dict)] => Ok((dict, key.map(str::to_owned))),
        [] => {
            let keys: Vec<String> = pickle.entries(root).map(|(key, _)| short(key)).take(10).collect();
            Err(format!(
                "keeps no tensors where they are looked for ({} or outermost), but {keys:?}",
                WRAPPERS.join(", ")
            ))
        }
        _ => {
            let name = |path: &String| if path.is_empty() { "outermost".into() } else { format!("`{path}`") };
            let places: Vec<String> = candidates.iter().take(10).map(|(path, _)| name(path)).collect();
            let one =
                candidates.iter().map(|(path, _)| path.as_str()).find(|path| !path.is_empty()).unwrap_or_default();
            Err(match key {
                Some(key) => format!("holds nothing under `{}`, but tensors in {}", short(key), places.join(", ")),
                None => {
                    format!("holds tensors in {}: say which with --key, for example --key {one}", places.join(" and "))
                }
            })
        }
    }
}

/// The tensors that the weights are made of, by name, and what of the key is left to look for in their names.
fn weights<'s, 'a>(pickle: &'s Pickle<'a>, key: Option<&str>) -> Result<(Views<'s, 'a>, Option<String>), String> {
    let (dict, key) = chosen(pickle, key)?;
    let tensor = |(name, value): (&'a str, &'s Value<'a>)| match value {
        Value::Tensor(view) => Ok((name, &**view)),
        _ => Err(format!(
            "its entry `{}` is no tensor; save the weights alone, with torch.save(model.state_dict(), ..)",
            short(name)
        )),
    };
    Ok((pickle.entries(dict).map(tensor).collect::<Result<_, _>>()?, key))
}

/// Tensors by name, as the pickle claims them.
type Views<'s, 'a> = Vec<(&'a str, &'s View<'a>)>;

fn materialise(views: &[(&str, &View<'_>)], records: &BTreeMap<&str, &[u8]>, file: usize) -> Result<Tensors, String> {
    let mut room = file.saturating_mul(MOST_GROWTH);
    let mut tensors = Tensors::new();
    for (name, view) in views {
        let in_tensor = |reason: String| format!("its tensor {}: {reason}", short(name));
        let record = records.get(view.storage.key).ok_or_else(|| {
            in_tensor(format!("the storage {} is missing: the file is damaged; download it again", view.storage.key))
        })?;
        tensors.insert((*name).to_owned(), numbers(view, record, &mut room).map_err(in_tensor)?);
    }
    Ok(tensors)
}

/// Shape and numbers of a tensor, if all of them lie within its storage and the storage within the file.
fn numbers(view: &View<'_>, record: &[u8], room: &mut usize) -> Result<(Vec<usize>, Numbers), String> {
    let storage = &view.storage;
    let size = |what: &str, number: i64| usize::try_from(number).map_err(|_| format!("its {what} is {number}"));
    let sizes = |what: &str, list: &[i64]| list.iter().map(|&n| size(what, n)).collect::<Result<Vec<usize>, _>>();
    let (shape, strides) = (sizes("shape", &view.shape)?, sizes("stride", &view.strides)?);
    let declared = size("storage's size", storage.count)?;
    let held = record.len() / storage.element.bytes();
    if declared > held {
        return Err(format!(
            "the storage {} claims {declared} numbers, and the file holds {held} of them",
            storage.key
        ));
    }
    if shape.len() != strides.len() {
        return Err(format!("it has {} sizes and {} strides", shape.len(), strides.len()));
    }
    let count = shape.iter().try_fold(1_usize, |count, &size| count.checked_mul(size));
    let count = count.ok_or_else(|| format!("its shape {shape:?} is absurd"))?;
    let offset = size("offset", view.offset)?.checked_add(size("storage's offset", storage.offset)?);
    let last = shape.iter().zip(&strides).try_fold(offset.unwrap_or(usize::MAX), |last, (&size, &stride)| {
        last.checked_add(size.saturating_sub(1).checked_mul(stride)?)
    });
    let first = match (offset, last) {
        _ if count == 0 => 0,
        (Some(first), Some(last)) if last < declared => first,
        _ => {
            return Err(format!(
                "shape {shape:?}, strides {strides:?} and offset {} reach beyond the {declared} numbers of the storage {}",
                view.offset, storage.key
            ));
        }
    };
    let filled = count.checked_mul(storage.element.bytes_read()).and_then(|bytes| room.checked_sub(bytes));
    *room = filled.ok_or_else(|| {
        format!("with its shape {shape:?} the tensors would fill more than {MOST_GROWTH} times what the file has")
    })?;
    let contiguous = shape.iter().zip(&strides).rev().try_fold(1_usize, |step, (&size, &stride)| {
        if size == 1 || stride == step { step.checked_mul(size) } else { None }
    });
    let numbers = if contiguous.is_some() {
        storage.element.numbers(record, first..first + count)
    } else {
        let place = |index: usize| {
            let axes = shape.iter().zip(&strides).rev();
            axes.fold((first, index), |(place, rest), (&size, &stride)| (place + rest % size * stride, rest / size)).0
        };
        storage.element.numbers(record, (0..count).map(place))
    };
    Ok((shape, numbers))
}
