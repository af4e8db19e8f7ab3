//! The keyboard: one table for what keys do and for the sheet that shows them.

use sonoseg_imaging::annotation::Handle;

use crate::annotate::{Reply, Tool};

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action {
    /// Move by this many frames.
    Step(isize),
    /// Go to the first frame.
    First,
    /// Go to the last frame.
    Last,
    /// Play or pause.
    PlayPause,
    /// Next overlay: mask, outline, line, hidden.
    CycleOverlay,
    /// Hide the overlay while the key is down.
    Peek,
    /// More (+1) or less (-1) opaque.
    Opacity(i8),
    /// Next speed.
    CycleSpeed,
    /// Wait for the model, or play in real time.
    ToggleWait,
    /// Zoom in (+1) or out (-1).
    Zoom(i8),
    /// Show the whole image.
    Fit,
    /// Move the picture by this many tenths of the canvas, right and down.
    Pan(i8, i8),
    /// Next (+1) or previous (-1) file.
    File(i8),
    /// The whole screen for the page, or no longer.
    FullScreen,
    /// Choose images or clips to open.
    OpenFiles,
    /// Choose a model file.
    OpenModel,
    /// Take the project out as a file.
    TakeOut,
    /// Answer for the frame on the screen, and go on.
    Answer(Reply),
    /// Go to the next frame without a person's word.
    NextOpen,
    /// Take the last step back.
    Undo,
    /// Make the last step that was taken back again.
    Redo,
    /// Choose a tool.
    Tool(Tool),
    /// Take a part of the line for the arrows.
    Take(Handle),
    /// Move what is taken by this many pixels, right and down.
    Nudge(i8, i8),
    /// Put a line into the middle of the picture.
    PlaceLine,
    /// Exchange entry and tip.
    Turn,
    /// A larger (+1) or smaller (-1) brush or eraser.
    Size(i8),
    /// Paint the next class.
    CycleClass,
    /// Show or hide the sheet of keys.
    Help,
    /// Give up what is being drawn, close the sheet or the newest notice, or go back to looking.
    Escape,
}

impl Action {
    /// Whether it is done again and again while its key is held. What opens, switches, asks or answers is done once.
    pub fn repeats(self) -> bool {
        matches!(
            self,
            Self::Step(_)
                | Self::Zoom(_)
                | Self::Pan(..)
                | Self::Opacity(_)
                | Self::Nudge(..)
                | Self::Size(_)
                | Self::Undo
                | Self::Redo
        )
    }
}

/// A line of the sheet: keys, what they do.
pub const SHEET: [(&str, &str); 33] = [
    ("A", "Accept what the model found, and go on"),
    ("0", "No needle, or nothing there, and go on"),
    ("X", "Exclude the frame, and go on"),
    ("R", "The same as the frame before, and go on"),
    ("N", "Next frame without a person's answer"),
    ("Delete or Backspace", "Take the answer back"),
    ("Ctrl + Z", "Undo"),
    ("Ctrl + Shift + Z or Ctrl + Y", "Redo"),
    ("H \u{b7} L \u{b7} B \u{b7} E \u{b7} G", "Tool: look, line, brush, eraser, fill"),
    ("T / Y \u{b7} L again", "Take the tip / the entry \u{b7} the whole line"),
    ("\u{2026} arrows / Shift + arrows", "Move what is taken by 1 / 10 pixels"),
    ("Enter", "With the tool for lines: put one into the middle"),
    ("U", "Turn the line round: exchange entry and tip"),
    ("[ / ] or Alt + wheel", "Smaller / larger brush or eraser"),
    ("Ctrl (hold)", "Brush erases, eraser paints"),
    ("Q", "Paint the next class"),
    ("Space (hold), middle button", "Move the image while a tool is in hand"),
    ("Space", "Play or pause"),
    ("D / F or \u{2190} / \u{2192}", "One frame back / forward"),
    ("C / V or Shift + \u{2190} / \u{2192}", "Ten frames back / forward"),
    ("Home / End", "First / last frame"),
    ("S \u{b7} W", "Next speed \u{b7} wait for the model, or play in real time"),
    ("O", "Overlay: mask, outline, line, hidden"),
    ("M (hold)", "Peek: hide the overlay while held"),
    ("Shift + [ / ]", "Overlay less / more opaque"),
    ("+ / \u{2212} \u{b7} =", "Zoom in / out \u{b7} fit the image"),
    ("Wheel \u{b7} drag", "Zoom at the cursor \u{b7} move the image"),
    ("Shift + \u{2191} / \u{2193}, Alt + arrows", "Move the image"),
    ("Page Up / Page Down", "Previous / next file"),
    ("Ctrl + O", "Open images, DICOM or video"),
    ("Ctrl + Shift + O", "Open a model file"),
    ("Ctrl + S", "Take the project out as a file"),
    ("? or F1 \u{b7} Esc", "This sheet \u{b7} close, give up, back to looking"),
];

