//! NIfTI-1 volumes in one file (`.nii`, `.nii.gz`), after the header of the NIfTI-1 data format (nifti1.h).
//!
//! Ours, because the crates take memory as the header asks for it, before they know whether the file holds so much.

use std::io::Read;

use flate2::read::MultiGzDecoder;

use super::Refusal;
use crate::geometry::{Orientation, Volume};

/// Most voxels that are read: 512 MB of them.
const MAX_VOXELS: u64 = 1 << 27;

/// Bytes of the header with the four that say whether extensions follow.
const HEADER: usize = 352;

/// The header, unpacked where the file is, if it is one.
pub(super) fn is_nifti(bytes: &[u8]) -> bool {
    let magic = |header: &[u8]| header.get(344..348) == Some(b"n+1\0".as_slice());
    if bytes.starts_with(&[0x1f, 0x8b]) {
        unpack(bytes, 348).is_some_and(|header| magic(&header))
    } else {
        magic(bytes)
    }
}

/// The first `count` bytes of what is packed in `bytes`; none when there are fewer.
fn unpack(bytes: &[u8], count: u64) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    // A file that is cut short behind these bytes has still told them.
    let _ = MultiGzDecoder::new(bytes).take(count).read_to_end(&mut out);
    (out.len() as u64 == count).then_some(out)
}

/// Fields of the header by their offset.
struct Header {
    bytes: Vec<u8>,
    big_endian: bool,
}

impl Header {
    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut field = [0; N];
        field.copy_from_slice(&self.bytes[at..at + N]);
        if self.big_endian {
            field.reverse();
        }
        field
    }

    fn i16(&self, at: usize) -> i16 {
        i16::from_le_bytes(self.array(at))
    }

    fn f32(&self, at: usize) -> f64 {
        f64::from(f32::from_le_bytes(self.array(at)))
    }
}

/// Read the volume. Its axes are as stored.
pub(super) fn read(bytes: &[u8]) -> Result<Volume, Refusal> {
    let short = || Refusal::unreadable("The volume is cut short. Copy or export it again.");
    let packed = bytes.starts_with(&[0x1f, 0x8b]);
    let head = if packed { unpack(bytes, HEADER as u64) } else { bytes.get(..HEADER).map(<[u8]>::to_vec) };
    let bytes_of_header = head.ok_or_else(short)?;
    let big_endian = match bytes_of_header[..4] {
        [0x5c, 1, 0, 0] => false,
        [0, 0, 1, 0x5c] => true,
        _ => {
            return Err(Refusal::unreadable(
                "The header of the volume is not as long as NIfTI-1 has it. Export it again.",
            ));
        }
    };
    let header = Header { bytes: bytes_of_header, big_endian };
    let axes = header.i16(40);
    let sizes: Vec<i16> =
        (1..=7).map(|axis| if axis <= axes { header.i16(40 + 2 * axis as usize) } else { 1 }).collect();
    if !(1..=7).contains(&axes) || sizes.iter().any(|&size| size < 1) {
        return Err(Refusal::unreadable("The header of the volume gives it no size. Export it again."));
    }
    if sizes[3..].iter().any(|&size| size > 1) {
        return Err(Refusal::unsupported(
            "The volume has more than three axes, and sonoseg reads three. Split it, for example with fslsplit.",
        ));
    }
    let kind = header.i16(70);
    let Some(size) = size_of(kind) else {
        return Err(Refusal::unsupported(format!(
            "The voxels are of NIfTI's type {kind}; integers of up to 32 bits and floats are read. Convert it."
        )));
    };
    let extent = [sizes[2], sizes[1], sizes[0]].map(|size| size as usize);
    let count = extent.iter().map(|&size| size as u64).product::<u64>();
    if count > MAX_VOXELS {
        return Err(Refusal::unsupported(format!(
            "The volume has {count} voxels; more than {MAX_VOXELS} are not read."
        )));
    }
    let offset = header.f32(108);
    if !(HEADER as f64..=1e9).contains(&offset) {
        return Err(Refusal::unreadable(
            "The header of the volume says that its voxels begin inside it. Export it again.",
        ));
    }
    let (start, length) = (offset as u64, count * size as u64);
    // Deflate packs 1032 bytes into one at most, so that a file that claims more is refused before memory is taken.
    let holds = if packed { bytes.len() as u64 * 1032 } else { bytes.len() as u64 };
    if holds < start + length {
        return Err(short());
    }
    let unpacked = if packed { Some(unpack(bytes, start + length).ok_or_else(short)?) } else { None };
    let data = unpacked.as_deref().unwrap_or(bytes).get(start as usize..(start + length) as usize).ok_or_else(short)?;
    let (slope, intercept) = match (header.f32(112), header.f32(116)) {
        (slope, intercept) if slope != 0.0 && slope.is_finite() && intercept.is_finite() => (slope, intercept),
        _ => (1.0, 0.0),
    };
    let value = |bytes: &[u8]| (number(kind, bytes, big_endian) * slope + intercept) as f32;
    let voxels = data.chunks_exact(size).map(value).collect();
    // Units of length: 1 metres, 2 millimetres, 3 micrometres; 0 says nothing, and millimetres are not guessed then.
    let millimetres = match header.bytes[123] & 7 {
        1 => Some(1000.0),
        2 => Some(1.0),
        3 => Some(0.001),
        _ => None,
    };
    let steps = [88, 84, 80].map(|at| header.f32(at).abs());
    let sound = steps.iter().all(|step| step.is_finite() && *step > 0.0);
    let spacing_mm = millimetres.filter(|_| sound).map(|unit| steps.map(|step| step * unit));
    Ok(Volume { channels: 1, extent, voxels, spacing_mm, orientation: orientation(&header) })
}

