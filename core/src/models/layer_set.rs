//! Which layers of a network learn: sets with names, as a rule on parameter names.
//!
//! Blocks of a U-Net (Amiri 2019, section 2.2) are counted along the longest path from the image: `enc1` to `enc5` are 1 to 5,
//! `dec6` to `dec9` are 6 to 9, and `out` belongs to 9. So the deepest block is the last one, not the bottleneck. Of a UNETR the
//! sets are its decoder, with the last blocks of its encoder or without any; of an FCN its heads, with stages of the residual
//! network.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::optim::rules::{Rule, Rules};

/// Blocks of a U-Net.
const BLOCKS: usize = 9;
/// Convolutions of the contracting part: with the tenth it would have more parameters than the rest, and the paper says
/// (section 3) that it has almost half as many.
const CONTRACTING: usize = 9;

/// The parameters that learn; the others stay as they are, without moments and without decay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum LayerSet {
    /// `all`: everything, of any network.
    #[default]
    All,
    /// `shallow-3`: the first 3 blocks of a U-Net.
    Shallow(usize),
    /// `deep-3`: the last 3 blocks of a U-Net.
    Deep(usize),
    /// `contracting`: convolutions 1 to 9 of a U-Net. (Split between blocks instead: `shallow-5`.)
    Contracting,
    /// `expanding`: convolution 10 of a U-Net and all after it. (Split between blocks instead: `deep-4`.)
    Expanding,
    /// `last-2`: of a UNETR all that lies above its encoder's blocks, and the last 2 of them; of an FCN the heads, and the last
    /// 2 stages of its residual network. Without any it is `decoder`.
    Last(usize),
}

impl LayerSet {
    /// Whether the parameter `name` of a U-Net learns. Of a name that no U-Net has, only `all` knows.
    pub fn trains(&self, name: &str) -> bool {
        let Some(place) = Place::of(name) else { return *self == Self::All };
        match *self {
            Self::All => true,
            Self::Shallow(blocks) => place.block <= blocks,
            Self::Deep(blocks) => place.block + blocks > BLOCKS,
            Self::Contracting => place.convolution <= CONTRACTING,
            Self::Expanding => place.convolution > CONTRACTING,
            Self::Last(_) => false,
        }
    }

    /// The rules of a UNETR or an FCN of which these layers learn, from those of one of which all do.
    pub fn of_encoder(self, rules: Rules) -> Rules {
        Box::new(move |name, axes| {
            let rule = rules(name, axes);
            let trained = match self {
                Self::All => true,
                Self::Last(blocks) => rule.layers_above <= blocks,
                _ => false,
            };
            Rule { trained, ..rule }
        })
    }

    /// Whether a UNETR and an FCN have these layers; else a U-Net does.
    pub fn is_of_encoder(&self) -> bool {
        matches!(self, Self::All | Self::Last(_))
    }

    /// The rules of a U-Net of which these parameters learn, all alike.
    pub fn rules(self) -> Rules {
        Box::new(move |name, axes| Rule { trained: self.trains(name), ..Rule::plain(axes) })
    }

    /// From which end the blocks are counted, and how many they are; all 9 of them belong to both directions. None for
    /// sets that end inside a block.
    pub fn blocks(&self) -> Option<(&'static [Direction], usize)> {
        match *self {
            Self::All => Some((&[Direction::Shallow, Direction::Deep], BLOCKS)),
            Self::Shallow(blocks) => Some((&[Direction::Shallow], blocks)),
            Self::Deep(blocks) => Some((&[Direction::Deep], blocks)),
            Self::Contracting | Self::Expanding | Self::Last(_) => None,
        }
    }
}

/// From which end of the network blocks are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the image.
    Shallow,
    /// From the masks.
    Deep,
}

/// Where a parameter lies in a U-Net, both numbers from 1.
struct Place {
    block: usize,
    /// The learned 2x2 convolution of an expanding block counts as the one that it stands before, a normalisation as the one
    /// that it stands behind.
    convolution: usize,
}

impl Place {
    fn of(name: &str) -> Option<Self> {
        let mut parts = name.split('.');
        let block = match parts.next()? {
            "out" => return Some(Self { block: BLOCKS, convolution: 2 * BLOCKS + 1 }),
            "enc1" => 1,
            "enc2" => 2,
            "enc3" => 3,
            "enc4" => 4,
            "enc5" => 5,
            "dec6" => 6,
            "dec7" => 7,
            "dec8" => 8,
            "dec9" => 9,
            _ => return None,
        };
        match parts.next()? {
            "up" | "conva" | "norma" => Some(Self { block, convolution: 2 * block - 1 }),
            "convb" | "normb" => Some(Self { block, convolution: 2 * block }),
            _ => None,
        }
    }
}

