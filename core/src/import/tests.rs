//! Tests of the rules on small networks of fixed weights; the files of PyTorch are tested in `tests/native/import.rs`.

use super::*;
use crate::checkpoint::Storage;
use crate::inference::Predictor;
use crate::models::vit::VitConfig;
use burn::tensor::Device;

/// Weights that differ in every number.
fn fixture(weights: &[Weight]) -> Tensors {
    let mut next = 0.0;
    let mut numbers = |count: usize| -> Vec<f32> {
        (0..count)
            .map(|_| {
                next += 0.001;
                next
            })
            .collect()
    };
    weights
        .iter()
        .map(|(name, shape)| (name.clone(), (shape.clone(), Numbers::Real(numbers(shape.iter().product())))))
        .collect()
}

fn encoder() -> (VitConfig, Tensors) {
    let config = VitConfig { image_size: 12, patch_size: 4, ..VitConfig::new(64, 2, 1) };
    let tensors = fixture(&vit::encoder_weights(&config));
    (config, tensors)
}

fn read(tensors: &Tensors, layout: Layout) -> Result<Imported, String> {
    import_tensors(tensors.clone(), layout, &ImportOptions::default())
}

#[test]
fn an_encoder_is_understood_from_its_tensors_alone_and_fills_the_network() {
    let (config, mut tensors) = encoder();
    tensors.insert("decoder_norm.weight".into(), (vec![1], Numbers::Real(vec![1.0])));
    let imported = read(&tensors, Layout::MaeEncoder).unwrap();
    assert_eq!(imported.sizes, Sizes::Vit(config.clone()));
    assert_eq!((imported.loaded.len(), imported.ignored.len(), imported.missing.len()), (30, 1, 0));
    assert!(imported.warnings[0].contains("sine-cosine"), "{:?}", imported.warnings);
    crate::checkpoint::write_state("test", imported.state, config.init(&Device::flex())).unwrap();
}

#[test]
fn sizes_of_tensors_without_numbers_are_not_believed() {
    // A norm that a file of timm may do without is made with the width of the network, here of a token of no numbers.
    let token = (vec![0, 1 << 60], Numbers::Real(Vec::new()));
    let norm = (vec![1], Numbers::Real(vec![1.0]));
    let tensors = Tensors::from([("cls_token".into(), token), ("fc_norm.weight".into(), norm)]);
    let message = read(&tensors, Layout::TimmVit).unwrap_err();
    assert!(message.contains("does not name its tensors as timm-vit does"), "{message}");
}

/// The same weights as Hugging Face names them: in files, or where `block` is one of its modules' names.
fn hugging_face(ours: &Tensors, block: &str) -> Tensors {
    // A name of the block is enough to tell the ways of naming apart.
    let sample = Tensors::from([(format!("vit.{block}"), (vec![], Numbers::Real(vec![0.0])))]);
    let naming = Layout::HfVitMae.naming(&sample);
    let mut theirs = Tensors::new();
    for (name, (shape, numbers)) in ours {
        let parts = naming.theirs(name);
        let Numbers::Real(numbers) = numbers else { unreachable!() };
        let mut part_shape = shape.clone();
        part_shape[0] /= parts.len();
        for (part, numbers) in parts.iter().zip(numbers.chunks(numbers.len() / parts.len())) {
            theirs.insert(part.clone(), (part_shape.clone(), Numbers::Real(numbers.to_vec())));
        }
    }
    theirs.insert("decoder.mask_token".into(), (vec![1], Numbers::Real(vec![0.0])));
    theirs
}

#[test]
fn queries_keys_and_values_of_hugging_face_are_put_together_in_this_order() {
    let (_, ours) = encoder();
    let expected = read(&ours, Layout::MaeEncoder).unwrap().state;
    for (block, key) in [("encoder.layer.0", "attention.attention.key"), ("layers.0", "attention.k_proj")] {
        let mut theirs = hugging_face(&ours, block);
        let imported = read(&theirs, Layout::HfVitMae).unwrap();
        assert_eq!(imported.state, expected);
        assert_eq!((imported.loaded.len(), imported.ignored.len()), (30 + 8, 1));
        let key = format!("vit.{block}.{key}.bias");
        theirs.remove(&key).unwrap();
        let reason = read(&theirs, Layout::HfVitMae).unwrap_err();
        assert!(reason.contains(&format!("missing: {key}")), "{reason}");
    }
}

