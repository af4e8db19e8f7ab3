//! Which picture is the mask of which: by the names of folders (`images/` and `masks/`, `train/` and `train_masks/`,
//! nnU-Net's `imagesTr/` and `labelsTr/`, VOC's `JPEGImages/` and `SegmentationClass/`, mmseg's `img_dir/` and `ann_dir/`),
//! by those of files (`name.png` and `name_mask.png`), or because a person says so (`--masks`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use regex::Regex;
use sonoseg_imaging::outlines::Drawing;

use super::layout::{Role, bare_mask, bare_pictures, only_images};
use super::sources::{Found, Remark};
use crate::failure::Usage;
use crate::files;

static CHANNEL: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^(.+)_(\d{4})$").ok());
static LAST_NUMBER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(\d+)\D*$").ok());

/// A picture with its masks: several where every object has one of its own.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Still {
    pub(super) file: Found,
    pub(super) masks: Vec<PathBuf>,
    /// The objects that somebody drew in it, and the file that says so.
    pub(super) drawn: Option<(PathBuf, Arc<Drawing>)>,
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
        self.file.folders.iter().filter(|folder| !only_images(folder))
    }

    pub(super) fn is_labelled(&self) -> bool {
        !self.masks.is_empty() || self.drawn.is_some()
    }
}

/// Where a person says that masks are.
#[derive(Clone, Debug)]
pub(super) enum Given {
    /// In this folder.
    Folder(PathBuf),
    /// In files with this ending or beginning of the name.
    Affix(String),
}

impl Given {
    pub(super) fn of(text: &Path) -> Result<Self, Usage> {
        if text.is_dir() {
            return Ok(Self::Folder(text.canonicalize().unwrap_or_else(|_| text.to_owned())));
        }
        let name = text.to_string_lossy().into_owned();
        let joint = |letter: Option<char>| letter.is_some_and(|letter| "_-. ".contains(letter));
        if joint(name.chars().next()) || joint(name.chars().last()) {
            return Ok(Self::Affix(name));
        }
        Err(Usage(format!("--masks: {name} is neither a folder nor an ending of names such as _label")))
    }

    /// What the picture of a mask may be called, if the file is one.
    fn stems(&self, file: &Found) -> Option<Vec<String>> {
        let stem = file.stem();
        match self {
            Self::Folder(folder) => {
                let path = file.path.canonicalize().unwrap_or_else(|_| file.path.clone());
                path.starts_with(folder).then(|| [vec![stem.clone()], bare_mask(&stem)].concat())
            }
            Self::Affix(affix) => {
                let bare = stem.strip_suffix(affix.as_str()).or_else(|| stem.strip_prefix(affix.as_str()))?;
                (!bare.is_empty()).then(|| vec![bare.to_owned()])
            }
        }
    }
}

/// Pictures with their masks, and what is wrong.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    pub(super) stills: Vec<Still>,
    /// Further channels and the like, which are left aside.
    pub(super) skipped: Vec<Remark>,
    /// Masks without a picture.
    pub(super) failed: Vec<Remark>,
    /// How masks were found, for people.
    pub(super) ways: BTreeSet<&'static str>,
}

const BY_FOLDER: &str = "masks in a folder of their own, by the same name";
const BY_NAME: &str = "masks beside the pictures, by the ending of the name";
const GIVEN: &str = "masks where --masks says";

/// Folders, with the one that says "images" or "masks" replaced or left out, and a stem.
type Place = (Vec<String>, String);

/// A file that may be a mask.
struct Candidate {
    file: Found,
    /// Where its picture may be, the likeliest first.
    places: Vec<Place>,
    way: &'static str,
    /// Without its picture it is an error, and not a picture itself.
    sure: bool,
}

