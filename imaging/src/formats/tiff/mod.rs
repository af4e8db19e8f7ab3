//! TIFF, classic and BigTIFF, of one page or many.
//!
//! Pages are the directories of the chain, those of the first page's size as people see it; thumbnails and reduced copies
//! have other sizes or hang below a page. Where there is one directory and its description says that there are more
//! pictures (ImageJ, tifffile), they follow the first one without directories.

mod chain;
mod page;

use super::samples::{Facts, Levels, PLAIN, Stored};
use super::{Refusal, check_size, orientation};
use crate::geometry::Image;
use chain::{Directory, File};
use page::Kind;
use std::ops::Range;

/// An opened TIFF.
#[derive(Debug)]
pub(super) struct Tiff {
    bytes: Vec<u8>,
    pages: Vec<Directory>,
    /// Pictures behind the first page that have no directories.
    behind: Option<Behind>,
    levels: Levels,
    lossy: bool,
    size: [usize; 2],
    notes: Vec<String>,
}

/// Pictures that follow the one of the only directory.
#[derive(Clone, Debug)]
struct Behind {
    first: Range<usize>,
    count: usize,
}

impl Tiff {
    /// Find the pages, and how their numbers become levels.
    pub(super) fn open(bytes: Vec<u8>) -> Result<Self, Refusal> {
        let file = File::new(&bytes);
        let chain = file.chain()?;
        let found = chain.directories.len();
        let mut pages = chain.directories;
        let seen = |page: &Directory| page.size(file).map(|stored| orientation::size(stored, page.orientation(file)));
        let size = seen(&pages[0])
            .ok_or_else(|| Refusal::unreadable("Its first page does not say its size. Copy or export it again."))?;
        check_size(size[0] as u64, size[1] as u64)?;
        pages.retain(|page| seen(page) == Some(size));
        let mut notes = Vec::new();
        if chain.cut {
            notes.push(format!(
                "The list of its pages leads out of the file after page {found}: what came after is lost. Copy or export it \
                 again."
            ));
        }
        if pages.len() < found {
            notes.push(format!(
                "{} of its {found} pages have another size than the first and are left out, as thumbnails are.",
                found - pages.len()
            ));
        }
        let kind = Kind::of(file, &pages[0])?;
        let behind = behind(file, &pages, found, &kind, &mut notes)?;
        let mut tiff = Self { pages, behind, levels: PLAIN, lossy: false, size, notes, bytes: Vec::new() };
        tiff.judge(file)?;
        tiff.bytes = bytes;
        Ok(tiff)
    }

    /// Find out how numbers become levels: of all pages, so that they stay alike.
    fn judge(&mut self, file: File<'_>) -> Result<(), Refusal> {
        let mut facts = Facts::default();
        let (mut lossy, mut turned) = (false, false);
        for index in 0..self.len() {
            let page = self.page(index);
            let kind = Kind::of(file, page).map_err(|refusal| self.at(index, refusal))?;
            lossy |= kind.is_lossy();
            turned |= page.orientation(file) != orientation::UPRIGHT;
            if !(kind.is_plain() || kind.is_sixteen() && facts.settled()) {
                facts.add(&self.stored(file, index)?);
            }
        }
        let (levels, notes) = facts.levels();
        (self.levels, self.lossy) = (levels, lossy);
        self.notes.extend(notes);
        self.notes.extend(turned.then(|| orientation::NOTE.to_owned()));
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.behind.as_ref().map_or(self.pages.len(), |behind| behind.count)
    }

    /// Height and width as people see them.
    pub(super) fn size(&self) -> [usize; 2] {
        self.size
    }

    pub(super) fn is_lossy(&self) -> bool {
        self.lossy
    }

    pub(super) fn notes(&self) -> &[String] {
        &self.notes
    }

    pub(super) fn frame(&self, index: usize) -> Result<Image, Refusal> {
        let file = File::new(&self.bytes);
        let image = self.stored(file, index)?.image(&self.levels);
        Ok(orientation::turn_image(image, self.page(index).orientation(file)))
    }

