//! Public checkpoints: every file of `reference/checkpoints/index.json` gets what it says there, damaged copies of them
//! never do harm, and the verb keeps the account.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::Value;
use sonoseg_core::checkpoint::numbers::{Numbers, Tensors};
use sonoseg_core::checkpoint::tensors::read_tensors;
use sonoseg_core::checkpoint::write_state;
use sonoseg_core::import::{ImportOptions, Imported, Layout, Sizes, import, read_import};
use sonoseg_imaging::rng::Rng;

use crate::workspace::{fails, program, succeeds, text};

/// Our copy of the reference files, or the folder that SONOSEG_REFERENCE names.
fn reference() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference");
    std::env::var_os("SONOSEG_REFERENCE").map_or(own, PathBuf::from)
}

fn checkpoints() -> PathBuf {
    reference().join("checkpoints")
}

fn index() -> Vec<Value> {
    let path = checkpoints().join("index.json");
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str::<Value>(&text).unwrap()["files"].as_array().unwrap().clone()
}

fn file(name: &str) -> Vec<u8> {
    fs::read(checkpoints().join(name)).unwrap()
}

/// The tensors of an expected file; those of a released DenseCL file have another name there.
fn expected(entry: &Value) -> Tensors {
    let read = read_tensors("expected", &file(entry["expected"].as_str().unwrap())).unwrap();
    if entry["file"].as_str().unwrap().contains("extracted") {
        let trunk = |(name, tensor): (String, _)| Some((name.strip_prefix("backbone.")?.to_owned(), tensor));
        return read.into_iter().filter_map(trunk).collect();
    }
    read
}

fn options(entry: &Value) -> ImportOptions {
    let number = |key: &str| entry["config"][key].as_u64().map(|n| n as usize);
    let [heads, decoder_heads, image_size] = ["heads", "decoder_heads", "img_size"].map(number);
    ImportOptions { heads, decoder_heads, image_size, key: None }
}

/// The layout that the file of an entry has, if it is one of ours.
fn layout(entry: &Value) -> Option<Layout> {
    let config = &entry["config"];
    let plain = ["z_dim", "slots"].iter().all(|key| config[key].is_null());
    if !config["decoder_embed_dim"].is_null() {
        Some(Layout::MaeFull)
    } else if !config["embed_dim"].is_null() {
        Some(Layout::MaeEncoder)
    } else {
        let contrastive = !config["neck_dim"].is_null();
        let resnet = if contrastive { Layout::DenseCl } else { Layout::TorchvisionResnet };
        (!config["block"].is_null() && plain).then_some(resnet)
    }
}

/// What is wrong with a file of the index, if anything.
fn check(entry: &Value) -> Result<(), String> {
    let name = entry["file"].as_str().unwrap();
    let bytes = file(name);
    let read = read_tensors(name, &bytes).map_err(|e| e.to_string());
    let imported = import(name, &bytes, Layout::MaeEncoder, &options(entry)).map_err(|e| e.to_string());
    let refused = |words: &[&str]| {
        let message = imported.as_ref().err().ok_or("it was not refused")?;
        let missing = words.iter().find(|word| !message.contains(**word));
        missing.map_or(Ok(()), |word| Err(format!("{word:?} is not in {message:?}")))
    };
    match entry["outcome"].as_str().unwrap() {
        "load" => {
            let (read, expected) = (read?, expected(entry));
            let differs = expected.iter().find(|(name, tensor)| read.get(*name) != Some(tensor));
            if let Some((tensor, _)) = differs {
                return Err(format!("{tensor} is {:?}", read.get(tensor).map(|(shape, _)| shape)));
            }
            if read.len() != expected.len() {
                return Err(format!("{} tensors instead of {}", read.len(), expected.len()));
            }
            match layout(entry) {
                Some(layout) => account(name, &bytes, layout, &options(entry), &expected),
                None => refused(&["holds, for example"]),
            }
        }
        "refuse" => {
            let message = read.err().ok_or("it was not refused")?;
            let reason = reason(name).unwrap_or(name);
            if message.contains(name) && message.contains(reason) { Ok(()) } else { Err(message) }
        }
        "report missing" => refused(&["missing: blocks.0.attn.proj.weight, norm.bias"]),
        "report unexpected" => refused(&["not in the rules: blocks.0.attn.extra.weight, surprise"]),
        "report shapes" => refused(&["of another shape: pos_embed is [1, 26, 16] instead of [1, 17, 16], \
             blocks.0.mlp.fc1.weight is [16, 64] instead of [64, 16]"]),
        "load with warning or refuse" => refused(&["norm.weight holds 1 values that are no finite numbers"]),
        "load model or refuse" => account(name, &bytes, Layout::MaeEncoder, &options(entry), &expected(entry)),
        other => Err(format!("the outcome {other:?} is not known here")),
    }
}

