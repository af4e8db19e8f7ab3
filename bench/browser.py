"""Serves the benchmark page to headless Chromium and yields what the page posts."""

import http.server
import json
import pathlib
import queue
import shutil
import subprocess
import tempfile
import threading

TYPES = {".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm"}
PROGRAMS = ["chromium", "chromium-browser", "google-chrome"]


def messages(folders, seconds):
    """Open infer.html and yield its messages until it is done. `folders` maps the first part of a path to a folder."""
    posted = queue.Queue()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def guess_type(self, path):
            return TYPES.get(pathlib.Path(path).suffix, "application/octet-stream")

        def translate_path(self, path):
            first, _, rest = path.split("?")[0].lstrip("/").partition("/")
            folder, rest = (folders[first], rest) if rest else (folders[""], first)
            return str(pathlib.Path(folder) / pathlib.PurePosixPath(rest))

        def end_headers(self):
            # An isolated page gets a clock of 5 microseconds instead of 100.
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
            super().end_headers()

        def do_POST(self):
            posted.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        raise SystemExit(f"None of {', '.join(PROGRAMS)} is in PATH: install Chromium.")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-extensions", "--no-first-run"]
        address = f"http://127.0.0.1:{server.server_port}/infer.html"
        command = [program, *flags, f"--user-data-dir={profile}", address]
        browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            while True:
                try:
                    message = posted.get(timeout=seconds)
                except queue.Empty:
                    raise SystemExit(f"The page in {program} has said nothing for {seconds} s.") from None
                if "failed" in message:
                    raise SystemExit(f"The page failed: {message['failed']}")
                yield message
                if "done" in message:
                    return
        finally:
            browser.terminate()
            browser.wait()
            server.shutdown()
