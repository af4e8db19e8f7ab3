//! Pictures that look alike may not be groups of their own: they are frames of one video, or copies of one picture.

use std::fs;

use rayon::prelude::*;
use sonoseg_imaging::dataset::likeness::Thumbnail;
use sonoseg_imaging::formats;

use super::pairs::Still;
use crate::files;
use crate::terminal::bar;

/// Neighbours that look alike make a video of a folder when there are more of them than this share.
const VIDEO_SHARE: f64 = 1.0 / 3.0;

/// A picture is compared with this many that follow it in the order of names, which keeps large folders quick.
const REACH: usize = 2000;

/// Thumbnails of pictures; none where a picture cannot be read, which is told when it is needed.
pub(super) fn thumbnails(stills: &[&Still]) -> Vec<Option<Thumbnail>> {
    let progress = bar(stills.len() as u64, "comparing");
    let thumbnail = |still: &&Still| {
        let bytes = fs::read(&still.file.path).ok()?;
        let image = formats::open(&files::absolute(&still.file.path), bytes).ok()?.frame(0).ok()?;
        progress.inc(1);
        Some(Thumbnail::of(&image))
    };
    let thumbnails = stills.par_iter().map(thumbnail).collect();
    progress.finish_and_clear();
    thumbnails
}

/// Whether pictures in the order of their names look like frames of one video.
pub(super) fn is_video(thumbnails: &[&Thumbnail]) -> bool {
    let alike = thumbnails.windows(2).filter(|pair| pair[0].is_like(pair[1])).count();
    thumbnails.len() > 2 && alike as f64 > VIDEO_SHARE * (thumbnails.len() - 1) as f64
}

/// Pairs of pictures that look alike, the first before the second.
pub(super) fn pairs(thumbnails: &[Option<Thumbnail>]) -> Vec<(usize, usize)> {
    let later = |first: usize| {
        let end = (first + 1 + REACH).min(thumbnails.len());
        (first + 1..end).map(move |second| (first, second))
    };
    let alike = |&(first, second): &(usize, usize)| match (&thumbnails[first], &thumbnails[second]) {
        (Some(first), Some(second)) => first.is_like(second),
        _ => false,
    };
    (0..thumbnails.len()).into_par_iter().flat_map_iter(|first| later(first).filter(alike)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sonoseg_imaging::geometry::Image;

    /// A bright spot at a column.
    fn spot(at: usize) -> Thumbnail {
        let pixel = |i: usize| if (i % 64).abs_diff(at) < 6 && (i / 64).abs_diff(32) < 6 { 1.0 } else { 0.0 };
        Thumbnail::of(&Image::grey(64, 64, (0..64 * 64).map(pixel).collect()))
    }

    #[test]
    fn a_spot_that_drifts_is_a_video_and_one_that_jumps_is_not() {
        let drift: Vec<Thumbnail> = (10..20).flat_map(|at| [spot(at), spot(at)]).collect();
        assert!(is_video(&drift.iter().collect::<Vec<_>>()));
        let jump: Vec<Thumbnail> = [10, 40, 20, 50].into_iter().map(spot).collect();
        assert!(!is_video(&jump.iter().collect::<Vec<_>>()));
        let some = [Some(spot(10)), None, Some(spot(40)), Some(spot(10))];
        assert_eq!(pairs(&some), [(0, 3)]);
    }
}