#[test]
fn all_that_is_wrong_is_named_at_once() {
    let (_, mut tensors) = encoder();
    tensors.remove("norm.bias");
    tensors.insert("surprise".into(), (vec![1], Numbers::Real(vec![0.0])));
    tensors.insert("blocks.0.mlp.fc1.weight".into(), (vec![64, 256], Numbers::Real(vec![0.0; 64 * 256])));
    tensors.insert("blocks.1.norm1.bias".into(), (vec![64], Numbers::Real(vec![f32::NAN; 64])));
    let reason = read(&tensors, Layout::MaeEncoder).unwrap_err();
    for part in [
        "missing: norm.bias. ",
        "not in the rules: surprise. ",
        "of another shape: blocks.0.mlp.fc1.weight is [64, 256] instead of [256, 64]. ",
        "unusable: blocks.1.norm1.bias holds 64 values that are no finite numbers",
    ] {
        assert!(reason.contains(part), "{part:?} is not in {reason:?}");
    }
    let reason = read(&tensors, Layout::TorchvisionResnet).unwrap_err();
    assert!(reason.contains("--as mae-encoder"), "{reason}");
}

#[test]
fn heads_are_asked_for_where_the_usual_rule_gives_none() {
    let config = VitConfig { image_size: 4, patch_size: 4, ..VitConfig::new(32, 1, 4) };
    let tensors = fixture(&vit::encoder_weights(&config));
    assert!(read(&tensors, Layout::MaeEncoder).unwrap_err().contains("--heads"));
    let with = |options| import_tensors(tensors.clone(), Layout::MaeEncoder, &options);
    let imported = with(ImportOptions { heads: Some(4), ..Default::default() }).unwrap();
    assert_eq!(imported.sizes, Sizes::Vit(config));
    assert!(with(ImportOptions { heads: Some(5), ..Default::default() }).unwrap_err().contains("5 heads"));
    let other = ImportOptions { heads: Some(4), image_size: Some(8), ..Default::default() };
    assert!(with(other).unwrap_err().contains("pos_embed is [1, 2, 32] instead of [1, 5, 32]"));
}

#[test]
fn a_classifier_with_global_pooling_has_no_final_norm_and_gets_one() {
    let (_, mut tensors) = encoder();
    for part in ["weight", "bias"] {
        let norm = tensors.remove(&format!("norm.{part}")).unwrap();
        tensors.insert(format!("fc_norm.{part}"), norm);
    }
    let imported = read(&tensors, Layout::TimmVit).unwrap();
    assert_eq!(imported.missing, ["norm.weight", "norm.bias"]);
    assert_eq!(imported.ignored, ["fc_norm.bias", "fc_norm.weight"]);
    assert_eq!(imported.state["norm.weight"].1, [1.0; 64]);
    assert!(read(&tensors, Layout::MaeEncoder).unwrap_err().contains("missing: norm.weight, norm.bias"));
}

#[test]
fn the_file_keeps_the_account() {
    let (encoder, _) = encoder();
    let decoder = DecoderSizes { width: 32, depth: 1, heads: 1, mlp_ratio: 4 };
    let mut weights = vit::encoder_weights(&encoder);
    weights.extend(vit::decoder_weights(&encoder, &decoder));
    let imported = read(&fixture(&weights), Layout::MaeFull).unwrap();
    assert_eq!(imported.sizes, Sizes::Mae { encoder, decoder });
    let bytes = imported.to_bytes("mae.pth", "00ff", Storage::F32).unwrap();
    let (header, state) = read_import("m.safetensors", &bytes).unwrap();
    assert_eq!((header.loaded.len(), state), (50, imported.state.clone()));
    assert_eq!((header.source.as_str(), header.layout), ("mae.pth", Layout::MaeFull));
    let half = imported.to_bytes("mae.pth", "00ff", Storage::F16).unwrap();
    assert!(half.len() < bytes.len() * 6 / 10);
    let mut large = imported;
    large.state.insert("norm.bias".into(), (vec![1], vec![1e5]));
    assert!(large.to_bytes("mae.pth", "", Storage::F16).unwrap_err().to_string().contains("norm.bias"));
    let message = Predictor::load("m.safetensors", &bytes, &Device::flex()).unwrap_err();
    assert!(message.to_string().contains("--init"), "{message}");
}
