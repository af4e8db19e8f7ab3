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
    /// Choose images or clips to open.
    OpenFiles,
    /// Choose a model file.
    OpenModel,
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
    /// A larger (+1) or smaller (-1) brush.
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

    /// The same on the strip of frames, where Page Up and Page Down are larger steps, as on every slider.
    #[must_use]
    pub fn on_strip(self) -> Self {
        match self {
            Self::File(by) => Self::Step(-10 * isize::from(by)),
            other => other,
        }
    }
}

/// A line of the sheet: keys, what they do.
pub const SHEET: [(&str, &str); 31] = [
    ("A", "Accept what the model found, and go on"),
    ("0", "No needle, or nothing there, and go on"),
    ("X", "Exclude the frame, and go on"),
    ("R", "The same as the frame before, and go on"),
    ("N", "Next frame without a person's answer"),
    ("Delete or Backspace", "Take the answer back"),
    ("Ctrl + Z \u{b7} Ctrl + Shift + Z or Ctrl + Y", "Undo \u{b7} redo"),
    ("H \u{b7} L \u{b7} B \u{b7} E \u{b7} G", "Tool: look, line, brush, eraser, fill"),
    ("T / Shift + T \u{b7} L again", "Take the tip / the entry \u{b7} the whole line"),
    ("Arrows / Shift + arrows, once taken", "Move it by 1 / 10 pixels"),
    ("Enter, with the tool for lines", "Put a line into the middle"),
    ("U", "Turn the line round: exchange entry and tip"),
    ("[ / ] or Alt + wheel", "Smaller / larger brush"),
    ("Ctrl (hold)", "Brush erases, eraser paints"),
    ("Q", "Paint the next class"),
    ("Space (hold) or middle button", "Move the image while a tool is in hand"),
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
    ("Page Up / Page Down", "Previous / next file; ten frames on the strip"),
    ("Ctrl + O", "Open images, DICOM or video"),
    ("Ctrl + Shift + O", "Open a model file"),
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
    /// Control or Command is down, to command and not to type.
    pub control: bool,
    /// Alt is down, to command and not to type.
    pub alt: bool,
    /// AltGr is down: only the typed character counts.
    pub alt_graph: bool,
}

impl Press<'_> {
    /// The letter of the key, small: the typed one, and on layouts without Latin letters that of the place.
    pub fn letter(&self) -> Option<char> {
        let mut typed = self.key.chars();
        match (typed.next(), typed.next()) {
            (Some(one), None) if one.is_ascii_alphabetic() => Some(one.to_ascii_lowercase()),
            (Some(one), None) if one.is_alphabetic() && !self.alt_graph => {
                self.code.strip_prefix("Key")?.chars().next().map(|place| place.to_ascii_lowercase())
            }
            _ => None,
        }
    }

    /// Whether this is the key of a place, where it types nothing else.
    fn is_at(&self, code: &str) -> bool {
        self.code == code && !self.alt_graph
    }
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

/// What a key press does. Letters go by the typed character (see [`Press::letter`]), brackets and 0 by position, too.
pub fn action(press: Press<'_>, mode: Mode) -> Option<Action> {
    let Press { key, shift, control, alt, .. } = press;
    if control {
        return match (press.letter()?, shift) {
            ('o', false) => Some(Action::OpenFiles),
            ('o', true) => Some(Action::OpenModel),
            ('z', false) => Some(Action::Undo),
            ('z', true) | ('y', false) => Some(Action::Redo),
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
    let by_letter = press.letter().and_then(|letter| by_letter(letter, shift));
    match key {
        _ if by_letter.is_some() => by_letter,
        "?" => Some(Action::Help),
        "+" => Some(Action::Zoom(1)),
        "-" | "\u{2212}" => Some(Action::Zoom(-1)),
        "=" => Some(Action::Fit),
        "{" => Some(Action::Opacity(-1)),
        "}" => Some(Action::Opacity(1)),
        _ if key == "[" || press.is_at("BracketLeft") => Some(bracket(-1, shift)),
        _ if key == "]" || press.is_at("BracketRight") => Some(bracket(1, shift)),
        _ if key == "0" || (press.is_at("Digit0") && !shift) => Some(Action::Answer(Reply::Nothing)),
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

fn bracket(by: i8, shift: bool) -> Action {
    if shift { Action::Opacity(by) } else { Action::Size(by) }
}

fn by_letter(letter: char, shift: bool) -> Option<Action> {
    Some(match letter {
        'd' => Action::Step(-1),
        'f' => Action::Step(1),
        'c' => Action::Step(-10),
        'v' => Action::Step(10),
        'o' => Action::CycleOverlay,
        'm' => Action::Peek,
        's' => Action::CycleSpeed,
        'w' => Action::ToggleWait,
        'a' => Action::Answer(Reply::Accept),
        'x' => Action::Answer(Reply::Exclude),
        'r' => Action::Answer(Reply::Repeat),
        'n' => Action::NextOpen,
        'h' => Action::Tool(Tool::Look),
        'l' => Action::Tool(Tool::Line),
        'b' => Action::Tool(Tool::Brush),
        'e' => Action::Tool(Tool::Eraser),
        'g' => Action::Tool(Tool::Fill),
        't' => Action::Take(if shift { Handle::Entry } else { Handle::Tip }),
        'u' => Action::Turn,
        'q' => Action::CycleClass,
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
        assert_eq!(held("PageUp").on_strip(), Action::Step(10));
        assert_eq!(held("PageDown").on_strip(), Action::Step(-10));
        assert_eq!(held("Home").on_strip(), Action::First);
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
    fn keys_are_the_same_on_cyrillic_layouts_and_altgr_types() {
        let cyrillic = |key, code| action(Press { code, ..plain(key) }, LETTERS);
        assert_eq!(cyrillic("\u{444}", "KeyA"), Some(Action::Answer(Reply::Accept)));
        assert_eq!(cyrillic("\u{425}", "BracketLeft"), Some(Action::Size(-1)), "a letter there, too");
        let undo = Press { control: true, code: "KeyZ", ..plain("\u{44f}") };
        assert_eq!(action(undo, LETTERS), Some(Action::Undo));
        // On AZERTY the letter counts, not the place.
        assert_eq!(cyrillic("a", "KeyQ"), Some(Action::Answer(Reply::Accept)));
        assert_eq!(cyrillic("m", "Semicolon"), Some(Action::Peek));
        let typed = |key, code| action(Press { alt_graph: true, code, ..plain(key) }, LETTERS);
        assert_eq!(typed("[", "Digit8"), Some(Action::Size(-1)));
        assert_eq!(typed("@", "Digit0"), None, "AltGr and 0 is another character");
        assert_eq!(typed("\u{17c}", "KeyZ"), None);
    }
}
