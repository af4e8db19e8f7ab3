//! Pictures as people have them: stacks, many bits, tags, transparency, links and odd names, through the program.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, GrayImage, ImageBuffer, ImageFormat, Luma, Rgba, RgbaImage};
use sonoseg_imaging::formats::{mask, open};

use crate::workspace::{Workspace, said, sonoseg, succeeds, text};

/// Random bytes, the same every time.
fn noise(at: u32) -> u8 {
    (sonoseg_imaging::rng::splitmix64(u64::from(at)) % 200) as u8
}

fn png(picture: &DynamicImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// A PNG that says how it lies.
fn tagged(png: &[u8], orientation: u8) -> Vec<u8> {
    let data =
        [b"eXIfMM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0", &[orientation, 0, 0, 0, 0, 0, 0][..]].concat();
    let chunk = [&(data.len() as u32 - 4).to_be_bytes()[..], &data, &crc32fast::hash(&data).to_be_bytes()].concat();
    [&png[..33], &chunk, &png[33..]].concat()
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// The frames of the only procedure whose name begins so, and its masks.
fn procedure(data: &Path, name: &str) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let folders = fs::read_dir(data.join("procedures")).unwrap().map(|entry| entry.unwrap().path());
    let folder =
        folders.into_iter().find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(name)).unwrap();
    let files = |sort: &str| -> Vec<Vec<u8>> {
        let Ok(entries) = fs::read_dir(folder.join(sort)) else { return Vec::new() };
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths.iter().map(|path| fs::read(path).unwrap()).collect()
    };
    let frames = files("frames").into_iter().map(|bytes| open("f", bytes).unwrap().frame(0).unwrap().to_bytes());
    let masks = files("masks").into_iter().map(|bytes| mask::read_class_mask("m", &bytes, None).unwrap().classes);
    (frames.collect(), masks.collect())
}

#[test]
fn stacks_bits_tags_and_transparency_are_read_as_people_see_them() {
    let workspace = Workspace::new();
    let (clips, sets, alpha) = (workspace.path("clips"), workspace.path("turned"), workspace.path("alpha"));
    // Six pages of a BigTIFF with 12 bits in 16.
    let page = |number: u32| -> Vec<u16> { (0..64).map(|at| u16::from(noise(64 * number + at)) * 20).collect() };
    let mut stack = Cursor::new(Vec::new());
    let mut encoder = tiff::encoder::TiffEncoder::new_big(&mut stack).unwrap();
    for number in 0..6 {
        encoder.write_image::<tiff::encoder::colortype::Gray16>(8, 8, &page(number)).unwrap();
    }
    write(&clips.join("stack.tif"), stack.get_ref());
    let data = workspace.path("from-clips");
    let told = succeeds(&["ingest", text(&clips), "--out", text(&data)]);
    assert!(told.contains("6 frames kept") && told.contains("use 12 of them at most"), "{told}");
    let level = |number: u16| (f32::from(number) / 4095.0 * 255.0).round() as u8;
    let expected: Vec<Vec<u8>> = (0..6).map(|number| page(number).into_iter().map(level).collect()).collect();
    assert_eq!(procedure(&data, "stack").0, expected);

    // The upper half is bright and masked; the file is stored lying on its side, and its tag says so.
    let seen = GrayImage::from_fn(12, 8, |x, y| Luma([if y < 4 { 220 } else { noise(12 * y + x) / 4 }]));
    let lying = image::imageops::rotate270(&seen);
    let object = GrayImage::from_fn(12, 8, |_, y| Luma([if y < 4 { 255 } else { 0 }]));
    write(&sets.join("images/a.png"), &tagged(&png(&lying.into()), 6));
    write(&sets.join("masks/a.png"), &png(&object.clone().into()));
    let data = workspace.path("from-turned");
    let told = succeeds(&["ingest", text(&sets), "--out", text(&data)]);
    assert!(told.contains("turned or mirrored"), "{told}");
    let whole = object.iter().map(|&level| u8::from(level > 0)).collect::<Vec<_>>();
    let (frames, masks) = procedure(&data, "");
    assert_eq!((frames, masks), (vec![seen.into_raw()], vec![whole.clone()]));

    let black = RgbaImage::from_fn(12, 8, |x, y| Rgba([0, 0, 0, object.get_pixel(x, y).0[0]]));
    let picture = ImageBuffer::from_fn(12, 8, |x, y| Luma([u16::from(noise(x * 9 + y)) * 5]));
    write(&alpha.join("images/a.png"), &png(&DynamicImage::ImageLuma16(picture.clone())));
    write(&alpha.join("masks/a.png"), &png(&black.into()));
    let data = workspace.path("from-alpha");
    let told = succeeds(&["ingest", text(&alpha), "--out", text(&data)]);
    assert!(told.contains("1 have colours that show nothing and lie in the alpha channel"), "{told}");
    let (frames, masks) = procedure(&data, "");
    let tenth = |number: &u16| (f32::from(*number) / 1023.0 * 255.0).round() as u8;
    assert_eq!((frames, masks), (vec![picture.iter().map(tenth).collect()], vec![whole]));
}

#[cfg(unix)]
#[test]
fn predict_follows_no_links_to_folders_and_names_every_result_apart() {
    use std::os::unix::ffi::OsStrExt;
    let workspace = Workspace::new();
    let data = workspace.simulate("data", "31");
    let run = workspace.train(&data, "run", &["--epochs", "1"]);
    let (given, out) = (workspace.path("given"), workspace.path("out"));
    let picture = png(&GrayImage::from_fn(32, 32, |x, y| Luma([noise(32 * y + x)])).into());
    let long = format!("{}.png", "é".repeat(123));
    write(&given.join("a.png"), &picture);
    write(&given.join("sub/b.png"), &picture);
    write(&given.join(&long), &picture);
    let mut odd = 2;
    for byte in [0xe8, 0xe9] {
        // Some file systems have no such names.
        odd -= usize::from(fs::write(given.join(std::ffi::OsStr::from_bytes(&[b'c', byte, b'.'])), &picture).is_ok());
    }
    for (link, to) in [("self", "."), ("sub/up", ".."), ("linked.png", "a.png")] {
        std::os::unix::fs::symlink(to, given.join(link)).unwrap();
    }
    let output = sonoseg(&["predict", text(&run), text(&given), "--out", text(&out), "--device", "flex"]);
    let told = said(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert_eq!(told.matches("a link to a folder, which is not followed").count(), 2, "{told}");
    let table = fs::read_to_string(out.join("geometry.csv")).unwrap();
    let inputs: Vec<&str> = table.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
    let masks = inputs.iter().filter(|input| out.join(format!("masks/{input}.png")).exists()).count();
    assert_eq!((inputs.len(), masks), (6 - odd, 6 - odd), "{table}");
}
