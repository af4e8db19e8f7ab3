//! A picture as its file stores it, and how its numbers become levels: decided once over all frames of the file, so that
//! they stay alike.
//!
//! | stored | black | white |
//! |---|---|---|
//! | whole numbers of 8 bits or fewer | 0 | the largest of so many bits |
//! | whole numbers of more, up to 65535 | 0 | the largest of 8, 10, 12, 14 or 16 bits: of the fewest that hold the file's largest |
//! | numbers with a fraction, all from 0 to 1 | 0 | 1 |
//! | others: signed, beyond 65535, or with a fraction and outside 0 to 1 | the file's lowest | the file's highest |
//!
//! Alpha lies over black, unless it tells nothing (0 everywhere) or the colours tell nothing (black everywhere).

use super::image_from;
use crate::geometry::Image;
use image::DynamicImage;

/// Numbers of a picture.
#[derive(Clone, Debug)]
pub(super) enum Samples {
    /// Of at most 8 bits.
    Eight(Vec<u8>),
    /// Whole numbers of more bits, none of them above 65535.
    Sixteen(Vec<u16>),
    /// Fractions, signed numbers and larger ones.
    Float(Vec<f32>),
}

/// A decoded picture before its numbers have become levels.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) height: usize,
    pub(super) width: usize,
    /// Samples of a pixel: 1 grey, 2 grey and alpha, 3 colour, 4 colour and alpha.
    pub(super) stride: usize,
    /// Interleaved `[height, width, stride]`.
    pub(super) samples: Samples,
    /// The largest number that samples of at most 8 bits can be: 255, or 1, 3 or 15 where a byte held several.
    pub(super) top: u8,
    /// True where 0 is white.
    pub(super) inverted: bool,
    /// True where the colours have been laid over black already, so that alpha must not do it again.
    pub(super) premultiplied: bool,
    /// Colours of a palette, of which the samples are the numbers.
    pub(super) palette: Option<Vec<[u8; 3]>>,
}

impl Stored {
    /// A picture that the `image` crate has decoded.
    pub(super) fn of(decoded: DynamicImage) -> Self {
        let (height, width) = (decoded.height() as usize, decoded.width() as usize);
        let (stride, samples) = match decoded {
            DynamicImage::ImageLuma8(b) => (1, Samples::Eight(b.into_raw())),
            DynamicImage::ImageLumaA8(b) => (2, Samples::Eight(b.into_raw())),
            DynamicImage::ImageRgb8(b) => (3, Samples::Eight(b.into_raw())),
            DynamicImage::ImageRgba8(b) => (4, Samples::Eight(b.into_raw())),
            DynamicImage::ImageLuma16(b) => (1, Samples::Sixteen(b.into_raw())),
            DynamicImage::ImageLumaA16(b) => (2, Samples::Sixteen(b.into_raw())),
            DynamicImage::ImageRgba16(b) => (4, Samples::Sixteen(b.into_raw())),
            other => (3, Samples::Sixteen(other.into_rgb16().into_raw())),
        };
        Self { height, width, stride, samples, top: 255, inverted: false, premultiplied: false, palette: None }
    }

    /// The picture as levels.
    pub(super) fn image(&self, levels: &Levels) -> Image {
        let Levels { black, white, .. } = *levels;
        let shown = |level: f32| if self.inverted { 1.0 - level } else { level };
        let top = f32::from(self.top);
        match &self.samples {
            Samples::Eight(v) => match &self.palette {
                Some(palette) => {
                    let colours: Vec<u8> = v.iter().flat_map(|&v| palette[usize::from(v)]).collect();
                    image_from(self.height, self.width, &colours, 3, |v| f32::from(v) / 255.0)
                }
                None => self.laid(v, levels.alpha, |v| shown(f32::from(v) / top)),
            },
            Samples::Sixteen(v) => {
                let level = |v: u16| ((f32::from(v) - black) / (white - black)).clamp(0.0, 1.0);
                self.laid(v, levels.alpha, |v| shown(level(v)))
            }
            Samples::Float(v) => {
                // In double precision, where the difference of the ends does not overflow.
                let (black, range) = (f64::from(black), f64::from(white) - f64::from(black));
                let level = |v: f32| ((f64::from(v) - black) / range).clamp(0.0, 1.0) as f32;
                self.laid(v, levels.alpha, |v| if v.is_nan() { 0.0 } else { shown(level(v)) })
            }
        }
    }

    fn laid<T: Copy + PartialEq>(&self, samples: &[T], alpha: Alpha, level: impl Fn(T) -> f32) -> Image {
        let Self { height, width, stride, .. } = *self;
        if !stride.is_multiple_of(2) {
            return image_from(height, width, samples, stride, level);
        }
        match alpha {
            Alpha::Over if !self.premultiplied => image_from(height, width, samples, stride, level),
            Alpha::Over | Alpha::Nothing => {
                let colours: Vec<T> = samples.chunks_exact(stride).flat_map(|p| &p[..stride - 1]).copied().collect();
                image_from(height, width, &colours, stride - 1, level)
            }
            Alpha::Picture => {
                let alpha: Vec<T> = samples.chunks_exact(stride).map(|p| p[stride - 1]).collect();
                image_from(height, width, &alpha, 1, level)
            }
        }
    }
}