fn size_of(kind: i16) -> Option<usize> {
    Some(match kind {
        2 | 256 => 1,
        4 | 512 => 2,
        8 | 16 | 768 => 4,
        64 => 8,
        _ => return None,
    })
}

fn number(kind: i16, bytes: &[u8], big_endian: bool) -> f64 {
    let mut field = [0; 8];
    field[..bytes.len()].copy_from_slice(bytes);
    if big_endian {
        field[..bytes.len()].reverse();
    }
    let [a, b, c, d, ..] = field;
    match kind {
        2 => f64::from(a),
        256 => f64::from(a as i8),
        4 => f64::from(i16::from_le_bytes([a, b])),
        512 => f64::from(u16::from_le_bytes([a, b])),
        8 => f64::from(i32::from_le_bytes([a, b, c, d])),
        768 => f64::from(u32::from_le_bytes([a, b, c, d])),
        16 => f64::from(f32::from_le_bytes([a, b, c, d])),
        _ => f64::from_le_bytes(field),
    }
}

/// From the affine (sform) where there is one, else from the quaternion (qform).
fn orientation(header: &Header) -> Option<Orientation> {
    // Columns of the matrix are the axes x, y, z in a frame to the right, the front and the head.
    let matrix = if header.i16(254) > 0 {
        [280, 296, 312].map(|row| [0, 4, 8].map(|column| header.f32(row + column)))
    } else if header.i16(252) > 0 {
        let [b, c, d] = [256, 260, 264].map(|at| header.f32(at));
        let a = (1.0 - b * b - c * c - d * d).max(0.0).sqrt();
        let side = if header.f32(76) < 0.0 { -1.0 } else { 1.0 };
        [
            [a * a + b * b - c * c - d * d, 2.0 * (b * c - a * d), side * 2.0 * (b * d + a * c)],
            [2.0 * (b * c + a * d), a * a + c * c - b * b - d * d, side * 2.0 * (c * d - a * b)],
            [2.0 * (b * d - a * c), 2.0 * (c * d + a * b), side * (a * a + d * d - b * b - c * c)],
        ]
    } else {
        return None;
    };
    let axis = |column: usize| {
        let [right, front, head] = [0, 1, 2].map(|row| matrix[row][column]);
        let length = right.hypot(front).hypot(head);
        [-right, -front, head].map(|component| component / length)
    };
    let vectors = [axis(2), axis(1), axis(0)];
    vectors.iter().flatten().all(|component| component.is_finite()).then_some(Orientation(vectors))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    /// A volume of 3 x 2 x 2 voxels of 16 bits, value = 2 * (100 z + 10 y + x) - 1 after its slope and intercept.
    pub(crate) fn file(big_endian: bool) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        let mut put = |at: usize, field: &[u8]| {
            let mut field = field.to_vec();
            if big_endian {
                field.reverse();
            }
            bytes[at..at + field.len()].copy_from_slice(&field);
        };
        put(0, &348_i32.to_le_bytes());
        for (index, size) in [3_i16, 3, 2, 2, 1].iter().enumerate() {
            put(40 + 2 * index, &size.to_le_bytes());
        }
        put(70, &4_i16.to_le_bytes());
        for (index, step) in [1.0_f32, 0.5, 0.6, 3.0].iter().enumerate() {
            put(76 + 4 * index, &step.to_le_bytes());
        }
        put(108, &352_f32.to_le_bytes());
        put(112, &2_f32.to_le_bytes());
        put(116, &(-1_f32).to_le_bytes());
        put(254, &1_i16.to_le_bytes());
        for (at, number) in [(280, -0.5_f32), (300, 0.6), (320, 3.0)] {
            put(at, &number.to_le_bytes());
        }
        bytes[123] = 2;
        bytes[344..348].copy_from_slice(b"n+1\0");
        for value in (0..2).flat_map(|z| (0..2).flat_map(move |y| (0..3).map(move |x| 100 * z + 10 * y + x))) {
            let value = value as i16;
            bytes.extend(if big_endian { value.to_be_bytes() } else { value.to_le_bytes() });
        }
        bytes
    }

    pub(crate) fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn voxels_spacing_and_orientation_are_those_of_the_file() {
        for bytes in [file(false), file(true), packed(&file(false))] {
            assert!(is_nifti(&bytes));
            let volume = read(&bytes).unwrap();
            assert_eq!(volume.extent, [2, 2, 3]);
            assert_eq!(volume.voxels[..7], [-1.0, 1.0, 3.0, 19.0, 21.0, 23.0, 199.0]);
            let spacing = volume.spacing_mm.unwrap();
            assert!(spacing.iter().zip([3.0, 0.6, 0.5]).all(|(a, b)| (a - b).abs() < 1e-6), "{spacing:?}");
            // x to the left, y to the front, z to the head.
            let Orientation([z, y, x]) = volume.orientation.unwrap();
            assert_eq!(
                ([z[2], y[1], x[0]], volume.standing().voxels[..3].to_vec()),
                ([1.0, -1.0, 1.0], vec![19.0, 21.0, 23.0])
            );
        }
    }

    #[test]
    fn a_quaternion_gives_the_axes_where_no_affine_does() {
        let mut bytes = file(false);
        bytes[254] = 0;
        assert_eq!(read(&bytes).unwrap().orientation, None);
        bytes[252] = 1;
        // Half a turn about z: x to the left, y to the back.
        bytes[264..268].copy_from_slice(&1_f32.to_le_bytes());
        assert_eq!(read(&bytes).unwrap().orientation, Some(Orientation::STANDARD));
    }

    #[test]
    fn damaged_files_are_refused_before_memory_is_taken() {
        let sound = file(false);
        for end in 0..sound.len() {
            assert!(read(&sound[..end]).is_err(), "cut at {end}");
        }
        let with = |at: usize, field: &[u8]| {
            let mut bytes = sound.clone();
            bytes[at..at + field.len()].copy_from_slice(field);
            read(&bytes).map_err(|refusal| format!("{refusal:?}")).unwrap_err()
        };
        assert!(with(42, &i16::MAX.to_le_bytes()).contains("cut short"));
        assert!(with(42, &[0xff, 0x7f, 0xff, 0x7f, 0xff, 0x7f]).contains("voxels"));
        assert!(with(42, &0_i16.to_le_bytes()).contains("no size"));
        assert!(with(40, &[4, 0, 3, 0, 2, 0, 2, 0, 5, 0]).contains("more than three axes"));
        assert!(with(70, &32_i16.to_le_bytes()).contains("type 32"));
        assert!(with(108, &f32::NAN.to_le_bytes()).contains("begin inside"));
        let mut lying = sound.clone();
        lying[42..44].copy_from_slice(&20_000_i16.to_le_bytes());
        assert!(read(&packed(&lying)).is_err());
    }
}
