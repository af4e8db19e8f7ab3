//! Pictures that look like masks of others: they must not be learned as pictures without a word.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use rayon::prelude::*;
use sonoseg_imaging::DataError;
use sonoseg_imaging::formats::{self, mask::read_mask};

use super::pairs::Still;
use crate::files;

/// Pictures of a folder that are looked at.
const LOOKED_AT: usize = 8;

/// Most colours of a mask, and the mean length of a run of one colour in it.
const MOST_COLOURS: usize = 32;
const SHORTEST_RUN: f64 = 3.0;

/// Pictures of a folder whose names have an ending that others of the folder lack, by their stem without it.
type Sets = BTreeMap<(PathBuf, String), BTreeMap<String, usize>>;

/// Stop where pictures are masks, as it seems. What looks so and has no pictures to belong to comes back, to be told.
pub(super) fn question(stills: &[Still]) -> Result<Vec<String>, DataError> {
    let sets = sets(stills);
    let mut notes = Vec::new();
    let flat: Vec<bool> = sets.par_iter().map(|(_, members)| mostly(members, stills, |look| look.is_flat())).collect();
    for (((folder, affix), members), _) in sets.iter().zip(&flat).filter(|(_, flat)| **flat) {
        let others =
            sets.iter().zip(&flat).filter(|((key, _), flat)| !**flat && *key != &(folder.clone(), affix.clone()));
        let mut partners = others.filter(|(((other, ending), theirs), _)| {
            let shared = members.keys().filter(|stem| theirs.contains_key(*stem)).count();
            let here = affix.is_empty() || other == folder;
            ending.is_empty() && here && shared > 0 && 2 * shared >= members.len()
        });
        let pictures = format!("{} of the pictures in {}", members.len(), folder.display());
        match partners.next() {
            Some((((other, _), _), _)) => {
                let (what, answer) = if affix.is_empty() {
                    (format!("go by the names of those in {}", other.display()), folder.display().to_string())
                } else {
                    (format!("go by the names of others there and `{affix}`"), format!("'{affix}'"))
                };
                return Err(DataError::Inconsistent(format!(
                    "{pictures} {what}, and have few flat colours, as masks have. Are they masks? Then say --masks {answer}. Are \
                     they pictures? Then say --no-masks"
                )));
            }
            None => notes.push(format!(
                "{pictures} have few flat colours, as masks have: are they no pictures? Then leave them out, or say whose \
                 masks they are (--masks)"
            )),
        }
    }
    Ok(notes)
}

fn sets(stills: &[Still]) -> Sets {
    let folder = |still: &Still| still.file.path.parent().map(PathBuf::from).unwrap_or_default();
    let mut folders: BTreeMap<PathBuf, BTreeMap<String, usize>> = BTreeMap::new();
    for (at, still) in stills.iter().enumerate() {
        folders.entry(folder(still)).or_default().insert(still.file.stem(), at);
    }
    let mut sets = Sets::new();
    for (folder, stems) in folders {
        for (stem, &at) in &stems {
            // A picture that has a mask is one.
            if stills[at].is_labelled() {
                sets.entry((folder.clone(), String::new())).or_default().insert(stem.clone(), at);
                continue;
            }
            let joints: Vec<usize> = stem.match_indices(['_', '-', '.', ' ']).map(|(joint, _)| joint).collect();
            let ending = joints.iter().rev().map(|&joint| (&stem[..joint], &stem[joint..]));
            let beginning = joints.iter().map(|&joint| (&stem[joint + 1..], &stem[..=joint]));
            let affix = ending.chain(beginning).find(|(bare, _)| !bare.is_empty() && stems.contains_key(*bare));
            let (bare, affix) = affix.unwrap_or((stem, ""));
            sets.entry((folder.clone(), affix.to_owned())).or_default().insert(bare.to_owned(), at);
        }
    }
    sets
}

fn mostly(members: &BTreeMap<String, usize>, stills: &[Still], is: impl Fn(&Look) -> bool) -> bool {
    let step = members.len().div_ceil(LOOKED_AT).max(1);
    let unlabelled = members.values().filter(|&&at| !stills[at].is_labelled());
    let looks: Vec<Look> = unlabelled.step_by(step).filter_map(|&at| Look::at(&stills[at])).collect();
    2 * looks.iter().filter(|look| is(look)).count() > looks.len()
}

/// How a picture looks.
struct Look {
    colours: usize,
    run: f64,
    /// Black and white with soft edges.
    two_levels: bool,
}

impl Look {
    fn at(still: &Still) -> Option<Self> {
        let name = files::absolute(&still.file.path);
        let bytes = fs::read(&still.file.path).ok()?;
        let image = formats::open(&name, bytes.clone()).ok()?.frame(0).ok()?;
        let plane = image.height * image.width;
        let levels = image.to_bytes();
        let (mut colours, mut runs, mut last) = (std::collections::BTreeSet::new(), 0_usize, None);
        for at in 0..plane {
            let colour: Vec<u8> = levels[at * image.channels..][..image.channels].to_vec();
            runs += usize::from(last.as_ref() != Some(&colour));
            if colours.len() <= MOST_COLOURS {
                colours.insert(colour.clone());
            }
            last = Some(colour);
        }
        let soft = colours.len() > MOST_COLOURS && image.channels == 1;
        let two_levels = soft
            && read_mask(&name, bytes).is_ok_and(|mask| {
                let white = mask.values.iter().filter(|&&value| value > 0).count();
                // A dark picture is no mask, because nearly nothing of it is white.
                mask.thresholded && white * 50 > plane
            });
        Some(Self { colours: colours.len(), run: plane as f64 / runs.max(1) as f64, two_levels })
    }

    fn is_flat(&self) -> bool {
        self.colours <= MOST_COLOURS && self.run >= SHORTEST_RUN || self.two_levels
    }
}
