//! Journals of projects: lines as they are, and entries without the sums that guard them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sonoseg_imaging::annotation::{Entry, Journal, Project, encode};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(read) = Journal::read("p", bytes) {
        assert!(read.sound <= bytes.len());
    }
    let mut project = Project::default();
    let mut written = Journal::head().to_owned();
    for line in bytes.split(|&byte| byte == b'\n') {
        let Ok(entry) = serde_json::from_slice::<Entry>(line) else { continue };
        let before = project.clone();
        match project.apply(entry.clone()) {
            Ok(()) => written += &encode(&entry).expect("what JSON gave becomes JSON again"),
            Err(_) => assert_eq!(project, before, "what is refused changes nothing"),
        }
    }
    let read = Journal::read("p", written.as_bytes()).expect("our own journal");
    assert!(read.project == project && read.note.is_none(), "{:?}", read.note);
});
