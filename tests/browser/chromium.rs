//! One page of the app in headless Chromium: what it says about itself, what a person can do to it, what it asks for.

use crate::process;
use crate::server::Server;
use headless_chrome::browser::tab::ModifierKey;
use headless_chrome::protocol::cdp::Emulation::{SetDeviceMetricsOverride, SetEmulatedMedia};
use headless_chrome::protocol::cdp::Page::CaptureScreenshotFormatOption::Png;
use headless_chrome::protocol::cdp::Page::{SetDownloadBehavior, SetDownloadBehaviorBehaviorOption as Downloads};
use headless_chrome::protocol::cdp::{Browser as Control, types::Event};
use headless_chrome::{Browser, LaunchOptions, Tab};
use serde_json::json;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What Chromium may use to compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Graphics {
    /// WebGPU on the software adapter.
    SoftwareWebGpu,
    /// WebGPU is offered, but has no adapter.
    Off,
    /// The browser does not know WebGPU.
    NoWebGpu,
}

impl Graphics {
    fn flags(self) -> &'static [&'static str] {
        match self {
            Self::SoftwareWebGpu => {
                &["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"]
            }
            Self::Off | Self::NoWebGpu => &["--disable-gpu"],
        }
    }
}

/// A page of the app.
pub(crate) struct Page {
    name: String,
    query: String,
    tab: Arc<Tab>,
    /// The browser itself.
    pub(crate) browser: Browser,
    server: Server,
    exceptions: Arc<Mutex<Vec<String>>>,
    network_log: PathBuf,
    opened: Instant,
    _scratch: tempfile::TempDir,
}

impl Page {
    /// Start Chromium and open the app with a query such as `?device=cpu`. `name` names the screenshots.
    pub(crate) fn open(name: &str, graphics: Graphics, query: &str) -> Self {
        let no_gpu = if graphics == Graphics::NoWebGpu { "delete WorkerNavigator.prototype.gpu;" } else { "" };
        Self::open_with(name, graphics, query, no_gpu)
    }

    /// The same with a line of JavaScript that the worker runs first.
    pub(crate) fn open_with(name: &str, graphics: Graphics, query: &str, before_worker: &'static str) -> Self {
        let dist = repository().join("dist");
        assert!(dist.join("index.html").is_file(), "The app is not built: run `cargo xtask test browser`.");
        let server = Server::start(&dist, before_worker);
        let scratch = tempfile::tempdir().unwrap();
        let network_log = scratch.path().join("network.json");
        let log_flag = format!("--log-net-log={}", network_log.display());
        let mut flags = vec![
            "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
            "--disable-component-update",
            "--hide-scrollbars",
            &log_flag,
        ];
        flags.extend(graphics.flags());
        let options = LaunchOptions::default_builder()
            .sandbox(false)
            .enable_gpu(graphics == Graphics::SoftwareWebGpu)
            .window_size(Some((1280, 800)))
            .idle_browser_timeout(Duration::from_secs(600))
            .args(flags.into_iter().map(OsStr::new).collect())
            .build()
            .unwrap();
        let browser = Browser::new(options).expect("Chromium starts");
        // A busy machine may need more than the usual seconds for a tab.
        browser.set_default_timeout(Duration::from_secs(120));
        let exceptions = Arc::new(Mutex::new(Vec::new()));
        let tab = new_tab(&browser, &exceptions);
        let opened = Instant::now();
        tab.navigate_to(&format!("{}/{query}", server.origin())).expect("the page answers");
        let (name, query) = (name.to_owned(), query.to_owned());
        Self { name, query, tab, browser, server, exceptions, network_log, opened, _scratch: scratch }
    }

    /// The processes of all tabs are killed, and the app is opened again in another one.
    pub(crate) fn kill(&mut self) {
        let tabs = process::of_kind(self.browser.get_process_id().unwrap(), "renderer");
        for tab in &tabs {
            assert!(Command::new("kill").args(["-9", &tab.to_string()]).status().unwrap().success());
        }
        // Chromium might give a new tab one of the dead processes until it knows of them all.
        let killed = Instant::now();
        while tabs.iter().any(|tab| process::is_known(*tab)) {
            assert!(killed.elapsed() < Duration::from_secs(60), "Chromium does not see that its tabs were killed");
            std::thread::sleep(Duration::from_millis(50));
        }
        self.tab = new_tab(&self.browser, &self.exceptions);
        self.tab.navigate_to(&format!("{}/{}", self.server.origin(), self.query)).expect("the page answers again");
    }

    /// Time since the page was asked for.
    pub(crate) fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    /// What the page says about itself: the `data-*` attributes of its root and its main part, names as in JavaScript (`tipX`).
    pub(crate) fn state(&self) -> State {
        let text = self.script(
            "JSON.stringify({...document.querySelector('[data-state]')?.dataset, ...document.querySelector('main')?.dataset})",
        );
        State(text.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default())
    }

    /// What a part of the page says about itself, as [`Self::state`].
    pub(crate) fn part(&self, selector: &str) -> State {
        let text =
            self.script(&format!("JSON.stringify({{...(document.querySelector('{selector}') ?? {{}}).dataset}})"));
        State(text.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default())
    }