/// What the refusal of a file must say.
fn reason(name: &str) -> Option<&'static str> {
    let reasons = [
        ("truncated_zip", "cut short"),
        ("wrong_magic", "neither like a file of `torch.save` nor"),
        ("empty", "is empty"),
        ("not_a_checkpoint", "web page"),
        ("crc_flipped_byte", "checksum"),
        ("missing_storage_record", "data/2 is missing"),
        ("storage_too_small", "beyond the 4 numbers"),
        ("absurd_size", "claims 1099511627776 numbers, and the file holds 4"),
        ("negative_offset", "offset is -2"),
        ("foreign_global_call", "`posix.getcwd`"),
    ];
    reasons.into_iter().find(|(part, _)| name.contains(part)).map(|(_, reason)| reason)
}

/// Every tensor of the file is loaded with its numbers, or ignored, and none is counted twice.
fn account(
    name: &str,
    bytes: &[u8],
    layout: Layout,
    options: &ImportOptions,
    expected: &Tensors,
) -> Result<(), String> {
    let Imported { loaded, ignored, missing, state, sizes, .. } =
        import(name, bytes, layout, options).map_err(|e| e.to_string())?;
    let mut all: Vec<&String> = loaded.iter().chain(&ignored).collect();
    all.sort();
    if all != expected.keys().collect::<Vec<_>>() || !missing.is_empty() || state.len() != loaded.len() {
        return Err(format!("loaded {loaded:?}, ignored {ignored:?}, missing {missing:?}"));
    }
    let of = |name: &String| expected.get(name).or_else(|| expected.get(&format!("backbone.{name}")));
    let differs = state
        .iter()
        .find(|(name, (shape, numbers))| of(name) != Some(&(shape.clone(), Numbers::Real(numbers.clone()))));
    if let Some((tensor, _)) = differs {
        return Err(format!("{tensor} has other numbers"));
    }
    let Sizes::Resnet(sizes) = sizes else { return Ok(()) };
    let network = sizes.network().ok_or("no network of ours has its sizes")?.init(&Device::flex());
    write_state(name, state, network).map(drop).map_err(|e| e.to_string())
}

#[test]
fn every_checkpoint_of_the_index_gets_what_it_says() {
    let (mut problems, entries) = (Vec::new(), index());
    for entry in &entries {
        match check(entry) {
            Ok(()) => println!("ok    {}: {}", entry["file"], entry["outcome"]),
            Err(problem) => problems.push(format!("{} ({}): {problem}", entry["file"], entry["outcome"])),
        }
    }
    assert!(problems.is_empty() && !entries.is_empty(), "{}", problems.join("\n"));
}

/// Where the pickle of an archive lies, and where the directory keeps its checksum.
fn pickle_of(bytes: &[u8]) -> Option<(std::ops::Range<usize>, usize)> {
    let number = |at: usize, length: usize| {
        bytes[at..at + length].iter().rev().fold(0_usize, |number, &byte| number << 8 | usize::from(byte))
    };
    let entry = bytes.windows(4).enumerate().filter(|(_, w)| w == b"PK\x01\x02").map(|(at, _)| at).find(|&at| {
        bytes.get(at + 46..at + 46 + number(at + 28, 2)).is_some_and(|name| name.ends_with(b"/data.pkl"))
    })?;
    let (size, local) = (number(entry + 20, 4), number(entry + 42, 4));
    let start = local + 30 + number(local + 26, 2) + number(local + 28, 2);
    Some((start..start + size, entry + 16))
}

