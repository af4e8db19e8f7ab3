//! A small sound MP4 for the tests beside it.

/// A box.
pub(super) fn boxed(name: &[u8; 4], content: &[&[u8]]) -> Vec<u8> {
    let content = content.concat();
    let size = u32::try_from(content.len() + 8).unwrap();
    [&size.to_be_bytes(), name.as_slice(), &content].concat()
}

/// Big-endian numbers, the first of which often are version and flags.
pub(super) fn numbers(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// Where the content of the first box of a name begins.
pub(super) fn find(bytes: &[u8], name: &[u8; 4]) -> usize {
    bytes.windows(4).position(|word| word == name).unwrap() + 4
}

/// Write a number into the content of the first box of a name, at a place in bytes.
pub(super) fn set(bytes: &mut [u8], name: &[u8; 4], place: usize, number: u32) {
    let at = find(bytes, name) + place;
    bytes[at..at + 4].copy_from_slice(&number.to_be_bytes());
}

fn track(number: u32, handler: &[u8; 4], description: &[u8], tables: &[&[u8]]) -> Vec<u8> {
    let movement = [0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x4000_0000];
    let head = [numbers(&[0, 0, 0, number, 0, 80, 0, 0, 0, 0]), numbers(&movement), numbers(&[64 << 16, 48 << 16])];
    let handled = boxed(b"hdlr", &[&numbers(&[0, 0]), handler, &[0; 13]]);
    let table = boxed(b"stbl", &[&boxed(b"stsd", &[&numbers(&[0, 1]), description]), &tables.concat()]);
    let place = boxed(b"dinf", &[&boxed(b"dref", &[&numbers(&[0, 1]), &boxed(b"url ", &[&numbers(&[1])])])]);
    let media = [boxed(b"mdhd", &[&numbers(&[0, 0, 0, 1000, 80, 0])]), handled, boxed(b"minf", &[&place, &table])];
    let edits = boxed(b"edts", &[&boxed(b"elst", &[&numbers(&[0, 1, 80, 0, 0x10000])])]);
    boxed(b"trak", &[&boxed(b"tkhd", &[&head.concat()]), &edits, &boxed(b"mdia", &[&media.concat()])])
}

/// Five frames of four bytes in three chunks, of which the second and the third frame are shown in the other order, and a track
/// of sound. The movie stands behind its pictures.
pub(super) fn movie() -> Vec<u8> {
    let settings = boxed(b"avcC", &[&[1, 0x42, 0xc0, 0x0a, 0xff, 0xe1, 0, 2, 7, 7, 1, 0, 1, 8]]);
    let pictures = boxed(b"avc1", &[&[0; 78], &settings]);
    let start = 16 + 8;
    let tables = [
        boxed(b"stts", &[&numbers(&[0, 2, 4, 20, 1, 10])]),
        boxed(b"ctts", &[&numbers(&[0, 4, 1, 0, 1, 20, 1, 0, 2, 10])]),
        boxed(b"stss", &[&numbers(&[0, 1, 1])]),
        boxed(b"stsc", &[&numbers(&[0, 2, 1, 2, 1, 3, 1, 1])]),
        boxed(b"stsz", &[&numbers(&[0, 0, 5, 4, 4, 4, 4, 4])]),
        boxed(b"stco", &[&numbers(&[0, 3, start, start + 8, start + 16])]),
    ];
    let tables = tables.each_ref().map(Vec::as_slice);
    let sound = boxed(b"mp4a", &[&[0; 28]]);
    let movie = [
        boxed(b"mvhd", &[&numbers(&[0, 0, 0, 1000, 80]), &[0; 80]]),
        track(1, b"vide", &pictures, &tables),
        track(2, b"soun", &sound, &[&boxed(b"stsz", &[&numbers(&[0, 2, u32::MAX])])]),
        boxed(b"udta", &[&[0; 4]]),
    ];
    let data: Vec<u8> = (0..20).collect();
    let kind = boxed(b"ftyp", &[b"isom", &[0; 4]]);
    [kind, boxed(b"mdat", &[&data]), boxed(b"moov", &[&movie.concat()])].concat()
}

/// The same with a fragment of two more frames behind it, which are shown in the other order.
pub(super) fn fragmented() -> Vec<u8> {
    let mut bytes = movie();
    let extends = boxed(b"mvex", &[&boxed(b"trex", &[&numbers(&[0, 1, 1, 20, 4, 0])])]);
    // The movie is the last box so far: it grows by what is put behind it.
    let at = find(&bytes, b"moov") - 8;
    let size = u32::try_from(bytes.len() - at + extends.len()).unwrap();
    bytes[at..at + 4].copy_from_slice(&size.to_be_bytes());
    bytes.extend(extends);
    let run = [
        boxed(b"tfhd", &[&numbers(&[0x02_0000, 1])]),
        boxed(b"tfdt", &[&numbers(&[0, 100])]),
        boxed(b"trun", &[&numbers(&[0x0100_0801, 2, 0, 20, 20_u32.wrapping_neg()])]),
    ];
    let other = [boxed(b"tfhd", &[&numbers(&[0x02_0000, 2])]), boxed(b"trun", &[&numbers(&[0, u32::MAX])])];
    let runs = [boxed(b"traf", &[&run.concat()]), boxed(b"traf", &[&other.concat()])];
    bytes.extend(boxed(b"moof", &[&boxed(b"mfhd", &[&numbers(&[0, 1])]), &runs.concat()]));
    bytes.extend(boxed(b"mdat", &[&[0; 8]]));
    bytes
}