/// What the alpha channel is for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Alpha {
    /// It lays the colours over black.
    Over,
    /// It is 0 everywhere, and the colours count.
    Nothing,
    /// It is the picture, because all colours are black.
    Picture,
}

/// How the numbers of a file become levels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Levels {
    black: f32,
    white: f32,
    alpha: Alpha,
}

/// What is told of a file whose alpha channel is the picture.
pub(super) const IN_ALPHA: &str =
    "Its colours are black everywhere, and its picture lies in the alpha channel, which is read instead.";

/// Levels of files whose numbers have 8 bits and no alpha.
pub(super) const PLAIN: Levels = Levels { black: 0.0, white: 65535.0, alpha: Alpha::Over };

/// What there is in the frames of a file.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    /// Largest of the numbers with 16 bits, of colours and of alpha.
    sixteen: Option<[u16; 2]>,
    /// Lowest and highest of the others.
    float: Option<[f32; 2]>,
    /// Some colour is not black.
    coloured: bool,
    /// Lowest and highest alpha.
    alpha: Option<[f32; 2]>,
}

impl Facts {
    /// Count a frame in.
    pub(super) fn add(&mut self, picture: &Stored) {
        match &picture.samples {
            Samples::Eight(v) => self.scan(picture, v, f32::from),
            Samples::Sixteen(v) => {
                self.scan(picture, v, f32::from);
                let has_alpha = picture.stride.is_multiple_of(2);
                let [mut colour, mut alpha] = self.sixteen.unwrap_or_default();
                for pixel in v.chunks_exact(picture.stride) {
                    let (colours, last) = pixel.split_at(picture.stride - usize::from(has_alpha));
                    colour = colours.iter().copied().fold(colour, u16::max);
                    alpha = last.iter().copied().fold(alpha, u16::max);
                }
                self.sixteen = Some([colour, alpha]);
            }
            Samples::Float(v) => {
                self.scan(picture, v, |v| v);
                let [low, high] = self.float.unwrap_or([f32::INFINITY, f32::NEG_INFINITY]);
                let has_alpha = picture.stride.is_multiple_of(2);
                let colours = v.chunks_exact(picture.stride).flat_map(|p| &p[..p.len() - usize::from(has_alpha)]);
                let numbers = colours.copied().filter(|v| v.is_finite());
                self.float = Some(numbers.fold([low, high], |[low, high], v| [low.min(v), high.max(v)]));
            }
        }
    }

    fn scan<T: Copy>(&mut self, picture: &Stored, samples: &[T], number: impl Fn(T) -> f32) {
        if !picture.stride.is_multiple_of(2) {
            self.coloured = true;
            return;
        }
        let [mut low, mut high] = self.alpha.unwrap_or([f32::INFINITY, f32::NEG_INFINITY]);
        for pixel in samples.chunks_exact(picture.stride) {
            let (colours, alpha) = pixel.split_at(picture.stride - 1);
            self.coloured |= colours.iter().any(|&v| number(v) != 0.0);
            (low, high) = alpha.iter().fold((low, high), |(low, high), &v| (low.min(number(v)), high.max(number(v))));
        }
        self.coloured |= picture.inverted;
        self.alpha = Some([low, high]);
    }

    /// True when more frames cannot change how numbers become levels.
    pub(super) fn settled(&self) -> bool {
        self.float.is_none() && self.alpha.is_none() && self.sixteen.is_some_and(|[highest, _]| bits(highest) == 16)
    }

    /// How the numbers become levels, and a sentence for everything about it that is doubtful.
    pub(super) fn levels(&self) -> (Levels, Vec<String>) {
        let mut notes = Vec::new();
        let alpha = match self.alpha {
            Some([low, high]) if !self.coloured && low < high => {
                notes.push(IN_ALPHA.to_owned());
                Alpha::Picture
            }
            Some([_, 0.0]) if self.coloured => {
                notes.push("It is transparent everywhere: its colours are read as if it were not.".to_owned());
                Alpha::Nothing
            }
            _ => Alpha::Over,
        };
        let (mut black, mut white) = (0.0, 65535.0);
        if let Some([colour, transparency]) = self.sixteen {
            let highest = if alpha == Alpha::Picture { transparency } else { colour };
            let bits = if highest == 0 { 16 } else { bits(highest) };
            white = (2_f32).powi(bits) - 1.0;
            if bits < 16 {
                notes.push(format!(
                    "Its numbers have 16 bits or more and use {bits} of them at most: {white} is read as white."
                ));
            }
        }
        if let Some([low, high]) = self.float.filter(|[low, high]| low <= high) {
            if low >= 0.0 && high <= 1.0 && self.sixteen.is_none() {
                white = 1.0;
            } else {
                let (first, last) = if self.sixteen.is_some() { (0.0, white) } else { (low, high) };
                (black, white) = (low.min(first), high.max(last));
                if black >= white {
                    (black, white) = (black.min(0.0), black.max(1.0));
                }
                notes.push(
                    "Its numbers are not all from 0 to 1 or from 0 to 65535: the lowest in the file is read as black and \
                     the highest as white."
                        .to_owned(),
                );
            }
        }
        (Levels { black, white, alpha }, notes)
    }
}