impl Pairs {
    pub(super) fn find(pictures: Vec<Found>, given: &[Given]) -> Self {
        let mut pairs = Self::default();
        let (mut candidates, mut stills, mut by_hand) = (Vec::new(), Vec::new(), Vec::new());
        let beside: BTreeSet<(Option<PathBuf>, String)> = pictures
            .iter()
            .flat_map(|file| {
                let stem = file.stem();
                let folder = file.path.parent().map(PathBuf::from);
                let bare = bare_pictures(&stem);
                std::iter::once(stem).chain(bare).map(move |stem| (folder.clone(), stem)).collect::<Vec<_>>()
            })
            .collect();
        for file in pictures {
            if let Some(stems) = given.iter().find_map(|given| given.stems(&file)) {
                by_hand.push((file, stems));
                continue;
            }
            let stem = file.stem();
            let roles: Vec<Role> = file.folders.iter().map(|folder| Role::of(folder)).collect();
            let folder = file.path.parent().map(PathBuf::from);
            let bare = bare_mask(&stem);
            let has_picture = bare.iter().any(|bare| beside.contains(&(folder.clone(), bare.clone())));
            let at = roles.iter().rposition(|role| !matches!(role, Role::Plain(_)));
            match at.map(|at| &roles[at]) {
                Some(Role::Aside(reason)) => pairs.skipped.push(Remark::new(files::absolute(&file.path), reason)),
                Some(role @ Role::Masks(_)) => {
                    let stems = [vec![stem], bare].concat();
                    let places = stems.iter().flat_map(|stem| places(&file, &roles, stem, true)).collect();
                    let sure = role.is_surely_masks() || has_picture;
                    candidates.push(Candidate { file, places, way: BY_FOLDER, sure });
                }
                _ if has_picture => {
                    let places = bare.iter().flat_map(|stem| places(&file, &roles, stem, true)).collect();
                    candidates.push(Candidate { file, places, way: BY_NAME, sure: true });
                }
                role => {
                    let of_nn_unet = matches!(role, Some(Role::Images(rest)) if rest == "tr" || rest == "ts");
                    let channel = CHANNEL.as_ref().filter(|_| of_nn_unet).and_then(|channel| channel.captures(&stem));
                    let stem = match channel {
                        Some(found) if &found[2] != "0000" => {
                            let reason = "a further channel of a picture: only _0000 is used";
                            pairs.skipped.push(Remark::new(files::absolute(&file.path), reason));
                            continue;
                        }
                        Some(found) => found[1].to_owned(),
                        None => stem.clone(),
                    };
                    stills.push((file, roles, stem));
                }
            }
        }
        let mut index = Index::default();
        for (file, roles, stem) in stills {
            index.add(file, &roles, stem);
        }
        // A folder like `lung_segmentation` may as well hold pictures: masks are there where some find their picture.
        let (sure, doubtful): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|candidate| candidate.sure);
        let found = |candidate: &Candidate| candidate.places.iter().any(|place| index.places.contains_key(place));
        let folders: BTreeSet<PathBuf> =
            doubtful.iter().filter(|one| found(one)).map(|one| parent(&one.file)).collect();
        let (masks, pictures): (Vec<_>, Vec<_>) =
            doubtful.into_iter().partition(|candidate| folders.contains(&parent(&candidate.file)));
        for Candidate { file, .. } in pictures {
            let roles: Vec<Role> = file.folders.iter().map(|folder| Role::of(folder)).collect();
            let stem = file.stem();
            index.add(file, &roles, stem);
        }
        for candidate in sure.into_iter().chain(masks) {
            let way = candidate.way;
            pairs.put(&mut index, candidate.file, way, |index| {
                candidate.places.iter().find_map(|place| index.places.get(place).cloned()).unwrap_or_default()
            });
        }
        for (file, stems) in by_hand {
            let folder = parent(&file);
            pairs.put(&mut index, file, GIVEN, |index| index.nearest(&folder, &stems));
        }
        pairs.stills = index.stills;
        pairs
    }

    /// Give a mask to its picture.
    fn put(&mut self, index: &mut Index, mask: Found, way: &'static str, owners: impl Fn(&Index) -> Vec<usize>) {
        let name = files::absolute(&mask.path);
        match owners(index)[..] {
            [one] => {
                self.ways.insert(way);
                index.stills[one].masks.push(mask.path);
            }
            [] => self.failed.push(Remark::new(name, "a mask without a picture")),
            [first, second, ..] => {
                let [first, second] = [first, second].map(|at| index.stills[at].file.below());
                let reason =
                    format!("a mask of which picture? {first} and {second} go by its name: take one of them out");
                self.failed.push(Remark::new(name, reason));
            }
        }
    }
}

