//! A server for the built app on this machine: packed files where the browser takes them, nothing from outside the folder.

use crate::pack::PACKED;
use anyhow::{Result, anyhow};
use std::path::{Path, PathBuf};
use tiny_http::{Header, Method, Request, Response, Server, StatusCode};

/// Serve the files below a folder from now on, on a thread of its own.
pub(crate) fn serve(folder: PathBuf, address: &str) -> Result<()> {
    let server = Server::http(address).map_err(|error| {
        anyhow!("{address} cannot be served ({error}): something else may use this port, choose another with --port.")
    })?;
    std::thread::spawn(move || {
        for request in server.incoming_requests() {
            answer(request, &folder);
        }
    });
    Ok(())
}

fn answer(request: Request, folder: &Path) {
    let accepted = request.headers().iter().find(|header| header.field.equiv("Accept-Encoding"));
    let accepted = accepted.map(|header| header.value.as_str().to_owned()).unwrap_or_default();
    let path = Some(request.url()).filter(|_| matches!(request.method(), Method::Get | Method::Head)).and_then(inside);
    let path = path.map(|path| folder.join(path));
    let found = path.as_deref().and_then(|path| read(path, &accepted).map(|(bytes, coding)| (path, bytes, coding)));
    // An error means that the browser went away, which is its right.
    let _sent = match found {
        Some((path, bytes, coding)) => {
            let mut response = Response::from_data(bytes).with_header(header("Content-Type", content_type(path)));
            // The browser asks again before it uses what it has.
            response = response.with_header(header("Cache-Control", "no-cache"));
            response = response.with_header(header("Vary", "Accept-Encoding"));
            if let Some(coding) = coding {
                response = response.with_header(header("Content-Encoding", coding));
            }
            request.respond(response)
        }
        None if folder.join("index.html").is_file() => request.respond(text("Not found.", 404)),
        None => request.respond(text("The app is being built: load this page again in a while.", 503)),
    };
}

fn text(words: &str, status: u16) -> Response<std::io::Cursor<Vec<u8>>> {
    Response::from_string(words).with_status_code(StatusCode(status))
}

/// The path of a file below the folder; none where it leads out of it.
fn inside(url: &str) -> Option<&str> {
    let path = url.split(['?', '#']).next().unwrap_or_default().trim_start_matches('/');
    let leads_out = path.contains([':', '\\', '%']) || path.split('/').any(|part| part == "..");
    Some(if path.is_empty() { "index.html" } else { path }).filter(|_| !leads_out)
}

/// The bytes of a file and how they are packed, as the browser takes them.
fn read(path: &Path, accepted: &str) -> Option<(Vec<u8>, Option<&'static str>)> {
    for (ending, coding) in PACKED.into_iter().zip(["br", "gzip"]).filter(|(_, coding)| takes(accepted, coding)) {
        if let Ok(bytes) = std::fs::read(format!("{}.{ending}", path.display())) {
            return Some((bytes, Some(coding)));
        }
    }
    std::fs::read(path).ok().map(|bytes| (bytes, None))
}

/// Whether a browser that accepts these codings takes one.
fn takes(accepted: &str, coding: &str) -> bool {
    accepted.split(',').any(|word| {
        let (name, weight) = word.split_once(';').unwrap_or((word, "q=1"));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|weight| weight.parse() == Ok(0.0));
        name.trim().eq_ignore_ascii_case(coding) && !refused
    })
}

fn content_type(file: &Path) -> &'static str {
    match file.extension().unwrap_or_default().to_str().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "wasm" => "application/wasm",
        "json" => "application/json",
        "csv" => "text/csv; charset=utf-8",
        "md" => "text/markdown; charset=utf-8",
        "svg" => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

fn header(name: &str, value: &str) -> Header {
    Header::from_bytes(name, value).expect("a header of plain letters")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_the_folder_is_served() {
        assert_eq!(inside("/"), Some("index.html"));
        assert_eq!(inside("/assets/demo.dcm?x=1"), Some("assets/demo.dcm"));
        for url in ["/../Cargo.toml", "/a/../../b", "/%2e%2e/b", "/c:/windows", "/..\\b"] {
            assert_eq!(inside(url), None, "{url}");
        }
    }

    #[test]
    fn browsers_get_the_coding_that_they_take() {
        assert!(takes("gzip, deflate, br, zstd", "br") && takes("br;q=0.5", "br"));
        assert!(!takes("gzip", "br") && !takes("br;q=0, gzip", "br") && !takes("", "gzip"));
    }
}