impl FromStr for LayerSet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let blocks = |text: &str| text.parse().ok().filter(|blocks| (1..=BLOCKS).contains(blocks));
        let set = match text.split_once('-') {
            None => match text {
                "all" => Some(Self::All),
                "contracting" => Some(Self::Contracting),
                "expanding" => Some(Self::Expanding),
                "decoder" => Some(Self::Last(0)),
                _ => None,
            },
            Some(("shallow", count)) => blocks(count).map(Self::Shallow),
            Some(("deep", count)) => blocks(count).map(Self::Deep),
            Some(("last", count)) => count.parse().ok().filter(|&blocks| blocks > 0).map(Self::Last),
            Some(_) => None,
        };
        match set {
            Some(Self::Shallow(BLOCKS) | Self::Deep(BLOCKS)) => Ok(Self::All),
            Some(set) => Ok(set),
            None => Err(format!(
                "`{text}` is no set of layers; there are all; of a U-Net contracting, expanding, and shallow-K and deep-K for \
                 K blocks from the image or from the masks, K from 1 to {BLOCKS}; of a UNETR or an FCN decoder, and \
                 last-K with the last K blocks of the encoder, or stages of the residual network"
            )),
        }
    }
}

impl fmt::Display for LayerSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Shallow(blocks) => write!(f, "shallow-{blocks}"),
            Self::Deep(blocks) => write!(f, "deep-{blocks}"),
            Self::Contracting => f.write_str("contracting"),
            Self::Expanding => f.write_str("expanding"),
            Self::Last(0) => f.write_str("decoder"),
            Self::Last(blocks) => write!(f, "last-{blocks}"),
        }
    }
}

impl TryFrom<String> for LayerSet {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<LayerSet> for String {
    fn from(set: LayerSet) -> Self {
        set.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{State, read_state};
    use crate::models::unet::tests::seeded;
    use crate::models::unet::{Unet, UnetConfig, UnetVariant};
    use crate::optim::adamw::AdamWConfig;
    use crate::optim::freeze::freeze;
    use crate::optim::rules::ParameterRule;
    use crate::optim::{Optimiser, OptimiserConfig};
    use burn::module::{Module, ModuleVisitor, Param};
    use burn::optim::GradientsParams;
    use burn::tensor::{Device, Tensor, TensorData};

    fn set(text: &str) -> LayerSet {
        text.parse().unwrap()
    }

    fn state<M: Module>(model: &M) -> State {
        pollster::block_on(read_state(model)).unwrap()
    }

    /// Numbers of a full-sized network that learn; nothing of it is drawn.
    fn trained(set: LayerSet, variant: UnetVariant) -> usize {
        struct Count(crate::checkpoint::StateNames, LayerSet, usize);
        impl ModuleVisitor for Count {
            fn enter_module(&mut self, name: &str, container: &str) {
                self.0.enter(name, container);
            }
            fn exit_module(&mut self, _: &str, _: &str) {
                self.0.exit();
            }
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                if self.1.trains(&self.0.name()) {
                    self.2 += param.lazy_shape().num_elements();
                }
            }
        }
        let mut count = Count(Default::default(), set, 0);
        UnetConfig { variant, ..UnetConfig::default() }.init(&Device::flex()).visit(&mut count);
        count.2
    }

    /// The 17 steps of gradual fine-tuning: 1 to 8 blocks from either end, and all, in which both directions end.
    fn gradual() -> Vec<LayerSet> {
        let steps = 1..BLOCKS;
        steps.clone().map(LayerSet::Shallow).chain(steps.map(LayerSet::Deep)).chain([LayerSet::All]).collect()
    }

    #[test]
    fn counts_of_the_paper() {
        let plain = |text: &str| trained(set(text), UnetVariant::Plain);
        let cumulative =
            [37_568, 259_008, 1_144_256, 4_684_224, 18_842_048, 28_280_256, 30_640_064, 31_230_144, 31_377_793];
        for (index, expected) in cumulative.into_iter().enumerate() {
            let blocks = index + 1;
            assert_eq!(plain(&format!("shallow-{blocks}")), expected);
            if blocks < BLOCKS {
                assert_eq!(plain(&format!("deep-{}", BLOCKS - blocks)), 31_377_793 - expected);
            }
        }
        assert_eq!((plain("contracting"), plain("expanding")), (9_403_840, 21_973_953));
        let variant = UnetVariant::UpConv2x2;
        assert_eq!(trained(LayerSet::Deep(4), variant), 12_188_545);
        assert_eq!(trained(LayerSet::Expanding, variant), 31_030_593 - 9_403_840);
    }

    #[test]
    fn names_lead_there_and_back_and_others_are_refused() {
        let gradual = gradual();
        assert_eq!(gradual.len(), 17);
        for (index, &one) in gradual.iter().chain(&[LayerSet::Contracting, LayerSet::Expanding]).enumerate() {
            assert_eq!(set(&one.to_string()), one);
            assert!(!gradual[..index.min(17)].contains(&one), "{one} is there twice");
        }
        assert_eq!((set("shallow-9"), set("deep-9")), (LayerSet::All, LayerSet::All));
        let json = serde_json::to_string(&LayerSet::Deep(3)).unwrap();
        assert_eq!((json.as_str(), serde_json::from_str(&json).unwrap()), ("\"deep-3\"", LayerSet::Deep(3)));
        for wrong in ["", "shallow", "shallow-0", "deep-10", "deep-", "deep--1", "middle-2", "last-0", "All"] {
            let message = wrong.parse::<LayerSet>().unwrap_err();
            assert!(message.contains("shallow-K"), "{wrong}: {message}");
        }
    }

