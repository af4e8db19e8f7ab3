//! From the values of stored masks to classes: one table for a whole data set, so that a colour is one class in it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::mask::{Coding, MAX_CLASSES, StoredMask};
use crate::geometry::Mask;

/// Grey levels and palette entries below this are class numbers by themselves.
const INDEX_LIMIT: u32 = 32;

/// The value of pixels that nobody judged, in data sets that follow Pascal VOC.
const VOID: u32 = 255;

/// How the values of masks were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    /// A value is the number of its class.
    Numbers,
    /// Every grey level but 0 is a class, in rising order.
    Levels,
    /// Every colour but black is a class, in the order of red, green, blue.
    Colours,
    /// Objects are drawn as outlines whose classes have names; no file holds values.
    Names,
}

/// Which value is which class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassMap {
    /// How values were read.
    pub reading: Reading,
    /// Class of every value that occurs; [`Mask::IGNORE`] where nobody judged.
    pub classes: BTreeMap<u32, u8>,
    /// Names by class; the first is `background`.
    pub names: Vec<String>,
}

/// What people, or files beside the masks, say of their values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Grey levels and palette entries of pixels that nobody judged.
    pub ignore: BTreeSet<u32>,
    /// Colours `0xRRGGBB` of pixels that nobody judged.
    pub ignore_colours: BTreeSet<u32>,
    /// Names of classes by their number. Where there are any, values are class numbers.
    pub names: BTreeMap<u8, String>,
}

impl Told {
    /// Whether nobody judged the pixels of this value of a mask.
    pub fn ignores(&self, mask: &StoredMask, value: u32) -> bool {
        let (number, colour) = match &mask.coding {
            Coding::Palette(colours) => (Some(value), palette_colour(colours, value)),
            Coding::Grey => (Some(value), grey_colour(value)),
            Coding::Colour => (Some(value & 0xff).filter(|&level| grey_colour(level) == value), value),
        };
        self.ignore_colours.contains(&colour) || number.is_some_and(|number| self.ignore.contains(&number))
    }
}

/// All values of the masks of a data set.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    palette: BTreeMap<u32, BTreeSet<u32>>,
    grey: BTreeSet<u32>,
    colours: BTreeSet<u32>,
    /// Some mask holds class numbers beside [`VOID`].
    void: bool,
    /// Some mask holds colours.
    painted: bool,
}

impl Survey {
    /// Count a mask in. Masks with too many values are remembered as such.
    pub fn add(&mut self, mask: &StoredMask) {
        let values: Vec<u32> = mask.counts().into_keys().take(MAX_CLASSES + 1).collect();
        if mask.coding != Coding::Colour {
            self.void |= values.contains(&VOID) && values.iter().any(|value| (1..INDEX_LIMIT).contains(value));
        }
        match &mask.coding {
            Coding::Palette(colours) => {
                let black = |value: u32| palette_colour(colours, value) == 0;
                // Programs that make files small number their colours anew: then black is the background, not number 0.
                self.painted |= values.first() == Some(&0)
                    && !black(0)
                    && values.iter().any(|&value| value != VOID && black(value));
                for value in values {
                    let colour = palette_colour(colours, value);
                    self.colours.insert(colour);
                    self.palette.entry(value).or_default().insert(colour);
                }
            }
            Coding::Grey => {
                self.colours.extend(values.iter().map(|&value| grey_colour(value)));
                self.grey.extend(values);
            }
            Coding::Colour => {
                self.colours.extend(values);
                self.painted = true;
            }
        }
    }

    /// Whether all values are colours that a table knows.
    pub fn is_within(&self, map: &ClassMap) -> bool {
        self.colours.iter().all(|colour| map.classes.contains_key(colour))
    }

    /// Count in what another survey has seen.
    pub fn merge(&mut self, other: &Self) {
        for (&value, colours) in &other.palette {
            self.palette.entry(value).or_default().extend(colours);
        }
        self.grey.extend(&other.grey);
        self.colours.extend(&other.colours);
        self.void |= other.void;
        self.painted |= other.painted;
    }

    /// True where the value 255 stands beside class numbers: in many data sets nobody judged these pixels.
    pub fn has_void(&self) -> bool {
        self.void
    }

    /// The grey levels and palette entries that are told to be ignored.
    fn ignored_numbers(&self, told: &Told) -> BTreeSet<u32> {
        let entries = self.palette.iter().filter(|(_, colours)| colours.is_subset(&told.ignore_colours));
        let levels = self.grey.iter().filter(|level| told.ignore_colours.contains(&grey_colour(**level)));
        told.ignore.iter().chain(entries.map(|(entry, _)| entry)).chain(levels).copied().collect()
    }

