//! Public checkpoints become weights of our networks: every tensor of the file is used, or ignored by a rule, or the
//! import fails.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::blocks::positions::sincos_table;
use crate::checkpoint::numbers::{Numbers, Tensors};
use crate::checkpoint::tensors::read_tensors_under;
use crate::checkpoint::{CheckpointError, State};
use crate::models::vit::VitConfig;

mod file;
mod layout;
mod resnet;
mod vit;

use layout::Naming;

pub use file::{ImportHeader, read_import};
pub use layout::Layout;
pub use resnet::ResnetSizes;
pub use vit::DecoderSizes;

/// Names that a message lists before it says how many more there are.
const MOST_NAMES: usize = 20;

/// What the tensors of a file do not say, and what they must say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Attention heads of the encoder; none = one for each 64 of the width (ViT-H: 16).
    pub heads: Option<usize>,
    /// Attention heads of MAE's decoder; none = one for each 32 of the width, which makes the 16 of all public models.
    pub decoder_heads: Option<usize>,
    /// Height and width that the position table must be for; none = whatever it is for.
    pub image_size: Option<usize>,
    /// Dictionary of the file, or beginning of the names, that the weights are under; none = where they usually are.
    pub key: Option<String>,
}

/// Sizes of the network that a file holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sizes {
    /// The encoder of a vision transformer.
    Vit(VitConfig),
    /// A masked auto-encoder.
    Mae {
        /// Its encoder.
        encoder: VitConfig,
        /// Its decoder.
        decoder: DecoderSizes,
    },
    /// A residual network without its last layer.
    Resnet(ResnetSizes),
}

impl std::fmt::Display for Sizes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Vit(vit) | Self::Mae { encoder: vit, .. } => {
                let VitConfig { image_size, patch_size, channels, width, depth, heads, .. } = vit;
                write!(f, "a vision transformer (width {width}, depth {depth}")?;
                // Not known while a message says what else is wrong.
                if *heads > 0 {
                    write!(f, ", heads {heads}")?;
                }
                write!(f, ") for {channels} channels of {image_size}x{image_size} pixels in patches of {patch_size}")?;
            }
            Self::Resnet(ResnetSizes { block, channels, layers, planes, .. }) => {
                let block = format!("{block:?}").to_lowercase();
                write!(
                    f,
                    "a residual network of {layers:?} {block} blocks with {planes:?} planes for {channels} channels"
                )?;
            }
        }
        match self {
            Self::Mae { decoder: DecoderSizes { width, depth, heads, .. }, .. } => {
                write!(f, ", and a decoder (width {width}, depth {depth}, heads {heads})")
            }
            _ => Ok(()),
        }
    }
}

/// Weights from a file, with an account of all its tensors.
#[derive(Clone, Debug)]
pub struct Imported {
    /// How the file was understood.
    pub layout: Layout,
    /// What network it is.
    pub sizes: Sizes,
    /// Tensors of the file that became weights, by their names there.
    pub loaded: Vec<String>,
    /// Tensors of the file that a rule leaves out, by their names there.
    pub ignored: Vec<String>,
    /// Weights that a rule lets a file do without, by our names; they have their initial values.
    pub missing: Vec<String>,
    /// What is unusual, though allowed.
    pub warnings: Vec<String>,
    /// The weights by our names.
    pub state: State,
}

/// One weight of a network: our name and its shape.
type Weight = (String, Vec<usize>);

/// Read the checkpoint `bytes`, called `name` in messages, as `layout`.
///
/// Fails on a file that cannot be read, on tensors that are missing, misshapen, not finite or outside the rules (all are
/// named), and where `options` lacks what the file does not say.
pub fn import(name: &str, bytes: &[u8], layout: Layout, options: &ImportOptions) -> Result<Imported, CheckpointError> {
    import_tensors(read_tensors_under(name, bytes, options.key.as_deref())?, layout, options)
        .map_err(|reason| CheckpointError::Foreign { name: name.to_owned(), reason })
}

fn import_tensors(tensors: Tensors, layout: Layout, options: &ImportOptions) -> Result<Imported, String> {
    let reader = Reader { naming: layout.naming(&tensors), layout, tensors, key: options.key.clone() };
    let (sizes, weights, problem) = match layout {
        Layout::MaeEncoder | Layout::TimmVit | Layout::HfVitMae => vit::encoder(&reader, options),
        Layout::MaeFull => vit::auto_encoder(&reader, options),
        Layout::TorchvisionResnet | Layout::DenseCl => resnet::trunk(&reader),
    }
    .ok_or_else(|| reader.stranger())?;
    let mut imported = reader.collect(sizes, &weights)?;
    if let Some(problem) = problem {
        return Err(problem);
    }
    imported.warnings.extend(unusual_positions(&imported));
    Ok(imported)
}

/// A file while it is being understood.
struct Reader {
    layout: Layout,
    naming: Naming,
    tensors: Tensors,
    /// Where in the file the tensors are.
    key: Option<String>,
}

impl Reader {
    /// Shape of the tensor that stands for one of our weights, or for the first part of it. A tensor without numbers is
    /// none: its other sizes cost the file nothing and can be anything.
    fn shape(&self, ours: &str) -> Option<&[usize]> {
        let (shape, numbers) = self.tensors.get(self.naming.theirs(ours).first()?)?;
        (!numbers.is_empty()).then_some(shape.as_slice())
    }