    #[test]
    fn of_a_unetr_the_decoder_learns_with_the_last_blocks_of_the_encoder() {
        let trained = |text: &str| {
            let rules = set(text).of_encoder(crate::models::vit::VitConfig::new(16, 4, 2).rules("encoder.", true));
            let names =
                ["patch_embed.proj.weight", "blocks.0.norm1.weight", "blocks.2.mlp.fc1.weight", "blocks.3.norm1.bias"];
            let of_encoder = names.map(|name| rules(&format!("encoder.{name}"), 1).trained);
            (of_encoder, rules("out.weight", 4).trained)
        };
        assert_eq!(trained("all"), ([true; 4], true));
        assert_eq!(trained("last-2"), ([false, false, true, true], true));
        assert_eq!(trained("last-1"), ([false, false, false, true], true));
        assert_eq!(trained("decoder"), ([false; 4], true));
        assert_eq!(trained("deep-2"), ([false; 4], false), "a U-Net has them");
        for text in ["decoder", "last-3"] {
            assert_eq!((set(text).to_string().as_str(), set(text).is_of_encoder()), (text, true));
            assert!(!set(text).trains("enc1.conva.weight"));
        }
    }

    #[test]
    fn only_all_knows_names_that_no_unet_has() {
        let name = "encoder.blocks.0.norm1.weight";
        assert!(LayerSet::All.trains(name) && !set("shallow-8").trains(name));
    }

    fn rule(set: LayerSet, name: &str) -> ParameterRule {
        ParameterRule { rate_scale: 1.0, weight_decay: 0.5, trained: set.trains(name) }
    }

    /// The network after `updates` of `set`, and the moments.
    fn learn(unet: Unet, images: &Tensor<4>, set: LayerSet, updates: usize) -> (State, [State; 2]) {
        let config = AdamWConfig { clip_norm: Some(1.0), ..Default::default() };
        let mut adam = Optimiser::new(OptimiserConfig::AdamW(config));
        let unet = (0..updates).fold(unet, |unet, _| {
            let gradients = unet.forward(images.clone()).square().mean().backward();
            let gradients = GradientsParams::from_grads(gradients, &unet);
            adam.step(unet, gradients, 1e-2, |name, _| rule(set, name))
        });
        let mut moments = pollster::block_on(adam.state(&unet)).unwrap();
        (state(&unet), ["mean", "square"].map(|kind| moments.remove(kind).unwrap()))
    }

    /// A small network, and images for it.
    fn case(device: &Device) -> (Unet, Tensor<4>) {
        let config = UnetConfig { image_size: 16, base: 4, dropout: 0.0, ..UnetConfig::default() };
        let pixels: Vec<f32> = (0..2 * 256).map(|i| 5.0 * (i as f32 * 0.7).sin()).collect();
        (seeded(&config, device), Tensor::from_data(TensorData::new(pixels, [2, 1, 16, 16]), device))
    }

    #[test]
    fn what_is_frozen_stays_bit_by_bit_and_the_rest_moves() {
        let (start, images) = case(&Device::flex().autodiff());
        let before = state(&start);
        for set in gradual().into_iter().chain([LayerSet::Contracting, LayerSet::Expanding]) {
            let frozen = freeze(start.clone(), |name, _| rule(set, name));
            let gradients = frozen.forward(images.clone()).square().mean().backward();
            let computed = GradientsParams::from_grads(gradients, &frozen).len();
            assert_eq!(computed, before.keys().filter(|name| set.trains(name)).count(), "{set}: gradients computed");
            let (after, [mean, square]) = learn(frozen, &images, set, 2);
            assert_eq!(after, learn(start.clone(), &images, set, 2).0, "{set}: freezing changes no number");
            for (name, (_, numbers)) in &after {
                let trained = set.trains(name);
                assert_eq!(before[name].1 != *numbers, trained, "{set}: {name}");
                assert_eq!([mean.contains_key(name), square.contains_key(name)], [trained; 2], "{set}: {name}");
            }
        }
    }

    #[test]
    fn frozen_gradients_have_no_share_in_the_norm() {
        let (unet, images) = case(&Device::flex().autodiff());
        // After one update the mean is a tenth of the gradient, whose norm was brought down to 1.
        let norm_of_the_last_block = |set| {
            let (_, [mean, _]) = learn(unet.clone(), &images, set, 1);
            let numbers = mean.iter().filter(|(name, _)| LayerSet::Deep(1).trains(name)).flat_map(|(_, (_, m))| m);
            numbers.map(|&m| f64::from(m).powi(2)).sum::<f64>().sqrt()
        };
        let (alone, of_all) = (norm_of_the_last_block(LayerSet::Deep(1)), norm_of_the_last_block(LayerSet::All));
        assert!((alone - 0.1).abs() < 1e-4, "{alone}");
        assert!(of_all < 0.095, "{of_all}");
    }
}