/// The fewest usual bits that hold a number.
fn bits(highest: u16) -> i32 {
    [8, 10, 12, 14].into_iter().find(|&bits| u32::from(highest) < 1 << bits).unwrap_or(16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(stride: usize, samples: Samples) -> Stored {
        let count = match &samples {
            Samples::Eight(v) => v.len(),
            Samples::Sixteen(v) => v.len(),
            Samples::Float(v) => v.len(),
        };
        let width = count / stride;
        Stored { height: 1, width, stride, samples, top: 255, inverted: false, premultiplied: false, palette: None }
    }

    fn read(frames: &[Stored]) -> (Vec<Vec<f32>>, Vec<String>) {
        let mut facts = Facts::default();
        frames.iter().for_each(|frame| facts.add(frame));
        let (levels, notes) = facts.levels();
        (frames.iter().map(|frame| frame.image(&levels).pixels).collect(), notes)
    }

    #[test]
    fn the_fewest_bits_that_hold_the_file_make_white_for_all_of_its_frames() {
        for (highest, white) in [(200, 255), (256, 1023), (1024, 4095), (4096, 16383), (16384, 65535)] {
            let frames = [stored(1, Samples::Sixteen(vec![0, 100])), stored(1, Samples::Sixteen(vec![highest, 1]))];
            let (levels, notes) = read(&frames);
            let white = white as f32;
            assert_eq!(levels, [[0.0, 100.0 / white], [f32::from(highest) / white, 1.0 / white]]);
            assert_eq!(notes.len(), usize::from(highest < 16384), "{notes:?}");
        }
        let (levels, notes) = read(&[stored(1, Samples::Sixteen(vec![0, 0]))]);
        assert_eq!((levels, notes.len()), (vec![vec![0.0, 0.0]], 0), "black in any number of bits");
    }

    #[test]
    fn fractions_are_levels_and_other_numbers_are_stretched_over_the_range_of_the_file() {
        let (levels, notes) = read(&[stored(1, Samples::Float(vec![0.25, f32::NAN, 1.0]))]);
        assert_eq!((levels, notes.len()), (vec![vec![0.25, 0.0, 1.0]], 0));
        let frames = [stored(1, Samples::Float(vec![-100.0, 100.0])), stored(1, Samples::Float(vec![300.0, 0.0]))];
        let (levels, notes) = read(&frames);
        assert_eq!((levels, notes.len()), (vec![vec![0.0, 0.5], vec![1.0, 0.25]], 1));
        let extremes = vec![f32::MIN, f32::MAX, f32::INFINITY, f32::NEG_INFINITY];
        assert_eq!(read(&[stored(1, Samples::Float(extremes))]).0, [[0.0, 1.0, 1.0, 0.0]]);
        let (levels, _) = read(&[stored(1, Samples::Float(vec![7.0, 7.0]))]);
        assert!(levels[0].iter().all(|level| (0.0..=1.0).contains(level)));
    }

    #[test]
    fn alpha_is_laid_over_black_unless_it_or_the_colours_tell_nothing() {
        let read8 = |stride, bytes: &[u8]| {
            let (levels, notes) = read(&[stored(stride, Samples::Eight(bytes.to_vec()))]);
            (levels[0].iter().map(|level| (level * 255.0).round() as u8).collect::<Vec<_>>(), notes.len())
        };
        assert_eq!(read8(2, &[200, 255, 200, 0]), (vec![200, 0], 0));
        assert_eq!(read8(2, &[0, 255, 0, 90]), (vec![255, 90], 1), "the picture is the alpha channel");
        assert_eq!(read8(4, &[0, 0, 0, 10, 0, 0, 0, 20]), (vec![10, 20], 1));
        assert_eq!(read8(2, &[9, 0, 8, 0]), (vec![9, 8], 1), "transparent everywhere");
        assert_eq!(read8(2, &[0, 255, 0, 255]), (vec![0, 0], 0));
        let twelve = stored(2, Samples::Sixteen(vec![0, 4095, 0, 0]));
        assert_eq!(read(&[twelve]).0, [[1.0, 0.0]]);
        // One decision for all frames: a black one among others is black.
        let frames = [stored(2, Samples::Eight(vec![0, 255, 0, 0])), stored(2, Samples::Eight(vec![7, 255, 7, 0]))];
        assert_eq!(read(&frames).0[0], [0.0, 0.0]);
    }
}