fn parent(file: &Found) -> PathBuf {
    file.path.parent().map(PathBuf::from).unwrap_or_default()
}

/// Only what follows the source's own parent is compared, so that two sources `images` and `masks` find each other.
fn whole(file: &Found) -> Vec<String> {
    let parent = file.path.ancestors().nth(file.folders.len() + 1).map(|path| path.display().to_string());
    parent.into_iter().chain(file.folders.iter().cloned()).collect()
}

/// Places of a file: the folder that says "images" or "masks" replaced by what is left of its name, or left out. Pictures
/// also go by folders that say nothing, because `train_masks` belongs to `train`.
fn places(file: &Found, roles: &[Role], stem: &str, is_mask: bool) -> Vec<Place> {
    let folders = whole(file);
    let above = folders.len() - roles.len();
    let mut found = Vec::new();
    let last = roles.iter().rposition(|role| !matches!(role, Role::Plain(_)));
    for (at, role) in roles.iter().enumerate().rev() {
        let (Role::Images(rest) | Role::Masks(rest) | Role::Plain(rest)) = role else { continue };
        if Some(at) == last || (!is_mask && matches!(role, Role::Plain(_))) {
            let mut replaced = folders.clone();
            replaced[above + at] = format!("*{rest}");
            found.push((replaced, stem.to_owned()));
        }
    }
    let mut without = folders;
    if let Some(at) = last {
        without.remove(above + at);
    }
    // Pictures of `x/` have their masks in `x/masks/`, and those of `train/images/` in `masks/train/`.
    found.push((without, stem.to_owned()));
    found
}

/// Pictures by all the places that they go by.
#[derive(Default)]
struct Index {
    stills: Vec<Still>,
    places: BTreeMap<Place, Vec<usize>>,
    stems: BTreeMap<String, Vec<usize>>,
}

impl Index {
    fn add(&mut self, file: Found, roles: &[Role], stem: String) {
        let at = self.stills.len();
        let called: Vec<String> = std::iter::once(stem.clone()).chain(bare_pictures(&stem)).collect();
        for name in &called {
            for place in places(&file, roles, name, false) {
                let there = self.places.entry(place).or_default();
                if !there.contains(&at) {
                    there.push(at);
                }
            }
        }
        for name in called {
            self.stems.entry(name).or_default().push(at);
        }
        self.stills.push(Still { file, masks: Vec::new(), drawn: None, stem });
    }

    /// The pictures with one of these names that lie nearest to a folder: those that share most of the path's end and then
    /// of its beginning.
    fn nearest(&self, folder: &Path, stems: &[String]) -> Vec<usize> {
        let found = stems.iter().find_map(|stem| self.stems.get(stem)).cloned().unwrap_or_default();
        let near = |&at: &usize| nearness(folder, &parent(&self.stills[at].file));
        let best = found.iter().map(near).max();
        found.into_iter().filter(|at| Some(near(at)) == best).collect()
    }
}

