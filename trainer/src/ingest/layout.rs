//! What names of folders and files say: where pictures are, where their masks, and what is neither.
//!
//! The words of a name decide, so that `masks`, `train_masks`, `ann_dir`, `labelsTr`, `SegmentationClass` and `GroundTruth`
//! are all understood; what is left of the name (`train`) says which folder of pictures belongs to it.

use std::sync::LazyLock;

use regex::Regex;

const IMAGE_WORDS: [&str; 9] = ["images", "image", "imgs", "img", "pictures", "photos", "frames", "frame", "img8bit"];
const MASK_WORDS: [&str; 27] = [
    "masks",
    "mask",
    "labels",
    "label",
    "annotations",
    "annotation",
    "ann",
    "anns",
    "annot",
    "annots",
    "segmentations",
    "segmentation",
    "segs",
    "seg",
    "gt",
    "gts",
    "gtfine",
    "groundtruth",
    "groundtruths",
    "ground",
    "truth",
    "truths",
    "trimaps",
    "trimap",
    "labelmaps",
    "manual",
    "manuals",
];
/// Words that say nothing.
const FILLERS: [&str; 19] = [
    "dir", "dirs", "folder", "png", "pngs", "jpg", "jpeg", "tif", "tiff", "bmp", "gif", "class", "raw", "semantic",
    "pixel", "binary", "original", "orig", "st",
];
/// Words for pictures of masks, which are neither.
const SHOWN: [&str; 7] = ["visualization", "visualizations", "visualisation", "viz", "vis", "overlay", "overlays"];

/// What the name of a folder says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Pictures; with what is left of the name.
    Images(String),
    /// Masks; with what is left of the name.
    Masks(String),
    /// Neither, with the reason.
    Aside(&'static str),
    /// Nothing; with what tells it from its neighbours.
    Plain(String),
}

impl Role {
    pub(super) fn of(folder: &str) -> Self {
        let words = words(folder);
        let has = |known: &[&str]| words.iter().any(|word| known.contains(&word.as_str()));
        let only =
            |known: &[&[&str]]| words.iter().all(|word| known.iter().any(|known| known.contains(&word.as_str())));
        let rest = |known: &[&str]| {
            let left = words.iter().filter(|word| !known.contains(&word.as_str()) && !FILLERS.contains(&word.as_str()));
            left.map(String::as_str).collect::<Vec<_>>().join(" ")
        };
        match () {
            () if has(&["segmentation"]) && has(&["object", "objects"]) => Self::Aside(
                "every object has a colour of its own there, which says no class: the masks of classes are used",
            ),
            () if has(&SHOWN) && only(&[&SHOWN, &MASK_WORDS, &IMAGE_WORDS, &FILLERS]) => Self::Aside(
                "masks laid over pictures, which are neither: if they are pictures, give the folder another name",
            ),
            () if has(&MASK_WORDS) => Self::Masks(rest(&[&MASK_WORDS[..], &IMAGE_WORDS[..]].concat())),
            () if has(&IMAGE_WORDS) => Self::Images(rest(&IMAGE_WORDS)),
            () => Self::Plain(rest(&[])),
        }
    }

    /// A folder of masks by its whole name, whatever lies beside it.
    pub(super) fn is_surely_masks(&self) -> bool {
        matches!(self, Self::Masks(rest) if ["", "tr", "ts"].contains(&rest.as_str()))
    }
}

/// Whether a folder's name says no more than that there are pictures.
pub(super) fn only_images(folder: &str) -> bool {
    matches!(Role::of(folder), Role::Images(rest) if ["", "tr", "ts"].contains(&rest.as_str()))
}

/// The words of a name in small letters: `SegmentationClass` has two, `JPEGImages` too, `trainannot` as well.
fn words(name: &str) -> Vec<String> {
    let letters: Vec<char> = name.chars().collect();
    let mut words = vec![String::new()];
    for (at, &letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| letters[at]);
        let after = letters.get(at + 1);
        let hump = letter.is_uppercase()
            && before.is_some_and(|before| {
                before.is_lowercase() || before.is_uppercase() && after.is_some_and(|after| after.is_lowercase())
            });
        if hump || !letter.is_alphanumeric() {
            words.push(String::new());
        }
        if letter.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(letter.to_lowercase());
        }
    }
    let glued = |word: String| -> Vec<String> {
        let parts = |at: usize| vec![word[..at].to_owned(), word[at..].to_owned()];
        if ["imagestr", "imagests", "labelstr", "labelsts"].contains(&word.as_str()) {
            return parts(6);
        }
        if ["segmentationclass", "segmentationobject"].contains(&word.as_str()) {
            return parts("segmentation".len());
        }
        let ends = ["annot", "masks", "mask", "labels", "label", "images"];
        match ends.iter().find(|end| word.ends_with(*end) && word.len() > end.len()) {
            Some(end) => parts(word.len() - end.len()),
            None => vec![word],
        }
    };
    words.into_iter().filter(|word| !word.is_empty()).flat_map(glued).collect()
}