/// A damaged copy: some bytes are others, or a piece is left out or there twice. Half of the archives are damaged in
/// their pickle and get the checksum that fits, because the checksum would end the reading.
fn damage(bytes: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut damaged = bytes.to_vec();
    let pickle = pickle_of(bytes).filter(|_| rng.chance(0.5));
    let range = pickle.as_ref().map_or(0..bytes.len(), |(range, _)| range.clone());
    for _ in 0..1 + rng.below(4) {
        let at = range.start + rng.below(range.len());
        damaged[at] = match rng.below(4) {
            0 => 0xff,
            1 => damaged[at] ^ (1 << rng.below(8)),
            // An instruction or a byte from elsewhere.
            2 => b".(cQRbqrhjaesuNKMJGXUTBCt]l}d)\x80\x81\x85\x86\x87\x88\x89\x8a\x8c\x8d\x93\x95"[rng.below(41)],
            _ => bytes[range.start + rng.below(range.len())],
        };
    }
    if let Some((range, checksum)) = pickle {
        let fits = crc32fast::hash(&damaged[range]);
        damaged[checksum..checksum + 4].copy_from_slice(&fits.to_le_bytes());
    } else if rng.chance(0.2) {
        damaged.truncate(rng.below(bytes.len()));
    } else if rng.chance(0.1) {
        let at = rng.below(bytes.len());
        damaged.drain(at..(at + rng.below(64)).min(bytes.len()));
    }
    damaged
}

#[test]
fn damaged_checkpoints_never_panic_and_never_fill_the_memory() {
    let (mut read, mut names) = (0, BTreeMap::new());
    for entry in index().iter().filter(|entry| entry["bytes"].as_u64() > Some(0)) {
        names.insert(entry["file"].as_str().unwrap().to_owned(), layout(entry));
        // Files of numbers to expect are safetensors.
        names.extend(entry["expected"].as_str().map(|name| (name.to_owned(), layout(entry))));
    }
    for (number, (name, layout)) in names.iter().enumerate() {
        let bytes = file(name);
        // Small files are damaged more often, for the same time.
        let copies = (50_000_000 / (bytes.len() + 2000)).clamp(200, 3000);
        for copy in 0..copies {
            let damaged = damage(&bytes, &mut Rng::stream(7, "damage", [number as u64, copy as u64]));
            let result = std::panic::catch_unwind(|| {
                if let Some(layout) = layout {
                    let _ = import(name, &damaged, *layout, &ImportOptions { heads: Some(2), ..Default::default() });
                }
                read_tensors(name, &damaged)
            });
            let tensors = result.unwrap_or_else(|_| panic!("copy {copy} of {name} ends in a panic"));
            if let Ok(tensors) = tensors {
                read += 1;
                let size = |numbers: &Numbers| match numbers {
                    Numbers::Real(numbers) => numbers.len() * 4,
                    Numbers::Whole(numbers) => numbers.len() * 8,
                };
                let filled: usize = tensors.values().map(|(_, numbers)| size(numbers)).sum();
                assert!(filled <= 8 * damaged.len(), "copy {copy} of {name} fills {filled} bytes");
            }
        }
    }
    assert!(read > 100, "some damage does not matter, or nothing but the door is tested: {read}");
}

#[test]
fn an_imported_encoder_gives_the_outputs_of_the_original() {
    let mut compared = 0;
    for path in fs::read_dir(reference()).unwrap().map(|entry| entry.unwrap().path()) {
        if path.file_name().unwrap().to_string_lossy().starts_with("vit_encoder_taps__") {
            compared += compare_encoder(&fs::read(path).unwrap());
        }
    }
    assert!(compared > 0, "no case of a whole encoder");
}

