//! The rules: how public files name the weights that we know by PyTorch's names, and what they may hold beside them.

use serde::{Deserialize, Serialize};

use crate::checkpoint::numbers::Tensors;

/// How a file names its tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// The encoder of facebookresearch/mae; a decoder beside it is ignored.
    MaeEncoder,
    /// Encoder and decoder of facebookresearch/mae.
    MaeFull,
    /// A vision transformer of timm; its classifier is ignored.
    TimmVit,
    /// ViTMAE of Hugging Face transformers; its decoder is ignored.
    HfVitMae,
    /// A ResNet of torchvision, or of timm, which names it alike; its classifier is ignored.
    TorchvisionResnet,
    /// The ResNet that DenseCL or MoCo v2 trains: its teacher, heads and queues are ignored.
    #[serde(rename = "densecl")]
    DenseCl,
}

/// Our stem, and the stems that stand for it in a file. `#` is the number of a block. Several stems are parts of one
/// weight, in this order along the first axis.
type Stem = (&'static str, &'static [&'static str]);

/// What sets a layout apart from our names.
struct Rules {
    /// What the names of the network may begin with; the first that fits the file counts.
    prefixes: &'static [&'static str],
    /// Ways of naming; the first that fits the file counts. Stems that are not listed are the same as ours.
    stems: &'static [&'static [Stem]],
    /// Tensors to leave out: a whole name, or with `*` its beginning or end.
    ignored: &'static [&'static str],
    /// Weight that may be missing where the file has the second one instead, and its initial value.
    replaced: &'static [(&'static str, &'static str, f32)],
}

const PLAIN: Rules = Rules { prefixes: &[], stems: &[], ignored: &[], replaced: &[] };

const MAE_ENCODER: Rules = Rules { ignored: &["mask_token", "decoder_*"], ..PLAIN };

/// Networks with global pooling normalise after it and not before, with a norm of another name.
const TIMM_VIT: Rules = Rules {
    ignored: &["head.*", "fc_norm.*"],
    replaced: &[("norm.weight", "fc_norm.weight", 1.0), ("norm.bias", "fc_norm.bias", 0.0)],
    ..PLAIN
};

const HF_VIT_MAE: Rules =
    Rules { prefixes: &["vit."], stems: &[HF_FILES, HF_MODULES], ignored: &["decoder.*"], ..PLAIN };

/// The names in published files, which `save_pretrained` still writes.
const HF_FILES: &[Stem] = &[
    ("cls_token", &["embeddings.cls_token"]),
    ("pos_embed", &["embeddings.position_embeddings"]),
    ("patch_embed.proj", &["embeddings.patch_embeddings.projection"]),
    ("blocks.#", &["encoder.layer.#"]),
    ("blocks.#.norm1", &["encoder.layer.#.layernorm_before"]),
    (
        "blocks.#.attn.qkv",
        &[
            "encoder.layer.#.attention.attention.query",
            "encoder.layer.#.attention.attention.key",
            "encoder.layer.#.attention.attention.value",
        ],
    ),
    ("blocks.#.attn.proj", &["encoder.layer.#.attention.output.dense"]),
    ("blocks.#.norm2", &["encoder.layer.#.layernorm_after"]),
    ("blocks.#.mlp.fc1", &["encoder.layer.#.intermediate.dense"]),
    ("blocks.#.mlp.fc2", &["encoder.layer.#.output.dense"]),
    ("norm", &["layernorm"]),
];

/// The names of the modules since transformers 5, which `torch.save(model.state_dict(), ..)` writes.
const HF_MODULES: &[Stem] = &[
    ("cls_token", &["embeddings.cls_token"]),
    ("pos_embed", &["embeddings.position_embeddings"]),
    ("patch_embed.proj", &["embeddings.patch_embeddings.projection"]),
    ("blocks.#", &["layers.#"]),
    ("blocks.#.norm1", &["layers.#.layernorm_before"]),
    ("blocks.#.attn.qkv", &["layers.#.attention.q_proj", "layers.#.attention.k_proj", "layers.#.attention.v_proj"]),
    ("blocks.#.attn.proj", &["layers.#.attention.o_proj"]),
    ("blocks.#.norm2", &["layers.#.layernorm_after"]),
    ("blocks.#.mlp.fc1", &["layers.#.mlp.fc1"]),
    ("blocks.#.mlp.fc2", &["layers.#.mlp.fc2"]),
    ("norm", &["layernorm"]),
];