/// How many folders two paths have in common, at the end and at the beginning.
pub(super) fn nearness(one: &Path, other: &Path) -> (usize, usize) {
    let full = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let (one, other) = (full(one), full(other));
    let same = |(a, b): &(std::path::Component<'_>, std::path::Component<'_>)| a == b;
    let end = one.components().rev().zip(other.components().rev()).take_while(same).count();
    (end, one.components().zip(other.components()).take_while(same).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn found(paths: &[&str]) -> Vec<Found> {
        let folders = |path: &str| {
            let parts: Vec<&str> = path.split('/').collect();
            parts[..parts.len() - 1].iter().map(|&part| part.to_owned()).collect()
        };
        let file = |path: &&str| Found { path: PathBuf::from("/data").join(path), folders: folders(path) };
        paths.iter().map(file).collect()
    }

    fn pairs(paths: &[&str]) -> Vec<(String, usize)> {
        let pairs = Pairs::find(found(paths), &[]);
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
        for (layout, paths) in [
            ("Carvana, Kaggle", ["s/train/a.jpg", "s/train_masks/a_mask.gif"]),
            ("Kaggle", ["s/train_images/a.jpg", "s/train_masks/a.png"]),
            ("VOC, CVAT", ["s/JPEGImages/a.jpg", "s/SegmentationClass/a.png"]),
            ("mmseg", ["s/img_dir/train/a.jpg", "s/ann_dir/train/a.png"]),
            ("split first", ["s/train/images/a.jpg", "s/train/masks/a.png"]),
            ("split last", ["s/train/images/a.jpg", "s/masks/train/a.png"]),
            ("CamVid", ["s/train/a.png", "s/trainannot/a.png"]),
            ("DRIVE", ["s/images/21_training.tif", "s/1st_manual/21_manual1.gif"]),
            ("Cityscapes", ["s/leftImg8bit/a/b_leftImg8bit.png", "s/gtFine/a/b_gtFine_labelIds.png"]),
            ("DeepGlobe", ["s/7_sat.jpg", "s/7_mask.png"]),
            ("inside", ["s/a.png", "s/masks/a.png"]),
            ("two sources", ["train/a.png", "train_masks/a.png"]),
            ("in one folder", ["s/images/a.png", "s/images/a_seg.png"]),
            ("prefix", ["s/images/7.png", "s/labels/label_7.png"]),
            ("DeepReg", ["s/fixed_images/7.png", "s/fixed_labels/7.png"]),
        ] {
            let pairs = pairs(&paths);
            assert_eq!(pairs.iter().map(|(_, masks)| *masks).collect::<Vec<_>>(), [1], "{layout}: {pairs:?}");
        }
        assert_eq!(pairs(&["lung_segmentation/p1/a.png"]), [one("a", 0)], "the name of a data set");
    }

    #[test]
    fn what_is_no_pair_is_told() {
        let pairs = Pairs::find(
            found(&[
                "s/images/a.png",
                "s/masks/b.png",
                "n/imagesTr/c_0001.png",
                "v/JPEGImages/d.jpg",
                "v/SegmentationObject/d.png",
                "t/images/e.png",
                "t/images/e.jpg",
                "t/masks/e.png",
            ]),
            &[],
        );
        assert_eq!((pairs.stills.len(), pairs.failed.len(), pairs.skipped.len()), (4, 2, 2), "{pairs:?}");
        assert!(pairs.failed[0].path.ends_with("masks/b.png"));
        assert!(pairs.failed[1].reason.contains("of which picture"), "{}", pairs.failed[1].reason);
    }

    #[test]
    fn a_person_says_where_masks_are() {
        let given = [Given::Folder("/data/s/drawn".into()), Given::Affix("_x".into())];
        let files = [
            "s/us/p1/a.png",
            "s/us/p2/a.png",
            "s/drawn/p1/a.png",
            "s/drawn/p2/a_mask.png",
            "s/us/b.png",
            "s/us/b_x.png",
        ];
        let pairs = Pairs::find(found(&files), &given);
        let masks: Vec<usize> = pairs.stills.iter().map(|still| still.masks.len()).collect();
        assert_eq!((masks, pairs.failed.len()), (vec![1, 1, 1], 0), "{pairs:?}");
        assert!(pairs.stills[1].masks[0].ends_with("p2/a_mask.png"));
        assert!(Given::of(Path::new("nowhere")).is_err() && Given::of(Path::new("_seg")).is_ok());
    }

    #[test]
    fn the_number_of_a_picture_is_the_last_in_its_name() {
        let number = |path| Pairs::find(found(&[path]), &[]).stills[0].number();
        assert_eq!(number("S1/S1_L20_step_025.png"), Some(25));
        assert_eq!(number("a/benign (12).png"), Some(12));
        assert_eq!(number("a/scan.png"), None);
    }
}