    /// The colours that are told to be ignored.
    fn ignored_colours(&self, told: &Told) -> BTreeSet<u32> {
        let entries = told.ignore.iter().filter_map(|entry| self.palette.get(entry)).flatten().copied();
        let levels = told.ignore.iter().filter(|level| self.grey.contains(level)).map(|level| grey_colour(*level));
        told.ignore_colours.iter().copied().chain(entries).chain(levels).collect()
    }

    /// Whether some mask holds a value that is told to be ignored.
    pub fn holds_ignored(&self, told: &Told) -> bool {
        let numbers = self.ignored_numbers(told);
        self.grey.iter().chain(self.palette.keys()).any(|value| numbers.contains(value))
            || self.colours.iter().any(|colour| told.ignore_colours.contains(colour))
    }

    /// Decide what the values mean. `known` is the table of an earlier part of the same data set: its classes stay, and
    /// new values come after them. What is `told` comes before what the values look like.
    pub fn class_map(&self, known: Option<&ClassMap>, told: &Told) -> Result<ClassMap, String> {
        let ignored_before = known.iter().flat_map(|known| &known.classes).filter(|(_, class)| **class == Mask::IGNORE);
        let ignored_before: Vec<u32> = ignored_before.map(|(value, _)| *value).collect();
        let mut ignore = self.ignored_numbers(told);
        if known.is_some_and(|known| known.reading != Reading::Colours) {
            ignore.extend(&ignored_before);
        }
        let numbers: BTreeSet<u32> = self.grey.iter().chain(self.palette.keys()).copied().collect();
        let foreground: Vec<u32> =
            numbers.iter().copied().filter(|value| *value != 0 && !ignore.contains(value)).collect();
        let small = foreground.iter().all(|&value| value < INDEX_LIMIT || value == VOID);
        let largest = foreground.iter().copied().filter(|&value| value != VOID).max().unwrap_or(0);
        let named = told.names.keys().next_back().is_some_and(|&last| largest <= u32::from(last));
        let painted = self.painted
            || self.palette.values().any(|colours| colours.len() > 1)
            || (!self.palette.is_empty() && !self.grey.is_empty() && !small);
        let reading = match known {
            Some(known) => known.reading,
            None if painted => Reading::Colours,
            None if named && small && foreground != [VOID] => Reading::Numbers,
            None if foreground.len() > 1 && small || !self.palette.is_empty() || foreground == [1] => Reading::Numbers,
            None => Reading::Levels,
        };
        let mut map = known.cloned().unwrap_or_else(|| ClassMap {
            reading,
            classes: BTreeMap::from([(0, 0)]),
            names: vec!["background".into()],
        });
        if reading == Reading::Colours {
            ignore = self.ignored_colours(told);
            ignore.extend(ignored_before);
        }
        if let Some((value, class)) = map
            .classes
            .iter()
            .find(|(value, class)| ignore.contains(value) && **class != Mask::IGNORE && known.is_some())
        {
            return Err(format!(
                "The data set holds masks already in which {value} is class {class}, {}: masks in which nobody judged it need \
                 a data set of their own.",
                map.names[usize::from(*class)]
            ));
        }
        map.classes.extend(ignore.iter().map(|&value| (value, Mask::IGNORE)));
        match reading {
            Reading::Numbers if painted || !small => {
                return Err(
                    "Some masks hold class numbers and others colours or grey levels. Give each kind a folder and \
                     a data set of its own."
                        .into(),
                );
            }
            Reading::Numbers => {
                map.number(&foreground, self.void && !ignore.contains(&VOID))?;
                map.name(&told.names, known.map_or(1, |known| known.names.len()));
            }
            Reading::Names => {
                return Err("The data set has outlines with names of classes so far, and these pictures masks in files. Give each kind \
                            a data set of its own."
                    .into());
            }
            Reading::Levels if painted => {
                return Err(
                    "Some masks hold grey levels and others colours. Give each kind a data set of its own.".into()
                );
            }
            Reading::Levels => map.append(foreground, |value| format!("level {value}"))?,
            Reading::Colours => {
                if !self.colours.contains(&0) && !ignore.contains(&0) {
                    return Err("No mask has a black pixel, and black is the background.".into());
                }
                map.append(self.colours.iter().copied().filter(|&colour| colour != 0), colour_name)?;
            }
        }
        if map.names.len() == 2 && known.is_none() && reading != Reading::Colours && !told.names.contains_key(&1) {
            map.names[1] = "foreground".into();
        }
        Ok(map)
    }
}