const TORCHVISION_RESNET: Rules =
    Rules { prefixes: &["backbone."], ignored: &["fc.*", "*.num_batches_tracked"], ..PLAIN };

/// A file of a training has the backbone a second time, as the first part of `encoder_q`; one that was taken out of it has
/// nothing in front of its names. MoCo has no such parts.
const DENSECL: Rules = Rules {
    prefixes: &["backbone.", "encoder_q.0.", "encoder_q."],
    ignored: &["fc.*", "*.num_batches_tracked", "encoder_q.*", "encoder_k.*", "queue*"],
    ..PLAIN
};

impl Layout {
    /// All layouts.
    pub const ALL: [Self; 6] =
        [Self::MaeEncoder, Self::MaeFull, Self::TimmVit, Self::HfVitMae, Self::TorchvisionResnet, Self::DenseCl];

    /// Names by which a network of some layout is known, whatever stands in front of them.
    pub(super) const SIGNS: [&str; 4] =
        ["vit.embeddings.cls_token", "embeddings.cls_token", "cls_token", "layer1.0.conv1.weight"];

    /// Its name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::MaeEncoder => "mae-encoder",
            Self::MaeFull => "mae-full",
            Self::TimmVit => "timm-vit",
            Self::HfVitMae => "hf-vit-mae",
            Self::TorchvisionResnet => "torchvision-resnet",
            Self::DenseCl => "densecl",
        }
    }

    /// What a person must know who uses weights of this layout.
    pub fn note(self) -> &'static str {
        match self {
            Self::MaeEncoder | Self::MaeFull | Self::HfVitMae => {
                "the weights that Meta published for MAE are under CC BY-NC 4.0: not for commercial use"
            }
            Self::TimmVit => {
                "timm's weights have the licences that their model cards name; those of MAE are under CC BY-NC 4.0"
            }
            Self::TorchvisionResnet => {
                "torchvision's weights were learned from ImageNet, whose terms name non-commercial research; timm's have the \
                 licences that their model cards name"
            }
            Self::DenseCl => {
                "the weights that DenseCL published were learned from ImageNet or COCO, whose terms name non-commercial research"
            }
        }
    }

    fn rules(self) -> &'static Rules {
        match self {
            Self::MaeEncoder => &MAE_ENCODER,
            Self::MaeFull => &PLAIN,
            Self::TimmVit => &TIMM_VIT,
            Self::HfVitMae => &HF_VIT_MAE,
            Self::TorchvisionResnet => &TORCHVISION_RESNET,
            Self::DenseCl => &DENSECL,
        }
    }

    /// The layout that a file's names speak for, if any.
    pub(super) fn guess(tensors: &Tensors) -> Option<Self> {
        let has = |name: &str| tensors.contains_key(name);
        if has("vit.embeddings.cls_token") || has("embeddings.cls_token") {
            Some(Self::HfVitMae)
        } else if has("cls_token") && has("decoder_pred.weight") {
            Some(Self::MaeFull)
        } else if has("cls_token") {
            Some(if has("head.weight") { Self::TimmVit } else { Self::MaeEncoder })
        } else if DENSECL.prefixes[1..].iter().any(|prefix| has(&format!("{prefix}layer1.0.conv1.weight"))) {
            Some(Self::DenseCl)
        } else {
            let plain = has("layer1.0.conv1.weight") || has("backbone.layer1.0.conv1.weight");
            plain.then_some(Self::TorchvisionResnet)
        }
    }

    /// How this file names our weights.
    pub(super) fn naming(self, tensors: &Tensors) -> Naming {
        let begins = |start: &str| tensors.keys().any(|name| name.starts_with(start));
        let Rules { prefixes, stems, .. } = self.rules();
        let prefix = prefixes.iter().find(|prefix| begins(prefix)).unwrap_or(&"");
        let mut ways = stems.iter().map(|stems| Naming { prefix, stems });
        let first = ways.clone().next().unwrap_or(Naming { prefix, stems: &[] });
        ways.find(|naming| begins(&naming.start("blocks."))).unwrap_or(first)
    }

    /// True for a tensor that a rule leaves out, by its name in the file or behind what all names of the network begin with.
    pub(super) fn ignores(self, name: &str, naming: &Naming) -> bool {
        let inner = name.strip_prefix(naming.prefix).unwrap_or(name);
        [name, inner].into_iter().any(|name| self.leaves_out(name))
    }

    fn leaves_out(self, name: &str) -> bool {
        self.rules().ignored.iter().any(|pattern| match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
            (Some(end), _) => name.ends_with(end),
            (_, Some(start)) => name.starts_with(start),
            _ => name == *pattern,
        })
    }

    /// Initial value of a weight that this file may do without.
    pub(super) fn initial(self, ours: &str, tensors: &Tensors) -> Option<f32> {
        let replaced = self.rules().replaced.iter();
        let mut initial = replaced.filter(|(weight, instead, _)| *weight == ours && tensors.contains_key(*instead));
        initial.next().map(|&(_, _, initial)| initial)
    }
}

