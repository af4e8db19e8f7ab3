//! What kind of file some bytes are: by their first bytes, then by the name's ending.

use super::Refusal;
use image::ImageFormat;

/// A kind of file that is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// A picture for the `image` crate.
    Raster(ImageFormat),
    /// A DICOM object, with or without its preamble.
    Dicom,
    /// A video, which the app and the trainer read by other means.
    Video,
    /// A NIfTI volume.
    Nifti,
    /// Nothing that is known.
    Other,
}

const VIDEO: &str = "This is a video. Open it in the app, which plays MP4, MOV and WebM, or hand it to `sonoseg predict`, \
     which reads it through ffmpeg. Other kinds: `ffmpeg -i FILE clip.mp4` first.";
const VOLUME: &str = "Of three-dimensional volumes sonoseg reads NIfTI in one file (.nii, .nii.gz). Convert it, for example with \
     SimpleITK: sitk.WriteImage(sitk.ReadImage(FILE), 'volume.nii.gz').";
const OTHER: &str = "This is not a kind of file that is read. sonoseg reads PNG, JPEG, BMP, TIFF and GIF, DICOM, NIfTI, and MP4, MOV and WebM.";

impl Kind {
    /// Why a file of this kind is not opened here.
    pub(super) fn refusal(self) -> Refusal {
        Refusal::unsupported(if self == Self::Video { VIDEO } else { OTHER })
    }
}

/// The kind of the file, or why it is none that is read.
pub(super) fn kind(name: &str, bytes: &[u8]) -> Result<Kind, Refusal> {
    let extension = name.rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase()).unwrap_or_default();
    let extension = extension.as_str();
    if bytes.is_empty() {
        return Err(Refusal::unreadable("The file is empty. Copy or download it again."));
    }
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    let at = |offset: usize, magic: &[u8]| bytes.get(offset..).is_some_and(|rest| rest.starts_with(magic));
    // First of all: what stands before it may be the header of a TIFF, so that programs for either read the file.
    if at(128, b"DICM") {
        return Ok(Kind::Dicom);
    }
    if starts(b"\x89PNG\r\n\x1a\n") {
        return Ok(Kind::Raster(ImageFormat::Png));
    }
    if starts(&[0xff, 0xd8, 0xff]) {
        return Ok(Kind::Raster(ImageFormat::Jpeg));
    }
    if starts(b"GIF87a") || starts(b"GIF89a") {
        return Ok(Kind::Raster(ImageFormat::Gif));
    }
    if starts(b"BM") && at(6, &[0, 0, 0, 0]) {
        return Ok(Kind::Raster(ImageFormat::Bmp));
    }
    if [&b"II*\0"[..], b"MM\0*", b"II+\0", b"MM\0+"].iter().any(|magic| starts(magic)) {
        return Ok(Kind::Raster(ImageFormat::Tiff));
    }
    let bare = starts(&[2, 0, 0, 0, b'U', b'L'])
        || (starts(&[8, 0]) && at(3, &[0]) && matches!(extension, "dcm" | "dicom" | "ima" | "img"));
    if starts(b"DICM") || bare {
        return Ok(Kind::Dicom);
    }
    if at(4, b"ftyp") {
        let still = ["heic", "heix", "mif1", "avif", "hevc"].iter().any(|brand| at(8, brand.as_bytes()));
        return if still {
            Err(Refusal::unsupported("HEIC and AVIF pictures are not read. Save it as PNG or JPEG."))
        } else {
            Ok(Kind::Video)
        };
    }
    if starts(b"RIFF") && at(8, b"WEBP") {
        return Err(Refusal::unsupported("WebP pictures are not read. Save it as PNG or JPEG."));
    }
    let video = starts(&[0x1a, 0x45, 0xdf, 0xa3])
        || starts(&[0, 0, 1, 0xba])
        || starts(&[0, 0, 1, 0xb3])
        || (starts(b"RIFF") && at(8, b"AVI "))
        || (starts(&[0x47]) && at(188, &[0x47]))
        || starts(&[0x30, 0x26, 0xb2, 0x75])
        || at(4, b"moov")
        || at(4, b"wide")
        || at(4, b"mdat");
    let video_name = matches!(
        extension,
        "mp4" | "m4v" | "mov" | "webm" | "mkv" | "avi" | "mpg" | "mpeg" | "ts" | "wmv" | "ogv" | "3gp" | "flv"
    );
    if video {
        return Ok(Kind::Video);
    }
    if super::nifti::is_nifti(bytes) {
        return Ok(Kind::Nifti);
    }
    let volume = starts(b"NRRD")
        || starts(b"ObjectType")
        || at(344, b"ni1\0")
        || matches!(extension, "nii" | "nrrd" | "nhdr" | "mha" | "mhd")
        || name.to_ascii_lowercase().ends_with(".nii.gz");
    if volume {
        return Err(Refusal::unsupported(VOLUME));
    }
    Err(match extension {
        "png" | "jpg" | "jpeg" | "bmp" | "tif" | "tiff" | "gif" => Refusal::Unreadable(format!(
            "The name says .{extension}, but it does not begin like a {extension} file or any other picture. \
             Copy or export it again."
        )),
        "dcm" | "dicom" | "ima" => Refusal::unreadable(
            "The name says DICOM, but the bytes do not begin like a DICOM file. Copy or export it again.",
        ),
        _ if video_name => {
            Refusal::Unreadable(format!("The name says .{extension}, but it does not begin like a video file."))
        }
        _ => return Ok(Kind::Other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_win_over_the_name() {
        let png = b"\x89PNG\r\n\x1a\n....";
        assert_eq!(kind("scan.dcm", png).ok(), Some(Kind::Raster(ImageFormat::Png)));
        let mut dicom = vec![0; 128];
        dicom.extend(b"DICM");
        assert_eq!(kind("scan.png", &dicom).ok(), Some(Kind::Dicom));
        assert_eq!(kind("IM0001", &[2, 0, 0, 0, b'U', b'L', 4, 0]).ok(), Some(Kind::Dicom));
    }
}
