//! Which picture is the mask of which: by folders (`images/` and `masks/`, nnU-Net's `imagesTr/` and `labelsTr/`) or by
//! names (`name.png` and `name_mask.png`).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;

use regex::Regex;

use super::sources::{Found, Remark};
use crate::files;

const IMAGE_FOLDERS: [&str; 7] = ["images", "image", "imgs", "img", "frames", "imagestr", "imagests"];
const MASK_FOLDERS: [&str; 12] = [
    "masks",
    "mask",
    "labels",
    "label",
    "annotations",
    "segmentations",
    "segmentation",
    "gt",
    "groundtruth",
    "trimaps",
    "labelstr",
    "labelsts",
];

static MASK_NAME: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)^(.+?)[ _-](?:mask|seg|segmentation|label|labels|gt|annotation)(?:[ _-]?\d+)?$").ok()
});
static CHANNEL: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^(.+)_(\d{4})$").ok());
static LAST_NUMBER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(\d+)\D*$").ok());

/// A picture with its masks: several where every object has one of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Still {
    pub(super) file: Found,
    pub(super) masks: Vec<PathBuf>,
    /// The name without what says nothing about the picture (the channel of nnU-Net).
    pub(super) stem: String,
}

impl Still {
    /// The last number of the name.
    pub(super) fn number(&self) -> Option<usize> {
        LAST_NUMBER.as_ref()?.captures(&self.stem)?[1].parse().ok()
    }

    /// Folders that say something about the picture: not `images`.
    pub(super) fn folders(&self) -> impl DoubleEndedIterator<Item = &String> {
        self.file.folders.iter().filter(|folder| !IMAGE_FOLDERS.contains(&folder.to_lowercase().as_str()))
    }
}

/// Pictures with their masks, and what is wrong.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    pub(super) stills: Vec<Still>,
    /// Further channels, which are left aside.
    pub(super) skipped: Vec<Remark>,
    /// Masks without a picture.
    pub(super) failed: Vec<Remark>,
    /// How masks were found, for people.
    pub(super) ways: Vec<&'static str>,
}

/// Where a picture belongs: its folder, with the name of an image or mask folder replaced, and its stem.
type Place = (Vec<String>, String);

enum Role {
    Picture(Place),
    Mask(Place),
    Channel,
}

impl Pairs {
    pub(super) fn find(pictures: Vec<Found>) -> Self {
        let stems: BTreeMap<(Option<PathBuf>, String), ()> =
            pictures.iter().map(|file| ((file.path.parent().map(PathBuf::from), file.stem()), ())).collect();
        let mut pairs = Self::default();
        let (mut by_folder, mut by_name) = (false, false);
        let mut masks: Vec<(Place, Found)> = Vec::new();
        let mut stills: BTreeMap<(Place, String), Still> = BTreeMap::new();
        for file in pictures {
            let beside = |stem: &str| stems.contains_key(&(file.path.parent().map(PathBuf::from), stem.to_owned()));
            match role(&file, beside) {
                Role::Mask(place) => masks.push((place, file)),
                Role::Picture(place) => {
                    let key = (place.clone(), file.path.display().to_string());
                    stills.insert(key, Still { file, masks: Vec::new(), stem: place.1 });
                }
                Role::Channel => {
                    let reason = "a further channel of a picture: only _0000 is used";
                    pairs.skipped.push(Remark::new(files::absolute(&file.path), reason));
                }
            }
        }
        for ((folders, stem), file) in masks {
            // `masks/name_mask.png` belongs to `images/name.png`.
            let bare = capture(&MASK_NAME, &stem).unwrap_or_else(|| stem.clone());
            let place = [&stem, &bare].into_iter().map(|stem| (folders.clone(), stem.clone())).find(|place| {
                stills.range((place.clone(), String::new())..).next().is_some_and(|(key, _)| key.0 == *place)
            });
            let owner = place.and_then(|place| {
                stills.range_mut((place.clone(), String::new())..).next().filter(|(key, _)| key.0 == place)
            });
            match owner {
                Some((_, still)) => {
                    let beside = still.file.path.parent() == file.path.parent();
                    *(if beside { &mut by_name } else { &mut by_folder }) = true;
                    still.masks.push(file.path);
                }
                None => pairs.failed.push(Remark::new(files::absolute(&file.path), "a mask without a picture")),
            }
        }
        pairs.stills = stills.into_values().collect();
        pairs.ways.extend(by_folder.then_some("masks in a folder of their own, by the same name"));
        pairs.ways.extend(by_name.then_some("masks beside the pictures, by the ending of the name"));
        pairs
    }
}