    /// Length of a vector.
    fn length(&self, ours: &str) -> Option<usize> {
        self.shape(ours).filter(|shape| shape.len() == 1).map(|shape| shape[0])
    }

    /// One more than the highest number behind `start`. Never more than the file has tensors, whatever it claims.
    fn count(&self, start: &str) -> usize {
        let start = self.naming.start(start);
        let number = |name: &String| name.strip_prefix(&start)?.split('.').next()?.parse::<usize>().ok();
        self.tensors.keys().filter_map(number).filter(|&number| number < self.tensors.len()).max().map_or(0, |n| n + 1)
    }

    /// What to say of a file that has no likeness to the layout.
    fn stranger(&self) -> String {
        let some: Vec<&String> = self.tensors.keys().take(5).collect();
        let hint = match Layout::guess(&self.tensors) {
            Some(other) if other != self.layout => format!("; it looks like {}: try --as {0}", other.name()),
            _ => self.fronts().unwrap_or_default(),
        };
        format!("does not name its tensors as {} does; it holds, for example, {some:?}{hint}", self.layout.name())
    }

    /// What stands in front of the names of a network, if that is why the file is a stranger.
    fn fronts(&self) -> Option<String> {
        let fronts: BTreeSet<&str> = self
            .tensors
            .keys()
            .filter_map(|name| Layout::SIGNS.iter().find_map(|sign| name.strip_suffix(sign))?.strip_suffix('.'))
            .collect();
        let listed: Vec<String> = fronts.iter().take(5).map(|front| format!("`{front}.`")).collect();
        let first = fronts.first()?;
        let first = self.key.as_ref().map_or((*first).to_owned(), |key| format!("{key}.{first}"));
        Some(match fronts.len() {
            1 => format!("; the names of a network begin with {} there: take it off with --key {first}", listed[0]),
            _ => format!(
                "; networks begin there with {}: say which with --key, for example --key {first}",
                listed.join(", ")
            ),
        })
    }

    /// Take the weights of a network out of the file, and account for the rest.
    fn collect(mut self, sizes: Sizes, weights: &[Weight]) -> Result<Imported, String> {
        let mut state = State::new();
        let (mut loaded, mut missing) = (Vec::new(), Vec::new());
        let (mut absent, mut misshapen, mut broken) = (Vec::new(), Vec::new(), Vec::new());
        for (ours, shape) in weights {
            let theirs = self.naming.theirs(ours);
            if theirs.iter().all(|their| !self.tensors.contains_key(their))
                && let Some(initial) = self.layout.initial(ours, &self.tensors)
            {
                state.insert(ours.clone(), (shape.clone(), vec![initial; shape.iter().product()]));
                missing.push(ours.clone());
                continue;
            }
            // Parts lie one behind the other along the first axis.
            let mut part = shape.clone();
            part[0] /= theirs.len();
            let mut numbers = Vec::new();
            for their in theirs {
                match self.tensors.remove(&their) {
                    None => absent.push(their),
                    Some((found, _)) if found != part => {
                        misshapen.push(format!("{their} is {found:?} instead of {part:?}"));
                    }
                    Some((_, Numbers::Whole(_))) => broken.push(format!("{their} holds whole numbers")),
                    Some((_, Numbers::Real(found))) => {
                        match found.iter().filter(|number| !number.is_finite()).count() {
                            0 => {}
                            bad => broken.push(format!("{their} holds {bad} values that are no finite numbers")),
                        }
                        // The first part is moved and not copied: most weights have one part.
                        if numbers.is_empty() {
                            numbers = found;
                        } else {
                            numbers.extend(found);
                        }
                        loaded.push(their);
                    }
                }
            }
            state.insert(ours.clone(), (shape.clone(), numbers));
        }
        let (ignored, unexpected): (Vec<String>, Vec<String>) =
            self.tensors.keys().cloned().partition(|name| self.layout.ignores(name, &self.naming));
        let problems: Vec<String> = [
            ("missing", absent),
            ("not in the rules", unexpected),
            ("of another shape", misshapen),
            ("unusable", broken),
        ]
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| format!("{what}: {}", list(&names)))
        .collect();
        if problems.is_empty() {
            loaded.sort();
            return Ok(Imported { layout: self.layout, sizes, loaded, ignored, missing, warnings: Vec::new(), state });
        }
        let positions = match weights.iter().find(|(ours, _)| ours == "pos_embed") {
            Some((_, shape)) => format!(", whose position table has the shape {shape:?}"),
            None => String::new(),
        };
        Err(format!("does not fit the rules of {} for {sizes}{positions}. {}", self.layout.name(), problems.join(". ")))
    }
}

/// The first names of a list, and how many more there are.
fn list(names: &[String]) -> String {
    let shown = names.iter().take(MOST_NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MOST_NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// MAE's position table never changes, so another one means that the file was trained on or is no MAE.
fn unusual_positions(imported: &Imported) -> Option<String> {
    let (Sizes::Vit(vit) | Sizes::Mae { encoder: vit, .. }) = &imported.sizes else { return None };
    if imported.layout == Layout::TimmVit {
        return None;
    }
    let (_, found) = imported.state.get("pos_embed")?;
    let table = sincos_table(vit.width, vit.grid());
    let apart = found.iter().zip(&table).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    // Half precision keeps values up to 1 to 5e-4.
    (apart > 1e-3).then(|| {
        format!("its position table differs from MAE's sine-cosine table by up to {apart:.3}, so it was trained on or is no MAE's")
    })
}

#[cfg(test)]
mod tests;
