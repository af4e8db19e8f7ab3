//! Checkpoints of training programs: what wraps the names comes off, of two networks one has to be chosen, and a masked
//! auto-encoder computes what it did in PyTorch. `reference/faults/22/make.py` makes the files.

use std::fs;
use std::path::PathBuf;

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::SafeTensors;
use sonoseg_core::blocks::masking::Masking;
use sonoseg_core::checkpoint::{State, write_state};
use sonoseg_core::import::{ImportOptions, Layout, Sizes, import};
use sonoseg_core::models::mae::{MaeConfig, from_public_names};

use crate::workspace::{fails, succeeds, text};

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("reference/faults/22").join(name)
}

fn read(name: &str, layout: Layout, key: Option<&str>) -> Result<(Sizes, State), String> {
    let options =
        ImportOptions { heads: Some(2), decoder_heads: Some(2), key: key.map(str::to_owned), ..Default::default() };
    let imported = import(name, &fs::read(path(name)).unwrap(), layout, &options).map_err(|e| e.to_string())?;
    Ok((imported.sizes, imported.state))
}

fn full(name: &str, key: Option<&str>) -> Result<State, String> {
    read(name, Layout::MaeFull, key).map(|(_, state)| state)
}

/// The weights that the script calls `other`: each number is one more.
fn raised(state: &State) -> State {
    let raise = |numbers: &[f32]| numbers.iter().map(|number| number + 1.0).collect();
    state.iter().map(|(name, (shape, numbers))| (name.clone(), (shape.clone(), raise(numbers)))).collect()
}

#[test]
fn whatever_wraps_the_names_comes_off() {
    let bare = full("bare.pth", None).unwrap();
    assert_eq!(bare.len(), 4 + 2 * 12 + 2 + 2 + 2 + 12 + 2 + 2, "every tensor of the file");
    for name in ["compiled_ddp.pth", "nested.pth", "lightning.ckpt", "averaged.pth", "f64.pth"] {
        assert_eq!(full(name, None).unwrap_or_else(|e| panic!("{e}")), bare, "{name}");
    }
}

#[test]
fn of_two_networks_in_a_file_one_has_to_be_chosen() {
    let bare = full("bare.pth", None).unwrap();
    for (name, keys, words) in [
        ("two.pth", ["model", "model_ema"], ["`model`", "`model_ema`"]),
        ("two_fronts.pth", ["model", "ema_model"], ["`model`", "`ema_model`"]),
        ("dino.pth", ["student.backbone", "teacher.backbone"], ["`student`", "`teacher`"]),
    ] {
        let message = full(name, None).unwrap_err();
        assert!(words.iter().all(|word| message.contains(word)) && message.contains("--key "), "{message}");
        assert_eq!(full(name, Some(keys[0])).unwrap(), bare, "{name}");
        assert_eq!(full(name, Some(keys[1])).unwrap(), raised(&bare), "{name}");
        let message = full(name, Some("nowhere")).unwrap_err();
        assert!(message.contains("holds nothing under `nowhere`"), "{message}");
    }
}

#[test]
fn an_unknown_front_is_named_as_the_reason() {
    for (name, key, advice) in [
        ("unknown_front.pth", None, "--key backbone"),
        ("unknown_within.pth", None, "--key backbone"),
        ("dino.pth", Some("teacher"), "--key teacher.backbone"),
    ] {
        let message = full(name, key).unwrap_err();
        assert!(message.contains("begin with `backbone.`") && message.contains(advice), "{message}");
    }
    for name in ["unknown_front.pth", "unknown_within.pth"] {
        assert_eq!(full(name, Some("backbone")).unwrap(), full("bare.pth", None).unwrap(), "{name}");
    }
}

#[test]
fn a_bare_auto_encoder_computes_what_it_did_in_pytorch() {
    let (Sizes::Mae { encoder, decoder }, state) = read("bare.pth", Layout::MaeFull, None).unwrap() else { panic!() };
    let (Sizes::Vit(vit), encoder_state) = read("bare.pth", Layout::MaeEncoder, None).unwrap() else { panic!() };
    assert_eq!((&vit, encoder_state.len()), (&encoder, 4 + 2 * 12 + 2));
    assert!(encoder_state.iter().all(|(name, tensor)| state[name] == *tensor));
    assert_eq!((decoder.width, decoder.depth, encoder.image_size, encoder.channels), (8, 1, 8, 3));

    let config = MaeConfig {
        encoder,
        decoder_width: decoder.width,
        decoder_depth: decoder.depth,
        decoder_heads: decoder.heads,
        mask_ratio: 0.75,
    };
    let device = Device::flex();
    let network = write_state("bare.pth", from_public_names(state), config.init(&device)).unwrap();
    let file = fs::read(path("mae.safetensors")).unwrap();
    let case = SafeTensors::deserialize(&file).unwrap();
    let numbers = |name: &str| -> Vec<f32> {
        case.tensor(name).unwrap().data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    };
    let images = Tensor::<4>::from_data(TensorData::new(numbers("in.imgs"), [2, 3, 8, 8]), &device);
    let masking = Masking::from_noise(&numbers("in.noise"), config.patches(), config.mask_ratio);
    let latent = network.encode(images.clone(), &masking.to_device(&device)).into_data().try_into_vec::<f32>().unwrap();
    let prediction = network.forward(images, &masking).into_data().try_into_vec::<f32>().unwrap();
    for (name, found) in [("out.latent", latent), ("out.pred", prediction)] {
        let expected = numbers(name);
        assert_eq!(found.len(), expected.len());
        let apart = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 2e-5 && expected.iter().any(|x| x.abs() > 0.5), "{name}: {apart}");
    }
}

#[test]
fn the_verb_takes_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (path("two.pth"), folder.path().join("mae.safetensors"));
    let words = ["import", text(&source), "--as", "mae-encoder", "--heads", "2", "--out", text(&out)];
    let printed = fails(3, &words);
    assert!(printed.contains("two.pth") && printed.contains("`model` and `model_ema`") && !out.exists(), "{printed}");
    let printed = succeeds(&[&words[..], &["--key", "model_ema"]].concat());
    assert!(printed.contains("ignored by rule   20"), "{printed}");
}