fn role(file: &Found, beside: impl Fn(&str) -> bool) -> Role {
    let stem = file.stem();
    let lower: Vec<String> = file.folders.iter().map(|folder| folder.to_lowercase()).collect();
    let known = |names: &[&str], folder: &String| names.contains(&folder.as_str());
    let last = lower.iter().rposition(|folder| known(&IMAGE_FOLDERS, folder) || known(&MASK_FOLDERS, folder));
    // Only what follows the source's own parent is compared, so that two sources `images` and `masks` find each other.
    let parent = file.path.ancestors().nth(file.folders.len() + 1).map(|path| path.display().to_string());
    let mut folders: Vec<String> = parent.into_iter().chain(file.folders.iter().cloned()).collect();
    if let Some(at) = last {
        // nnU-Net keeps training and test pictures apart by these endings.
        let part = ["tr", "ts"].into_iter().find(|end| lower[at].ends_with(&format!("s{end}"))).unwrap_or_default();
        let place = folders.len() - file.folders.len() + at;
        folders[place] = format!("*{part}");
        if known(&MASK_FOLDERS, &lower[at]) {
            return Role::Mask((folders, stem));
        }
        if !part.is_empty()
            && let Some(found) = CHANNEL.as_ref().and_then(|channel| channel.captures(&stem))
        {
            return if &found[2] == "0000" { Role::Picture((folders, found[1].to_owned())) } else { Role::Channel };
        }
    }
    match capture(&MASK_NAME, &stem) {
        Some(bare) if beside(&bare) => Role::Mask((folders, bare)),
        _ => Role::Picture((folders, stem)),
    }
}

fn capture(pattern: &Option<Regex>, text: &str) -> Option<String> {
    Some(pattern.as_ref()?.captures(text)?[1].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(paths: &[&str]) -> Vec<Found> {
        let folders = |path: &str| {
            let parts: Vec<&str> = path.split('/').collect();
            parts[..parts.len() - 1].iter().map(|&part| part.to_owned()).collect()
        };
        let file = |path: &&str| Found { path: PathBuf::from("/data").join(path), folders: folders(path) };
        paths.iter().map(file).collect()
    }

    fn pairs(paths: &[&str]) -> Vec<(String, usize)> {
        let pairs = Pairs::find(found(paths));
        assert!(pairs.failed.is_empty() && pairs.skipped.is_empty(), "{pairs:?}");
        pairs.stills.iter().map(|still| (still.stem.clone(), still.masks.len())).collect()
    }

    #[test]
    fn masks_are_found_by_folder_and_by_name() {
        let one = |stem: &str, masks| (stem.to_owned(), masks);
        assert_eq!(
            pairs(&["set/images/a.png", "set/images/b.png", "set/masks/a.jpg"]),
            [one("a", 1), one("b", 0)],
            "folders, whatever the format"
        );
        assert_eq!(pairs(&["images/a.png", "masks/a_mask.png"]), [one("a", 1)], "two sources, and both ways at once");
        assert_eq!(
            pairs(&["s/benign (1).png", "s/benign (1)_mask.png", "s/benign (1)_mask_1.png"]),
            [one("benign (1)", 2)],
            "a mask for every lesion"
        );
        assert_eq!(
            pairs(&["s/imagesTr/c_1_0000.png", "s/labelsTr/c_1.png", "s/imagesTs/c_2_0000.png"]),
            [one("c_1", 1), one("c_2", 0)],
            "nnU-Net"
        );
        assert_eq!(pairs(&["s/x_mask.png"]), [one("x_mask", 0)], "without its picture it is one");
    }

    #[test]
    fn a_mask_alone_and_a_further_channel_are_told() {
        let pairs = Pairs::find(found(&["s/images/a.png", "s/masks/b.png", "n/imagesTr/c_0001.png"]));
        assert_eq!((pairs.stills.len(), pairs.failed.len(), pairs.skipped.len()), (1, 1, 1));
        assert!(pairs.failed[0].path.ends_with("masks/b.png"));
    }

    #[test]
    fn the_number_of_a_picture_is_the_last_in_its_name() {
        let number = |path| Pairs::find(found(&[path])).stills[0].number();
        assert_eq!(number("S1/S1_L20_step_025.png"), Some(25));
        assert_eq!(number("a/benign (12).png"), Some(12));
        assert_eq!(number("a/scan.png"), None);
    }
}