static MASK_NAME: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let words = "masks?|seg|segmentation|labels?|gt|annotation|annot|anno|groundtruth|ground_truth|manual\\d?|trimap|\
                 (?:gtfine_)?label(?:train)?ids|gtfine_color|1sth0|1stho|2ndho";
    Regex::new(&format!(r"(?i)^(.+?)[ _.-](?:{words})(?:[ _-]?\d+)?$")).ok()
});
static MASK_BEGINNING: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?i)^(?:masks?|seg|segmentation|labels?|gt|annotation)[ _-](.+)$").ok());
static PICTURE_NAME: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)^(.+?)[ _.-](?:image|img|sat|leftimg8bit|original|orig|picture|training|test)$").ok()
});
static PICTURE_BEGINNING: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?i)^(?:image|img|picture|frame|scan)[ _-](.+)$").ok());

fn capture(pattern: &Option<Regex>, text: &str) -> Option<String> {
    Some(pattern.as_ref()?.captures(text)?[1].to_owned())
}

/// What a mask's picture may be called, if the name says that it is a mask.
pub(super) fn bare_mask(stem: &str) -> Vec<String> {
    [&*MASK_NAME, &*MASK_BEGINNING].into_iter().filter_map(|pattern| capture(pattern, stem)).collect()
}

/// What a picture is called without the words that say that it is one; masks leave them out or write others.
pub(super) fn bare_pictures(stem: &str) -> Vec<String> {
    [&*PICTURE_NAME, &*PICTURE_BEGINNING].into_iter().filter_map(|pattern| capture(pattern, stem)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_folders_are_understood_by_their_words() {
        let masks = |rest: &str| Role::Masks(rest.to_owned());
        for (folder, role) in [
            ("masks", masks("")),
            ("SegmentationClass", masks("")),
            ("SegmentationClassPNG", masks("")),
            ("SegmentationMasks", masks("")),
            ("segmentationclass", masks("")),
            ("train_masks", masks("train")),
            ("trainannot", masks("train")),
            ("masks_train", masks("train")),
            ("ann_dir", masks("")),
            ("labelsTr", masks("tr")),
            ("labelstr", masks("tr")),
            ("GroundTruth", masks("")),
            ("ground-truth", masks("")),
            ("fixed_labels", masks("fixed")),
            ("img_dir", Role::Images(String::new())),
            ("JPEGImages", Role::Images(String::new())),
            ("imagesTs", Role::Images("ts".into())),
            ("train_images", Role::Images("train".into())),
            ("train", Role::Plain("train".into())),
            ("Patient 7", Role::Plain("patient 7".into())),
        ] {
            assert_eq!(Role::of(folder), role, "{folder}");
        }
        for aside in ["SegmentationObject", "SegmentationClassVisualization", "overlays"] {
            assert!(matches!(Role::of(aside), Role::Aside(_)), "{aside}");
        }
        assert!(only_images("imagesTr") && !only_images("train_images") && !only_images("P03"));
    }

    #[test]
    fn names_of_masks_lead_to_their_pictures() {
        for (mask, picture) in [
            ("x_mask", "x"),
            ("benign (1)_mask_1", "benign (1)"),
            ("mask_x", "x"),
            ("x_gtFine_labelIds", "x"),
            ("21_manual1", "21"),
            ("x.mask", "x"),
        ] {
            assert!(bare_mask(mask).contains(&picture.to_owned()), "{mask}: {:?}", bare_mask(mask));
        }
        assert!(bare_mask("x_flip").is_empty() && bare_mask("mask").is_empty());
        assert_eq!((bare_pictures("7_sat"), bare_pictures("7")), (vec!["7".to_owned()], vec![]));
    }
}