    /// A page's numbers as they are stored, and its orientation.
    pub(super) fn numbers(&self, index: usize) -> Result<(Stored, u8), Refusal> {
        let file = File::new(&self.bytes);
        Ok((self.stored(file, index)?, self.page(index).orientation(file)))
    }

    fn page(&self, index: usize) -> &Directory {
        if self.behind.is_some() { &self.pages[0] } else { &self.pages[index] }
    }

    fn stored(&self, file: File<'_>, index: usize) -> Result<Stored, Refusal> {
        let shift = self.behind.as_ref().map(|Behind { first, .. }| (first.clone(), index * first.len()));
        page::decode(file, self.page(index), shift).map_err(|refusal| self.at(index, refusal))
    }

    /// Say which page is refused, where there are several.
    fn at(&self, index: usize, refusal: Refusal) -> Refusal {
        let named = |reason: String| if self.len() > 1 { format!("Page {}: {reason}", index + 1) } else { reason };
        match refusal {
            Refusal::Unreadable(reason) => Refusal::Unreadable(named(reason)),
            Refusal::Unsupported(reason) => Refusal::Unsupported(named(reason)),
        }
    }
}

/// Pictures behind that of the only directory, if the description tells of any.
fn behind(
    file: File<'_>,
    pages: &[Directory],
    found: usize,
    kind: &Kind,
    notes: &mut Vec<String>,
) -> Result<Option<Behind>, Refusal> {
    let page = &pages[0];
    let description = String::from_utf8_lossy(page.description(file));
    let Some(told) = Told::of(&description, page.size(file), kind.samples) else { return Ok(None) };
    if told.channels > 1 {
        notes.push(format!("It holds {} channels, which are read as frames one after the other.", told.channels));
    }
    if told.count <= 1 || found > 1 {
        if told.count > found {
            notes.push(format!("It says that it holds {} pictures; {found} are in it. Export it again.", told.count));
        }
        return Ok(None);
    }
    let Some(first) = page::pixels(file, page, kind) else {
        return Err(Refusal::Unsupported(format!(
            "It says that it holds {} pictures and lists one, whose pixels do not lie in one piece. Save the stack with a \
             directory for every page, or as single files.",
            told.count
        )));
    };
    let held = file.bytes.len().saturating_sub(first.start) / first.len().max(1);
    if held < told.count {
        return Err(Refusal::Unreadable(format!(
            "It says that it holds {} pictures, and the file ends after {held}: it is cut short. Copy or export it again.",
            told.count
        )));
    }
    Ok(Some(Behind { first, count: told.count }))
}

/// What a description tells of pictures.
struct Told {
    count: usize,
    channels: usize,
}

impl Told {
    /// Of ImageJ (`images=12` on a line), or of tifffile (`{"shape": [12, 96, 128]}`).
    fn of(description: &str, size: Option<[usize; 2]>, samples: usize) -> Option<Self> {
        let text = description.trim_end_matches('\0');
        if text.starts_with("ImageJ=") {
            let number = |key: &str| -> Option<usize> {
                text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok())
            };
            return Some(Self { count: number("images=").unwrap_or(1), channels: number("channels=").unwrap_or(1) });
        }
        let json: serde_json::Value = serde_json::from_str(text).ok()?;
        let shape = json.get("shape")?.as_array()?.iter().map(|side| usize::try_from(side.as_u64()?).ok());
        let numbers = shape.collect::<Option<Vec<usize>>>()?.into_iter().try_fold(1_usize, usize::checked_mul)?;
        let [height, width] = size?;
        let picture = height.checked_mul(width)?.checked_mul(samples)?.max(1);
        numbers.is_multiple_of(picture).then_some(Self { count: numbers / picture, channels: 1 })
    }
}

#[cfg(test)]
mod tests;