/// A key press as the browser reports it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Press<'a> {
    /// The typed character or the key's name.
    pub key: &'a str,
    /// The physical key.
    pub code: &'a str,
    /// Shift is down.
    pub shift: bool,
    /// Control or Command is down.
    pub control: bool,
    /// Alt is down.
    pub alt: bool,
    /// AltGr is down, which types characters.
    pub alt_graph: bool,
}

/// What was typed; of a letter that is not Latin, the Latin one of the same key.
pub fn typed(press: Press<'_>) -> &str {
    let Press { key, code, alt_graph, .. } = press;
    let mut characters = key.chars();
    let foreign = characters.next().is_some_and(|first| first.is_alphabetic() && !first.is_ascii());
    let alone = characters.next().is_none();
    code.strip_prefix("Key").filter(|_| foreign && alone && !alt_graph).unwrap_or(key)
}

/// What decides what keys do, besides the key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mode {
    /// Single letters are keys; the user can turn that off.
    pub letters: bool,
    /// The tool for lines is in hand.
    pub line: bool,
    /// A part of the line is taken, and arrows move it.
    pub taken: bool,
}

/// What a key press does; letters go by the typed character, on keyboards without Latin letters by position, brackets and 0
/// by either.
pub fn action(press: Press<'_>, mode: Mode) -> Option<Action> {
    let Press { code, shift, alt_graph, .. } = press;
    // Some systems report AltGr as Control with Alt.
    let (control, alt) = (press.control && !alt_graph, press.alt && !alt_graph);
    let key = typed(press);
    if control {
        return match (key, shift) {
            ("o" | "O", false) => Some(Action::OpenFiles),
            ("o" | "O", true) => Some(Action::OpenModel),
            ("s" | "S", false) => Some(Action::TakeOut),
            ("z" | "Z", false) => Some(Action::Undo),
            ("z" | "Z", true) | ("y" | "Y", false) => Some(Action::Redo),
            _ => None,
        };
    }
    if let Some((right, down)) = arrow(key) {
        let far = if shift { 10 } else { 1 };
        return match (alt, down) {
            (false, _) if mode.taken => Some(Action::Nudge(far * right, far * down)),
            (false, 0) => Some(Action::Step(isize::from(far * right))),
            (false, _) if !shift => None,
            _ => Some(Action::Pan(-right, -down)),
        };
    }
    if alt {
        return None;
    }
    let named = match key {
        "Home" => Some(Action::First),
        "End" => Some(Action::Last),
        " " => Some(Action::PlayPause),
        "PageUp" => Some(Action::File(-1)),
        "PageDown" => Some(Action::File(1)),
        "Delete" | "Backspace" => Some(Action::Answer(Reply::TakeBack)),
        "Enter" if mode.line => Some(Action::PlaceLine),
        "F1" => Some(Action::Help),
        "Escape" => Some(Action::Escape),
        _ => None,
    };
    if named.is_some() || !mode.letters {
        return named;
    }
    if let Some(action) = by_letter(key) {
        return Some(action);
    }
    // With AltGr, and with Shift on the key of the 0, other characters are typed there.
    let place = if alt_graph { "" } else { code };
    match (key, place, shift) {
        ("?", ..) => Some(Action::Help),
        ("+", ..) => Some(Action::Zoom(1)),
        ("-" | "\u{2212}", ..) => Some(Action::Zoom(-1)),
        ("=", ..) => Some(Action::Fit),
        ("{", ..) | (_, "BracketLeft", true) => Some(Action::Opacity(-1)),
        ("}", ..) | (_, "BracketRight", true) => Some(Action::Opacity(1)),
        ("[", ..) | (_, "BracketLeft", false) => Some(Action::Size(-1)),
        ("]", ..) | (_, "BracketRight", false) => Some(Action::Size(1)),
        ("0", ..) | (_, "Digit0", false) => Some(Action::Answer(Reply::Nothing)),
        _ => None,
    }
}

/// Where an arrow points, right and down.
fn arrow(key: &str) -> Option<(i8, i8)> {
    match key {
        "ArrowLeft" => Some((-1, 0)),
        "ArrowRight" => Some((1, 0)),
        "ArrowUp" => Some((0, -1)),
        "ArrowDown" => Some((0, 1)),
        _ => None,
    }
}