    /// Press a button.
    pub(crate) fn click(&self, selector: &str) {
        self.script(&format!("document.querySelector('{selector}').click()"));
    }

    /// Files that the page has the browser save go into this folder.
    pub(crate) fn save_into(&self, folder: &Path) {
        let download_path = Some(folder.to_str().unwrap().to_owned());
        self.tab.call_method(SetDownloadBehavior { behavior: Downloads::Allow, download_path }).unwrap();
    }

    /// Open the app in a second tab until it says something; the tab is closed then.
    pub(crate) fn second_tab_says(&self, seconds: u64, words: &str) {
        let tab = self.browser.new_tab().expect("Chromium opens a second tab");
        tab.navigate_to(&format!("{}/?device=cpu", self.server.origin())).expect("the page answers again");
        let start = Instant::now();
        let says = || {
            let text = tab.evaluate("document.body?.innerText", true).ok().and_then(|result| result.value);
            text.is_some_and(|text| text.as_str().unwrap_or_default().contains(words))
        };
        while !says() {
            assert!(start.elapsed().as_secs() < seconds, "{}: the second tab does not say '{words}'", self.name);
            std::thread::sleep(Duration::from_millis(100));
        }
        tab.close(true).expect("the second tab closes");
    }

    /// The value of an expression in the page.
    pub(crate) fn script(&self, expression: &str) -> serde_json::Value {
        let result = self.tab.evaluate(expression, true).unwrap_or_else(|error| panic!("`{expression}`: {error}"));
        result.value.unwrap_or_default()
    }

