//! Archives of projects: zips of any kind, and `project.json` as it is.
#![no_main]

use std::io::{Cursor, Write};

use libfuzzer_sys::fuzz_target;
use sonoseg_imaging::archive::Archive;
use zip::write::SimpleFileOptions;

fuzz_target!(|bytes: &[u8]| {
    let open = |bytes: Vec<u8>| {
        if let Ok(mut archive) = Archive::open("p", bytes) {
            let _ = archive.project();
        }
    };
    open(bytes.to_vec());
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("project.json", SimpleFileOptions::default()).expect("memory takes a file");
    zip.write_all(bytes).expect("memory takes bytes");
    open(zip.finish().expect("memory takes a zip").into_inner());
});