/// Import the parameters of a reference case from safetensors, and compare its two final outputs.
fn compare_encoder(bytes: &[u8]) -> usize {
    let case = SafeTensors::deserialize(bytes).unwrap();
    let (_, header) = SafeTensors::read_metadata(bytes).unwrap();
    let json = |key: &str| -> Value { serde_json::from_str(&header.metadata().as_ref().unwrap()[key]).unwrap() };
    let parameters: BTreeMap<String, TensorView<'_>> = case
        .tensors()
        .into_iter()
        .filter_map(|(name, view)| Some((name.strip_prefix("param.")?.to_owned(), view)))
        .collect();
    let heads = json("config")["heads"].as_u64().map(|heads| heads as usize);
    let checkpoint = safetensors::serialize(parameters, None).unwrap();
    let options = ImportOptions { heads, ..Default::default() };
    let imported = import("case", &checkpoint, Layout::TimmVit, &options).unwrap();
    let file = imported.to_bytes("case", "", sonoseg_core::checkpoint::Storage::F32).unwrap();
    let (header, state) = read_import("file", &file).unwrap();
    let Sizes::Vit(config) = header.config else { panic!("{:?}", header.config) };
    let network = write_state("file", state, config.init(&Device::flex())).unwrap();

    let numbers = |name: &str| -> Vec<f32> {
        let view = case.tensor(name).unwrap();
        assert_eq!(view.dtype(), Dtype::F32);
        view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    };
    let shape: [usize; 4] = case.tensor("in.x").unwrap().shape().try_into().unwrap();
    let x = Tensor::from_data(TensorData::new(numbers("in.x"), shape), &Device::flex());
    let features = network.forward_taps(x, &[]);
    let read = |data: TensorData| data.try_into_vec::<f32>().unwrap();
    let outputs = [("out.final", read(features.last.into_data())), ("out.cls", read(features.class.into_data()))];
    let tolerance = json("tolerance");
    for (name, found) in &outputs {
        let expected = numbers(name);
        let rms = (expected.iter().map(|b| b * b).sum::<f32>() / expected.len() as f32).sqrt();
        let [allowed, floor] = ["out", "floor"].map(|key| tolerance[key].as_f64().unwrap() as f32);
        let fits = |a: f32, b: f32| (a - b).abs() <= allowed * (b.abs() + rms) + floor;
        let far = found.iter().zip(&expected).find(|(a, b)| !fits(**a, **b));
        assert!(far.is_none() && found.len() == expected.len(), "{name}: {far:?}");
    }
    outputs.len()
}

#[test]
fn the_verb_writes_the_weights_and_the_account() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (checkpoints().join("mae_tiny_full.pth"), folder.path().join("mae.safetensors"));
    let heads = ["--heads", "4"];
    let words = ["import", text(&source), "--as", "mae-encoder", "--out", text(&out)];
    let printed = fails(3, &words);
    assert!(printed.contains("--heads") && printed.contains("mae_tiny_full.pth") && !out.exists(), "{printed}");
    let printed = succeeds(&[&words, heads.as_slice()].concat());
    for part in ["loaded            30", "ignored by rule   20", "missing            0", "CC BY-NC 4.0"] {
        assert!(printed.contains(part), "{part:?} is not in {printed}");
    }
    let (header, state) = read_import("mae", &fs::read(&out).unwrap()).unwrap();
    assert_eq!((header.layout, header.loaded.len(), state.len()), (Layout::MaeEncoder, 30, 30));
    assert_eq!((header.source.as_str(), header.sha256.len()), ("mae_tiny_full.pth", 64));
    let size = fs::metadata(&out).unwrap().len();
    let printed = succeeds(&[&words, heads.as_slice(), &["--dtype", "f16", "--verbose"]].concat());
    assert!(printed.contains("\n    decoder_pred.weight\n"), "{printed}");
    assert!(fs::metadata(&out).unwrap().len() < size * 7 / 10);
    fails(2, &["import", text(&source), "--as", "mae", "--out", text(&out)]);
    fails(2, &["import", text(&source), "--as", "mae-full", "--out", text(&source)]);
    // Imported weights are no model to predict with.
    let printed = fails(3, &["export", text(&out), "--out", text(&folder.path().join("model.safetensors"))]);
    assert!(printed.contains("--init"), "{printed}");
}

/// What a file claims is never believed: with hardly more memory than the program itself takes, every broken file is
/// still answered with a sentence.
#[cfg(target_os = "linux")]
#[test]
fn broken_checkpoints_are_refused_within_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    for entry in index().iter().filter(|entry| entry["outcome"] == "refuse") {
        let (source, out) = (checkpoints().join(entry["file"].as_str().unwrap()), folder.path().join("out"));
        let output = std::process::Command::new("sh")
            .args(["-c", "ulimit -v 300000; exec \"$0\" \"$@\"", text(&program())])
            .args(["import", text(&source), "--as", "mae-encoder", "--out", text(&out)])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{}: {said}", entry["file"]);
        assert!(said.contains(text(&source)) && !out.exists(), "{said}");
    }
}