impl ClassMap {
    /// Classes from number `first` on by their number, those that no mask holds included.
    fn name(&mut self, names: &BTreeMap<u8, String>, first: usize) {
        for (&class, name) in names.iter().filter(|(class, _)| (first..MAX_CLASSES).contains(&usize::from(**class))) {
            while self.names.len() <= usize::from(class) {
                self.names.push(format!("class {}", self.names.len()));
            }
            self.names[usize::from(class)].clone_from(name);
        }
    }

    /// Classes that no mask of the survey holds, by number and name.
    pub fn absent(&self) -> impl Iterator<Item = (usize, &str)> {
        let held = |class: usize| self.classes.values().any(|&other| usize::from(other) == class);
        self.names.iter().map(String::as_str).enumerate().skip(1).filter(move |(class, _)| !held(*class))
    }

    /// Whether some value means that nobody judged a pixel.
    pub fn ignores(&self) -> bool {
        self.classes.values().any(|&class| class == Mask::IGNORE)
    }

    /// Values are their own classes; [`VOID`] beside others is background, and alone it is the foreground.
    fn number(&mut self, values: &[u32], void: bool) -> Result<(), String> {
        let last = values.iter().copied().filter(|&value| value != VOID).max().unwrap_or(1);
        for &value in values {
            let class = match value {
                VOID if void => 0,
                VOID if last == 1 => 1,
                VOID => {
                    return Err(format!(
                        "Some masks are black and white (0 and 255) and others hold classes up to {last}. Give each kind \
                         a data set of its own."
                    ));
                }
                value => u8::try_from(value).unwrap_or(u8::MAX),
            };
            self.classes.insert(value, class);
        }
        while self.names.len() <= last as usize {
            self.names.push(format!("class {}", self.names.len()));
        }
        Ok(())
    }

    /// New values become the next classes.
    fn append(&mut self, values: impl IntoIterator<Item = u32>, name: impl Fn(u32) -> String) -> Result<(), String> {
        for value in values {
            if self.classes.contains_key(&value) {
                continue;
            }
            if self.names.len() == MAX_CLASSES {
                return Err(format!(
                    "The masks hold more than {MAX_CLASSES} different values, so that they are no masks. A mask has one \
                     value per class and hard edges. (`sonoseg ingest --one-class` takes all that they show as one object.)"
                ));
            }
            self.classes.insert(value, self.names.len() as u8);
            self.names.push(name(value));
        }
        Ok(())
    }

    /// The same classes under names that people gave, background not counted.
    pub fn named(mut self, names: &[String]) -> Result<Self, String> {
        if names.len() + 1 != self.names.len() {
            return Err(format!(
                "{} names are given for {} classes: {}",
                names.len(),
                self.names.len() - 1,
                self.names[1..].join(", ")
            ));
        }
        self.names.splice(1.., names.iter().cloned());
        Ok(self)
    }

    /// The classes of a mask. It fails for a value that the survey has not seen.
    pub fn apply(&self, mask: &StoredMask) -> Result<Mask, String> {
        let value = |value: u32| match (&mask.coding, self.reading) {
            (Coding::Palette(colours), Reading::Colours) => palette_colour(colours, value),
            (Coding::Grey, Reading::Colours) => grey_colour(value),
            _ => value,
        };
        let table: BTreeMap<u32, u8> = mask
            .counts()
            .into_keys()
            .map(|stored| match self.classes.get(&value(stored)) {
                Some(&class) => Ok((stored, class)),
                None => Err(format!("It holds the value {stored}, which belongs to no class.")),
            })
            .collect::<Result<_, _>>()?;
        let classes = mask.values.iter().map(|value| table.get(value).copied().unwrap_or(0)).collect();
        Ok(Mask { height: mask.height, width: mask.width, classes })
    }

    /// One line for people: which value became which class.
    pub fn describe(&self) -> String {
        let shown = |value: u32| match self.reading {
            Reading::Colours => format!("#{value:06x}"),
            _ => value.to_string(),
        };
        let pairs: Vec<String> = self
            .classes
            .iter()
            .map(|(&value, &class)| match self.names.get(usize::from(class)) {
                Some(name) => format!("{} = {class} {name}", shown(value)),
                None => format!("{} = ignored", shown(value)),
            })
            .collect();
        pairs.join(", ")
    }
}

