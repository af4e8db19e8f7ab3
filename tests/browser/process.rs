//! The processes of a browser, as Linux tells of them.

/// Those of a kind (`renderer` for those that hold the tabs, `gpu-process`) of a browser.
pub(crate) fn of_kind(browser: u32, kind: &str) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let is_of_it = |pid: &u32| {
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&words).contains(&format!("--type={kind}")) && descends(*pid, browser)
    };
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_of_it).collect()
}

/// Whether a process runs, or has ended and the one that started it has not taken notice.
pub(crate) fn is_known(pid: u32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}

/// Whether a process was started by another one, or by one that that started.
fn descends(pid: u32, from: u32) -> bool {
    pid == from || pid > 1 && number(pid, "PPid:").is_some_and(|parent| descends(parent as u32, from))
}

/// A number that is told of a process.
pub(crate) fn number(pid: u32, name: &str) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
}