/// The way that one file names its tensors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Naming {
    prefix: &'static str,
    stems: &'static [Stem],
}

impl Naming {
    /// The names in the file that our weight `ours` is made of.
    pub(super) fn theirs(&self, ours: &str) -> Vec<String> {
        let (stem, end) = match ours.rsplit_once('.') {
            Some((stem, end @ ("weight" | "bias"))) => (stem, format!(".{end}")),
            _ => (ours, String::new()),
        };
        // One number at most: that of the block.
        let number = stem.split('.').find(|part| part.parse::<usize>().is_ok());
        let pattern: Vec<&str> = stem.split('.').map(|part| if Some(part) == number { "#" } else { part }).collect();
        let pattern = pattern.join(".");
        let stems: Vec<String> = match self.stems.iter().find(|(stem, _)| *stem == pattern) {
            Some((_, stems)) => stems.iter().map(|stem| stem.replace('#', number.unwrap_or_default())).collect(),
            None => vec![stem.to_owned()],
        };
        stems.into_iter().map(|stem| format!("{}{stem}{end}", self.prefix)).collect()
    }

    /// What stands in front of the number of a block: for `blocks.` that is `encoder.layer.` in Hugging Face's files.
    pub(super) fn start(&self, ours: &str) -> String {
        self.theirs(&format!("{ours}#")).concat().replace('#', "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_hugging_face() {
        let files = Naming { prefix: "vit.", stems: HF_FILES };
        assert_eq!(files.theirs("cls_token"), ["vit.embeddings.cls_token"]);
        assert_eq!(files.theirs("norm.bias"), ["vit.layernorm.bias"]);
        assert_eq!(files.theirs("blocks.11.mlp.fc2.weight"), ["vit.encoder.layer.11.output.dense.weight"]);
        let qkv = files.theirs("blocks.0.attn.qkv.bias");
        let last: Vec<&str> = qkv.iter().filter_map(|name| name.split('.').nth_back(1)).collect();
        assert_eq!(last, ["query", "key", "value"]);
        assert_eq!(files.start("blocks."), "vit.encoder.layer.");
        let modules = Naming { prefix: "", stems: HF_MODULES };
        assert_eq!(modules.theirs("blocks.3.attn.qkv.weight")[1], "layers.3.attention.k_proj.weight");
        let plain = Layout::MaeFull.naming(&Tensors::new());
        assert_eq!(plain.start("decoder_blocks."), "decoder_blocks.");
        assert_eq!(plain.theirs("layer1.0.downsample.0.weight"), ["layer1.0.downsample.0.weight"]);
    }

    #[test]
    fn only_what_a_rule_names_is_ignored() {
        let plain = Naming { prefix: "", stems: &[] };
        assert!(Layout::MaeEncoder.ignores("decoder_blocks.0.norm1.weight", &plain));
        assert!(Layout::TorchvisionResnet.ignores("bn1.num_batches_tracked", &plain));
        assert!(!Layout::MaeEncoder.ignores("mask_token.weight", &plain));
        assert!(!Layout::MaeFull.ignores("mask_token", &plain));
        let wrapped = Naming { prefix: "backbone.", stems: &[] };
        assert!(Layout::TorchvisionResnet.ignores("backbone.fc.bias", &wrapped));
        assert!(!Layout::TorchvisionResnet.ignores("decode_head.fc.bias", &wrapped));
    }

    #[test]
    fn names_on_the_command_line_are_those_in_files() {
        for layout in Layout::ALL {
            assert_eq!(serde_json::to_value(layout).unwrap(), layout.name());
        }
    }
}