fn palette_colour(colours: &[[u8; 3]], value: u32) -> u32 {
    let [r, g, b] = colours.get(value as usize).copied().unwrap_or_default();
    u32::from(r) << 16 | u32::from(g) << 8 | u32::from(b)
}

fn grey_colour(value: u32) -> u32 {
    value.min(255) * 0x01_01_01
}

fn colour_name(colour: u32) -> String {
    match colour {
        0xff_00_00 => "red".into(),
        0x00_ff_00 => "green".into(),
        0x00_00_ff => "blue".into(),
        0xff_ff_00 => "yellow".into(),
        0xff_00_ff => "magenta".into(),
        0x00_ff_ff => "cyan".into(),
        0xff_ff_ff => "white".into(),
        _ => format!("#{colour:06x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(coding: Coding, values: &[u32]) -> StoredMask {
        StoredMask {
            height: 1,
            width: values.len(),
            values: values.to_vec(),
            coding,
            thresholded: false,
            from_alpha: false,
        }
    }

    fn survey(masks: &[StoredMask]) -> Survey {
        let mut survey = Survey::default();
        masks.iter().for_each(|mask| survey.add(mask));
        survey
    }

    fn map(masks: &[StoredMask]) -> Result<ClassMap, String> {
        survey(masks).class_map(None, &Told::default())
    }

    const RED_FIRST: [[u8; 3]; 2] = [[0, 0, 0], [255, 0, 0]];
    const GREEN_FIRST: [[u8; 3]; 2] = [[0, 0, 0], [0, 255, 0]];

    #[test]
    fn numbers_levels_and_colours_are_told_apart() {
        let grey = |values: &[u32]| stored(Coding::Grey, values);
        let read = |masks: &[StoredMask]| {
            let map = map(masks).unwrap();
            (map.reading, map.apply(&masks[0]).unwrap().classes, map.names.len())
        };
        assert_eq!(read(&[grey(&[0, 2]), grey(&[0, 1])]), (Reading::Numbers, vec![0, 2], 3));
        assert_eq!(read(&[grey(&[0, 255])]), (Reading::Levels, vec![0, 1], 2));
        assert_eq!(read(&[grey(&[0, 255]), grey(&[0, 1])]), (Reading::Numbers, vec![0, 1], 2));
        assert_eq!(read(&[grey(&[0, 1, 255, 2])]), (Reading::Numbers, vec![0, 1, 0, 2], 3));
        assert_eq!(read(&[grey(&[0, 200, 100])]), (Reading::Levels, vec![0, 2, 1], 3));
        let red = stored(Coding::Palette(RED_FIRST.to_vec()), &[0, 1]);
        let green = stored(Coding::Palette(GREEN_FIRST.to_vec()), &[0, 1]);
        assert_eq!(read(std::slice::from_ref(&red)), (Reading::Numbers, vec![0, 1], 2));
        // The same number in two colours means that the colours are the classes.
        assert_eq!(read(&[red, green.clone()]), (Reading::Colours, vec![0, 2], 3));
        assert_eq!(read(&[stored(Coding::Colour, &[0xff_00_00, 0]), green]), (Reading::Colours, vec![2, 0], 3));
        // A palette in another order: black is number 1.
        let anew = stored(Coding::Palette(vec![[255; 3], [0; 3]]), &[1, 0, 1]);
        assert_eq!(read(&[anew]), (Reading::Colours, vec![0, 1, 0], 2));
        let error = map(&[grey(&[0, 255]), grey(&[0, 1, 2])]).unwrap_err();
        assert!(error.contains("black and white"), "{error}");
        assert!(map(&[stored(Coding::Colour, &[0x01_02_03])]).unwrap_err().contains("black"));
        let many: Vec<u32> = (0..1000).collect();
        assert!(map(&[stored(Coding::Colour, &many)]).unwrap_err().contains("no masks"));
    }

    #[test]
    fn a_second_part_keeps_the_classes_of_the_first_and_people_name_them() {
        let first = map(&[stored(Coding::Colour, &[0, 0xff_00_00])]).unwrap();
        let more = survey(&[stored(Coding::Colour, &[0, 0x00_ff_00, 0xff_00_00])]);
        let both = more.class_map(Some(&first), &Told::default()).unwrap();
        assert_eq!(both.names, ["background", "red", "green"]);
        assert_eq!(both.describe(), "#000000 = 0 background, #00ff00 = 2 green, #ff0000 = 1 red");
        let named = both.clone().named(&["malignant".into(), "benign".into()]).unwrap();
        assert_eq!(named.names, ["background", "malignant", "benign"]);
        assert!(both.named(&["one".into()]).unwrap_err().contains("red, green"));
        let unseen = stored(Coding::Colour, &[0x12_34_56]);
        assert!(first.apply(&unseen).unwrap_err().contains("no class"));
    }

    #[test]
    fn what_nobody_judged_is_no_class_in_any_reading() {
        let grey = |values: &[u32]| stored(Coding::Grey, values);
        let told = |ignore: &[u32], names: &[(u8, &str)]| Told {
            ignore: ignore.iter().copied().filter(|&value| value < 256).collect(),
            ignore_colours: ignore.iter().copied().filter(|&value| value > 255).collect(),
            names: names.iter().map(|&(class, name)| (class, name.to_owned())).collect(),
        };
        let read = |mask: &StoredMask, told: &Told| {
            let map = survey(std::slice::from_ref(mask)).class_map(None, told).unwrap();
            (map.apply(mask).unwrap().classes, map.names[1..].join(","), map.describe())
        };
        let nnunet = told(&[2], &[(1, "lesion")]);
        let (classes, names, described) = read(&grey(&[0, 1, 2]), &nnunet);
        assert_eq!((classes, names.as_str()), (vec![0, 1, 255], "lesion"));
        assert_eq!(described, "0 = 0 background, 1 = 1 lesion, 2 = ignored");
        assert_eq!(read(&grey(&[0, 2]), &nnunet).0, [0, 255], "no lesion in any mask");
        assert_eq!(read(&grey(&[0, 1, 255]), &told(&[255], &[])).0, [0, 1, 255], "the border of Pascal VOC");
        assert_eq!(read(&grey(&[0, 255, 100]), &told(&[100], &[])).0, [0, 1, 255], "beside black and white");
        let colours = stored(Coding::Colour, &[0, 0xff_00_00, 0xe0_e0_c0]);
        assert_eq!(read(&colours, &told(&[0xe0_e0_c0], &[])).0, [0, 1, 255]);
        assert_eq!(read(&grey(&[0, 1, 2]), &told(&[0], &[])).0, [255, 1, 2], "ADE20K's zero");
        let palette = stored(Coding::Palette(RED_FIRST.to_vec()), &[0, 1]);
        assert_eq!(read(&palette, &told(&[0xff_00_00], &[])).0, [0, 255], "an entry by its colour");
        let painted = survey(&[palette.clone(), stored(Coding::Palette(GREEN_FIRST.to_vec()), &[0, 1])]);
        let map = painted.class_map(None, &told(&[1], &[])).unwrap();
        assert_eq!(map.apply(&palette).unwrap().classes, [0, 255], "an entry where colours are the classes");
        // A data set goes on as it began.
        let first = survey(&[grey(&[0, 1, 2])]).class_map(None, &nnunet).unwrap();
        let more = survey(&[grey(&[0, 2])]).class_map(Some(&first), &Told::default()).unwrap();
        assert_eq!(more, first);
        let error = survey(&[grey(&[0, 1])]).class_map(Some(&first), &told(&[1], &[])).unwrap_err();
        assert!(error.contains("1 is class 1, lesion"), "{error}");
    }

    #[test]
    fn classes_that_no_mask_holds_keep_their_place() {
        let names = [(1, "lesion"), (2, "vessel"), (3, "nerve")].map(|(class, name)| (class, name.to_owned()));
        let told = Told { names: names.into(), ..Told::default() };
        for (values, absent) in
            [(vec![0, 1], vec![2, 3]), (vec![0, 2], vec![1, 3]), (vec![0], vec![1, 2, 3]), (vec![0, 1, 2, 3], vec![])]
        {
            let mask = stored(Coding::Grey, &values);
            let map = survey(std::slice::from_ref(&mask)).class_map(None, &told).unwrap();
            assert_eq!(map.names, ["background", "lesion", "vessel", "nerve"]);
            assert_eq!(map.apply(&mask).unwrap().classes, values.iter().map(|&v| v as u8).collect::<Vec<_>>());
            assert_eq!(map.absent().map(|(class, _)| class).collect::<Vec<_>>(), absent);
        }
        let beyond = survey(&[stored(Coding::Grey, &[0, 1, 4])]).class_map(None, &told).unwrap();
        assert_eq!(beyond.names[4], "class 4");
    }
}
