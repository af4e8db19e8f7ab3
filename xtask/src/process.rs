//! Running other programs, visibly.

use anyhow::{Context, Result, ensure};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The folder of the repository.
pub(crate) fn repository() -> PathBuf {
    let xtask = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().map_or(xtask.clone(), PathBuf::from)
}

/// Where tools are installed that this machine lacks; `cargo clean` removes them.
pub(crate) fn tools() -> PathBuf {
    repository().join("target").join("tools")
}

/// A command that sees our tools before those of the machine. Cargo's variables about xtask itself are left out, because
/// they would make build scripts of a nested cargo run again.
pub(crate) fn command(program: &str) -> Command {
    let mut folders = vec![tools().join("bin")];
    folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let own = std::env::vars_os().map(|(name, _)| name).filter(|name| {
        name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name == "CARGO_MANIFEST_DIR")
    });
    let mut command = Command::new(found(program, &folders).unwrap_or_else(|| PathBuf::from(program)));
    for name in own.collect::<Vec<_>>() {
        command.env_remove(name);
    }
    command.env_remove("CARGO_MANIFEST_PATH");
    if let Ok(path) = std::env::join_paths(folders) {
        command.env("PATH", path);
    }
    command
}

fn found(program: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    let file = format!("{program}{}", std::env::consts::EXE_SUFFIX);
    folders.iter().map(|folder| folder.join(&file)).find(|path| path.is_file())
}

/// Run a program, showing its command line and its output; an error when it fails.
pub(crate) fn run<'a>(program: &str, words: impl IntoIterator<Item = &'a str>, env: &[(&str, &str)]) -> Result<()> {
    let words: Vec<&str> = words.into_iter().collect();
    let settings: String = env.iter().map(|(name, value)| format!("{name}={value} ")).collect();
    let line = format!("{settings}{program} {}", words.join(" "));
    println!("$ {line}");
    let status = command(program)
        .args(&words)
        .envs(env.iter().copied())
        .status()
        .with_context(|| format!("{program} could not be started: is it installed?"))?;
    ensure!(status.success(), "`{line}` failed ({status}); its own messages are above.");
    Ok(())
}

/// What a program prints, or nothing when it cannot be started or fails.
pub(crate) fn output(program: &str, words: &[&str]) -> Option<String> {
    let output = command(program).args(words).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Whether a program ends well within a time, without showing what it prints.
pub(crate) fn succeeds_within(limit: Duration, program: &str, words: &[&str], env: &[(&str, &str)]) -> bool {
    let start = Instant::now();
    let quiet = command(program)
        .args(words)
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = quiet else { return false };
    while start.elapsed() < limit {
        if let Ok(Some(status)) = child.try_wait() {
            return status.success();
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    child.kill().and_then(|()| child.wait()).is_ok_and(|status| status.success())
}
