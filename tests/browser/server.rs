//! A small server for the built app. It remembers what was asked of it.

use std::path::Path;
use std::sync::{Arc, Mutex};
use tiny_http::{Header, Method, Request, Response, Server as Http};

/// Serves a folder on a free port of this machine until it is dropped.
pub(crate) struct Server {
    http: Arc<Http>,
    origin: String,
    missing: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Serve the files below `folder`, with a line of JavaScript put before the script of the worker.
    pub(crate) fn start(folder: &Path, before_worker: &'static str) -> Self {
        let http = Arc::new(Http::http("127.0.0.1:0").expect("a free port on 127.0.0.1"));
        let origin = format!("http://{}", http.server_addr());
        let missing = Arc::new(Mutex::new(Vec::new()));
        let (listener, log, folder) = (http.clone(), missing.clone(), folder.to_path_buf());
        std::thread::spawn(move || {
            for request in listener.incoming_requests() {
                answer(request, &folder, before_worker, &log);
            }
        });
        Self { http, origin, missing }
    }

    /// `http://127.0.0.1:port`.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// Answer nothing any more.
    pub(crate) fn stop(&self) {
        self.http.unblock();
    }

    /// Paths that were asked for and are not there.
    pub(crate) fn missing(&self) -> Vec<String> {
        self.missing.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.http.unblock();
    }
}

fn answer(request: Request, folder: &Path, before_worker: &str, missing: &Mutex<Vec<String>>) {
    let path = request.url().split(['?', '#']).next().unwrap_or_default().trim_start_matches('/').to_owned();
    let path = if path.is_empty() { "index.html".to_owned() } else { path };
    let file = folder.join(&path);
    // A path with `..` would leave the folder; nothing of ours asks for one.
    let bytes = if path.contains("..") || *request.method() != Method::Get { None } else { std::fs::read(&file).ok() };
    // An error means that the browser was closed before it got everything, which is its right.
    let _sent = match bytes {
        Some(bytes) if matches!(path.as_str(), "worker.js" | "start-worker.js") => {
            let script = [before_worker.as_bytes(), &bytes].concat();
            request.respond(Response::from_data(script).with_header(content_type(&file)))
        }
        Some(bytes) => request.respond(Response::from_data(bytes).with_header(content_type(&file))),
        None => {
            missing.lock().unwrap().push(path);
            request.respond(Response::from_string("not found").with_status_code(404))
        }
    };
}

fn content_type(file: &Path) -> Header {
    let kind = match file.extension().unwrap_or_default().to_str().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "wasm" => "application/wasm",
        "json" => "application/json",
        "csv" => "text/csv; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        _ => "application/octet-stream",
    };
    Header::from_bytes("Content-Type", kind).expect("a header of plain letters")
}