    /// Wait until the page says something of itself; fails with all that it says and a screenshot.
    pub(crate) fn wait<T>(&self, seconds: u64, what: &str, ask: impl Fn(&State) -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            let state = self.state();
            if let Some(answer) = ask(&state) {
                return answer;
            }
            if start.elapsed().as_secs() >= seconds {
                self.screenshot("failed");
                let thrown = self.exceptions.lock().unwrap().join("\n");
                let text = self.text();
                panic!("{}: no {what} within {seconds} s.\n{state:?}\nexceptions: {thrown}\ntext: {text}", self.name);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The messages that the page shows to the user, the newest last.
    pub(crate) fn notices(&self) -> Vec<String> {
        let texts =
            self.script("JSON.stringify([...document.querySelectorAll('.notice span')].map(e => e.textContent))");
        texts.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// All text of the page.
    pub(crate) fn text(&self) -> String {
        self.script("document.body.innerText").as_str().unwrap_or_default().to_owned()
    }

    /// Load the page again, with everything that the browser kept of it.
    pub(crate) fn reload(&mut self) {
        self.opened = Instant::now();
        self.tab.reload(false, None).expect("the page answers again");
    }

    /// The page has a screen of this size, as a phone's.
    pub(crate) fn resize(&self, width: u32, height: u32) {
        let screen = json!({ "width": width, "height": height, "deviceScaleFactor": 2.0, "mobile": true });
        let screen: SetDeviceMetricsOverride = serde_json::from_value(screen).unwrap();
        self.tab.call_method(screen).unwrap();
    }

    /// The user forces colours of their own.
    pub(crate) fn force_colours(&self) {
        let forced = json!({ "features": [{ "name": "forced-colors", "value": "active" }] });
        let forced: SetEmulatedMedia = serde_json::from_value(forced).unwrap();
        self.tab.call_method(forced).unwrap();
    }

    /// Nothing is answered any more.
    pub(crate) fn offline(&self) {
        self.server.stop();
    }

    /// Hand files to the page as a person does with its file button.
    pub(crate) fn choose_files(&self, input: &str, files: &[&Path]) {
        let names: Vec<&str> = files.iter().map(|file| file.to_str().unwrap()).collect();
        self.tab.find_element(input).unwrap().set_input_files(&names).unwrap();
    }

    /// Stop the clip when it plays.
    pub(crate) fn pause(&self) {
        // A clip that begins to play, or ends, between the look and the key makes the key do the contrary: look again.
        let start = Instant::now();
        while self.state().text("playing") == "true" {
            assert!(start.elapsed() < Duration::from_secs(30), "it does not pause");
            self.press(" ");
            let pressed = Instant::now();
            while self.state().text("playing") == "true" && pressed.elapsed() < Duration::from_secs(5) {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }

    /// Press a key, by the name or character of its event (`ArrowRight`, ` `).
    pub(crate) fn press(&self, key: &str) {
        self.tab.press_key(key).unwrap();
    }

    /// The same with other keys held.
    pub(crate) fn press_with(&self, key: &str, held: &[ModifierKey]) {
        self.tab.press_key_with_modifiers(key, Some(held)).unwrap();
    }

    /// Press a key by the character that it types and its place, as another layout of the keyboard has it.
    pub(crate) fn press_at(&self, key: &str, code: &str) {
        let event = |kind| format!("new KeyboardEvent('{kind}', {{ key: '{key}', code: '{code}', bubbles: true }})");
        let send = |kind| format!("document.body.dispatchEvent({});", event(kind));
        self.script(&format!("{{ {} {} }}", send("keydown"), send("keyup")));
    }

    /// Press a pointer (`mouse`, `pen`) on the picture, move it along these points in pixels of the frame, and let it go.
    /// `control` is the key that is held meanwhile.
    pub(crate) fn draw(&self, pointer: &str, control: bool, way: &[(f64, f64)]) {
        self.send_pointer(pointer, control, way, "send('pointerup', way.at(-1), 0);");
    }

    /// The same without letting it go.
    pub(crate) fn hold(&self, pointer: &str, way: &[(f64, f64)]) {
        self.send_pointer(pointer, false, way, "");
    }

    fn send_pointer(&self, pointer: &str, control: bool, way: &[(f64, f64)], end: &str) {
        let way: Vec<String> = way.iter().map(|(x, y)| format!("[{x}, {y}]")).collect();
        self.script(&format!(
            "{{ const canvas = document.querySelector('.stage > canvas'), box = canvas.getBoundingClientRect(); \
             const [scale, left, top] = document.querySelector('[data-view]').dataset.view.split(' ').map(Number); \
             const send = (kind, [x, y], buttons) => canvas.dispatchEvent(new PointerEvent(kind, {{ pointerId: 7, isPrimary: true, \
             clientX: box.left + (left + scale * (x + 0.5)) / devicePixelRatio, clientY: box.top + (top + scale * (y + 0.5)) / \
             devicePixelRatio, pointerType: '{pointer}', button: 0, buttons, ctrlKey: {control}, bubbles: true }})); \
             const way = [{}]; send('pointerdown', way[0], 1); way.slice(1).forEach(at => send('pointermove', at, 1)); \
             {end} }}",
            way.join(", ")
        ));
    }

    /// Keep a picture of the page in `artefacts/`.
    pub(crate) fn screenshot(&self, moment: &str) {
        let folder = repository().join("artefacts");
        std::fs::create_dir_all(&folder).unwrap();
        let picture = self.tab.capture_screenshot(Png, None, None, true).unwrap();
        std::fs::write(folder.join(format!("{}-{moment}.png", self.name)), picture).unwrap();
    }

    /// Close the browser. Fails when the page threw, missed a file, or asked any other origin for anything.
    pub(crate) fn close(self) {
        let thrown = self.exceptions.lock().unwrap().clone();
        assert!(thrown.is_empty(), "{}: the page threw:\n{}", self.name, thrown.join("\n"));
        let missing: Vec<_> = self.server.missing().into_iter().filter(|path| path != "favicon.ico").collect();
        assert!(missing.is_empty(), "{}: the page asked for files that are not there: {missing:?}", self.name);
        let _closing = self.tab.call_method(Control::Close(None));
        let asked = self.requests();
        assert!(asked.iter().any(|url| url.ends_with(".wasm")), "{}: the network log lacks requests", self.name);
        let foreign: Vec<_> = asked.iter().filter(|url| !url.starts_with(self.server.origin())).collect();
        assert!(foreign.is_empty(), "{}: something left the tab: {foreign:?}", self.name);
    }

    /// Addresses that the page and its workers asked for, from Chromium's own log; Chromium's own requests have no
    /// initiator and are left out.
    fn requests(&self) -> Vec<String> {
        let start = Instant::now();
        let mut log = String::new();
        while !log.trim_end().ends_with("\n}") && start.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(100));
            log = std::fs::read_to_string(&self.network_log).unwrap_or_default();
        }
        let initiator = format!("\"initiator\":\"{}", self.server.origin());
        let value = |line: &str| Some(line.split("\"url\":\"").nth(1)?.split('"').next()?.to_owned());
        log.lines().filter(|line| line.contains(&initiator)).filter_map(value).collect()
    }
}

impl Drop for Page {
    /// A failed test asks Chromium to end, too: a killed one may leave busy processes behind.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _closing = self.tab.call_method(Control::Close(None));
        }
    }
}

/// A tab whose exceptions are written down.
fn new_tab(browser: &Browser, exceptions: &Arc<Mutex<Vec<String>>>) -> Arc<Tab> {
    let tab = browser.new_tab().expect("Chromium opens a tab");
    tab.set_default_timeout(Duration::from_secs(60));
    tab.enable_runtime().unwrap();
    let log = exceptions.clone();
    tab.add_event_listener(Arc::new(move |event: &Event| {
        if let Event::RuntimeExceptionThrown(thrown) = event {
            let details = &thrown.params.exception_details;
            let said = details.exception.as_ref().and_then(|exception| exception.description.clone());
            log.lock().unwrap().push(said.unwrap_or_else(|| details.text.clone()));
        }
    }))
    .unwrap();
    tab
}

/// The attributes of a page at one moment.
#[derive(Debug)]
pub(crate) struct State(BTreeMap<String, String>);

impl State {
    /// An attribute, or an empty text.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// An attribute that is a number.
    pub(crate) fn number(&self, name: &str) -> Option<f64> {
        self.text(name).parse().ok()
    }
}

/// The folder of the repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}
