//! `cargo xtask pack`: what a build is given beside its own files. Trunk calls it at the end of every build (`Trunk.toml`).

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The service worker, which is given the list of all other files.
const SERVICE_WORKER: &str = "service-worker.js";

/// Where a script wants the size of a file instead of the 0; the words behind name the file.
const SIZE: &str = "= 0 /* bytes of ";

/// Files of fewer bytes travel in one piece anyway.
const SMALL: usize = 1024;

/// Ends of the names of packed files.
pub(crate) const PACKED: [&str; 2] = ["br", "gz"];

/// Finish the build that trunk has put together, wherever that is.
pub(crate) fn pack() -> Result<()> {
    let folder = std::env::var_os("TRUNK_STAGING_DIR").map_or_else(|| PathBuf::from("dist"), PathBuf::from);
    let count = finish(&folder).with_context(|| format!("the build in {} cannot be finished", folder.display()))?;
    println!("packed {count} files of the build with brotli and gzip");
    Ok(())
}

/// Write sizes into scripts, hashes into the service worker, and packed files beside all that become smaller.
fn finish(folder: &Path) -> Result<usize> {
    let names = names(folder)?;
    for name in names.iter().filter(|name| name.ends_with(".js")) {
        let text = read_text(&folder.join(name))?;
        let sized = with_sizes(&text, |file| Ok(std::fs::metadata(folder.join(file))?.len()))?;
        write(&folder.join(name), sized.as_bytes())?;
    }
    let mut hashes = BTreeMap::new();
    for name in names.iter().filter(|name| *name != SERVICE_WORKER) {
        hashes.insert(name.as_str(), hash(&read(&folder.join(name))?));
    }
    let path = folder.join(SERVICE_WORKER);
    let script = read_text(&path)?.replacen("const FILES = {};", &format!("const FILES = {};", list(&hashes)), 1);
    write(&path, script.as_bytes())?;
    let mut count = 0;
    for name in &names {
        let bytes = read(&folder.join(name))?;
        if bytes.len() < SMALL {
            continue;
        }
        let packed = [brotli(&bytes)?, gzip(&bytes)?];
        // What saves less than a twentieth is not worth the work of unpacking.
        if packed.iter().all(|packed| 20 * packed.len() < 19 * bytes.len()) {
            for (packed, ending) in packed.iter().zip(PACKED) {
                write(&folder.join(format!("{name}.{ending}")), packed)?;
            }
            count += 1;
        }
    }
    Ok(count)
}

/// The files of a folder and those below it, by their paths with forward slashes, in order. Packed ones are none.
fn names(folder: &Path) -> Result<Vec<String>> {
    let (mut names, mut open) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(at) = open.pop() {
        for entry in std::fs::read_dir(&at).with_context(|| format!("{} cannot be listed", at.display()))? {
            let path = entry?.path();
            let packed = path.extension().is_some_and(|ending| PACKED.iter().any(|packed| ending == *packed));
            if path.is_dir() {
                open.push(path);
            } else if let Some(name) = path.strip_prefix(folder)?.to_str().filter(|_| !packed) {
                names.push(name.replace('\\', "/"));
            }
        }
    }
    names.sort();
    Ok(names)
}

/// The script with the sizes of the files that it names.
fn with_sizes(script: &str, size: impl Fn(&str) -> Result<u64>) -> Result<String> {
    let mut parts = script.split(SIZE);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let file = part.split(" */").next().unwrap_or_default();
        let size = size(file).with_context(|| format!("a script asks for the size of {file}"))?;
        write!(text, "{}{part}", SIZE.replace('0', &size.to_string()))?;
    }
    Ok(text)
}

/// Names and hashes as an object of JavaScript.
fn list(hashes: &BTreeMap<&str, String>) -> String {
    let lines: Vec<String> = hashes.iter().map(|(name, hash)| format!("  \"{name}\": \"{hash}\"")).collect();
    format!("{{\n{}\n}}", lines.join(",\n"))
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Packed with brotli, well enough to serve and fast enough to wait for.
pub(crate) fn brotli(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut writer = brotli::CompressorWriter::new(Vec::new(), 1 << 20, 9, 24);
    writer.write_all(bytes)?;
    writer.flush()?;
    Ok(writer.into_inner())
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut writer = GzEncoder::new(Vec::new(), Compression::best());
    writer.write_all(bytes)?;
    Ok(writer.finish()?)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
}

fn read_text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_learn_the_sizes_of_the_files_that_they_name() {
        let size = |file: &str| Ok(file.len() as u64);
        let script = "const SIZE = 0 /* bytes of page_bg.wasm */;\nrun();";
        assert_eq!(with_sizes(script, size).unwrap(), "const SIZE = 12 /* bytes of page_bg.wasm */;\nrun();");
        assert_eq!(with_sizes("run();", size).unwrap(), "run();");
        let missing = |_: &str| anyhow::bail!("none");
        assert!(with_sizes(script, missing).unwrap_err().to_string().contains("page_bg.wasm"));
    }

    #[test]
    fn a_build_is_listed_and_packed_where_that_helps() {
        let folder = std::env::temp_dir().join(format!("sonoseg-pack-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("assets")).unwrap();
        let words = "a word and another ".repeat(200);
        let noise: Vec<u8> = (0..2000_u32).flat_map(|number| Sha256::digest(number.to_le_bytes())).collect();
        let files: [(&str, &[u8]); 3] =
            [("boot.js", words.as_bytes()), ("assets/model", &noise), (SERVICE_WORKER, b"const FILES = {};")];
        files.iter().for_each(|(name, bytes)| std::fs::write(folder.join(name), bytes).unwrap());
        assert_eq!(finish(&folder).unwrap(), 1);
        assert_eq!(finish(&folder).unwrap(), 1, "packed files are not packed again");
        let script = read_text(&folder.join(SERVICE_WORKER)).unwrap();
        assert!(script.contains(&format!("\"assets/model\": \"{}\"", hash(&noise))), "{script}");
        assert!(!script.contains(SERVICE_WORKER) && !script.contains(".br"), "{script}");
        assert!(folder.join("boot.js.br").is_file() && folder.join("boot.js.gz").is_file());
        assert!(!folder.join("assets/model.br").is_file());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