fn by_letter(key: &str) -> Option<Action> {
    Some(match key {
        "d" | "D" => Action::Step(-1),
        "f" | "F" => Action::Step(1),
        "c" | "C" => Action::Step(-10),
        "v" | "V" => Action::Step(10),
        "o" | "O" => Action::CycleOverlay,
        "m" | "M" => Action::Peek,
        "s" | "S" => Action::CycleSpeed,
        "w" | "W" => Action::ToggleWait,
        "a" | "A" => Action::Answer(Reply::Accept),
        "x" | "X" => Action::Answer(Reply::Exclude),
        "r" | "R" => Action::Answer(Reply::Repeat),
        "n" | "N" => Action::NextOpen,
        "h" | "H" => Action::Tool(Tool::Look),
        "l" | "L" => Action::Tool(Tool::Line),
        "b" | "B" => Action::Tool(Tool::Brush),
        "e" | "E" => Action::Tool(Tool::Eraser),
        "g" | "G" => Action::Tool(Tool::Fill),
        "t" | "T" => Action::Take(Handle::Tip),
        "y" | "Y" => Action::Take(Handle::Entry),
        "u" | "U" => Action::Turn,
        "q" | "Q" => Action::CycleClass,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LETTERS: Mode = Mode { letters: true, line: false, taken: false };

    fn plain(key: &str) -> Press<'_> {
        Press { key, ..Press::default() }
    }

    #[test]
    fn the_table_of_keys_holds() {
        let with = |press| action(press, LETTERS);
        assert_eq!(with(plain("d")), Some(Action::Step(-1)));
        assert_eq!(with(plain("ArrowRight")), Some(Action::Step(1)));
        assert_eq!(with(Press { shift: true, ..plain("ArrowRight") }), Some(Action::Step(10)));
        assert_eq!(with(plain(" ")), Some(Action::PlayPause));
        assert_eq!(with(Press { shift: true, ..plain("?") }), Some(Action::Help));
        assert_eq!(with(Press { control: true, ..plain("o") }), Some(Action::OpenFiles));
        assert_eq!(with(Press { control: true, ..plain("s") }), Some(Action::TakeOut));
        assert_eq!(with(Press { code: "BracketRight", ..plain("*") }), Some(Action::Size(1)));
        assert_eq!(with(Press { code: "BracketRight", shift: true, ..plain("}") }), Some(Action::Opacity(1)));
        assert_eq!(with(Press { alt: true, ..plain("ArrowUp") }), Some(Action::Pan(0, 1)));
        assert_eq!(with(Press { shift: true, ..plain("ArrowDown") }), Some(Action::Pan(0, -1)));
        assert_eq!(with(plain("ArrowDown")), None);
        assert_eq!(with(plain("a")), Some(Action::Answer(Reply::Accept)));
        assert_eq!(with(Press { code: "Digit0", ..plain("\u{e0}") }), Some(Action::Answer(Reply::Nothing)));
        assert_eq!(with(Press { control: true, shift: true, ..plain("Z") }), Some(Action::Redo));
    }

    #[test]
    fn arrows_move_what_is_taken_and_the_frame_otherwise() {
        let taken = Mode { line: true, taken: true, ..LETTERS };
        assert_eq!(action(plain("ArrowUp"), taken), Some(Action::Nudge(0, -1)));
        assert_eq!(action(Press { shift: true, ..plain("ArrowLeft") }, taken), Some(Action::Nudge(-10, 0)));
        assert_eq!(action(Press { alt: true, ..plain("ArrowLeft") }, taken), Some(Action::Pan(1, 0)));
        assert_eq!(action(plain("f"), taken), Some(Action::Step(1)));
        assert_eq!(action(plain("Enter"), taken), Some(Action::PlaceLine));
        assert_eq!(action(plain("Enter"), LETTERS), None);
    }

    #[test]
    fn a_held_key_opens_one_file_and_moves_many_frames() {
        let held = |key| action(plain(key), LETTERS).unwrap();
        assert!(held("f").repeats() && held("+").repeats() && !held("PageDown").repeats() && !held(" ").repeats());
        assert!(!held("a").repeats(), "a held key answers for one frame");
    }

    #[test]
    fn letters_can_be_turned_off_and_shortcuts_of_the_browser_stay() {
        assert_eq!(action(plain("d"), Mode::default()), None);
        assert_eq!(action(plain("Home"), Mode::default()), Some(Action::First));
        assert_eq!(action(Press { control: true, ..plain("z") }, Mode::default()), Some(Action::Undo));
        assert_eq!(action(Press { control: true, ..plain("w") }, LETTERS), None);
        assert_eq!(action(Press { control: true, ..plain("c") }, LETTERS), None);
        assert_eq!(action(Press { alt: true, ..plain("d") }, LETTERS), None);
    }

    #[test]
    fn letters_of_other_alphabets_and_characters_typed_with_altgr_count() {
        let on = |key: &'static str, code: &'static str| Press { code, ..plain(key) };
        let of = |press| action(press, LETTERS);
        assert_eq!(of(on("\u{444}", "KeyA")), Some(Action::Answer(Reply::Accept)), "Russian");
        assert_eq!(of(on("\u{425}", "BracketLeft")), Some(Action::Size(-1)), "a letter on the key of a bracket");
        assert_eq!(of(Press { control: true, ..on("\u{44f}", "KeyZ") }), Some(Action::Undo));
        assert_eq!(of(on("a", "KeyQ")), Some(Action::Answer(Reply::Accept)), "what is typed counts, not the place");
        assert_eq!(of(on("\u{e9}", "Digit2")), None, "French");
        let graph = |press| Press { control: true, alt: true, alt_graph: true, ..press };
        assert_eq!(of(graph(on("[", "Digit8"))), Some(Action::Size(-1)), "German");
        assert_eq!(of(graph(on("@", "Digit0"))), None, "another character than 0");
        assert_eq!(of(graph(on("\u{17c}", "KeyZ"))), None, "Polish");
        assert_eq!(typed(on("\u{44c}", "KeyM")), "M");
    }
}
