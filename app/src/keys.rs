//! The keyboard: one table for what keys do and for the sheet that shows them.

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
    /// Take the project out as a file.
    TakeOut,
    /// Show or hide the sheet of keys.
    Help,
    /// Close the sheet, or the newest notice.
    Escape,
}

impl Action {
    /// Whether it is done again and again while its key is held. What opens, switches or asks is done once.
    pub fn repeats(self) -> bool {
        matches!(self, Self::Step(_) | Self::Zoom(_) | Self::Pan(..) | Self::Opacity(_))
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
pub const SHEET: [(&str, &str); 19] = [
    ("Space", "Play or pause"),
    ("D / F or \u{2190} / \u{2192}", "One frame back / forward"),
    ("C / V or Shift + \u{2190} / \u{2192}", "Ten frames back / forward"),
    ("Home / End", "First / last frame"),
    ("S", "Next speed"),
    ("W", "Wait for the model, or play in real time"),
    ("O", "Overlay: mask, outline, line, hidden"),
    ("M (hold)", "Peek: hide the overlay while held"),
    ("[ / ]", "Overlay less / more opaque"),
    ("+ / \u{2212}", "Zoom in / out"),
    ("=", "Fit the image"),
    ("Wheel \u{b7} drag", "Zoom at the cursor \u{b7} move the image"),
    ("Shift + \u{2191} / \u{2193}, Alt + arrows", "Move the image"),
    ("Page Up / Page Down", "Previous / next file"),
    ("\u{2026} on the strip of frames", "Ten frames forward / back"),
    ("Ctrl + O", "Open images, DICOM or video"),
    ("Ctrl + Shift + O", "Open a model file"),
    ("Ctrl + S", "Take the project out as a file"),
    ("? or F1 \u{b7} Esc", "This sheet \u{b7} close"),
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
}

/// What a key press does; letters go by the typed character, brackets by position. `letters` is false when the user
/// turned single-letter keys off.
pub fn action(press: Press<'_>, letters: bool) -> Option<Action> {
    let Press { key, code, shift, control, alt } = press;
    if control {
        return match (key, shift) {
            ("o" | "O", false) => Some(Action::OpenFiles),
            ("o" | "O", true) => Some(Action::OpenModel),
            ("s" | "S", false) => Some(Action::TakeOut),
            _ => None,
        };
    }
    match (key, shift, alt) {
        ("ArrowLeft", _, true) => return Some(Action::Pan(1, 0)),
        ("ArrowRight", _, true) => return Some(Action::Pan(-1, 0)),
        ("ArrowUp", _, true) | ("ArrowUp", true, _) => return Some(Action::Pan(0, 1)),
        ("ArrowDown", _, true) | ("ArrowDown", true, _) => return Some(Action::Pan(0, -1)),
        ("ArrowLeft", shift, false) => return Some(Action::Step(if shift { -10 } else { -1 })),
        ("ArrowRight", shift, false) => return Some(Action::Step(if shift { 10 } else { 1 })),
        (_, _, true) => return None,
        _ => {}
    }
    let named = match key {
        "Home" => Some(Action::First),
        "End" => Some(Action::Last),
        " " => Some(Action::PlayPause),
        "PageUp" => Some(Action::File(-1)),
        "PageDown" => Some(Action::File(1)),
        "F1" => Some(Action::Help),
        "Escape" => Some(Action::Escape),
        _ => None,
    };
    if named.is_some() || !letters {
        return named;
    }
    match (key, code) {
        ("?", _) => Some(Action::Help),
        ("+", _) => Some(Action::Zoom(1)),
        ("-" | "\u{2212}", _) => Some(Action::Zoom(-1)),
        ("=", _) => Some(Action::Fit),
        ("d" | "D", _) => Some(Action::Step(-1)),
        ("f" | "F", _) => Some(Action::Step(1)),
        ("c" | "C", _) => Some(Action::Step(-10)),
        ("v" | "V", _) => Some(Action::Step(10)),
        ("o" | "O", _) => Some(Action::CycleOverlay),
        ("m" | "M", _) => Some(Action::Peek),
        ("s" | "S", _) => Some(Action::CycleSpeed),
        ("w" | "W", _) => Some(Action::ToggleWait),
        (_, "BracketLeft") => Some(Action::Opacity(-1)),
        (_, "BracketRight") => Some(Action::Opacity(1)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(key: &str) -> Press<'_> {
        Press { key, ..Press::default() }
    }

    #[test]
    fn the_table_of_keys_holds() {
        assert_eq!(action(plain("d"), true), Some(Action::Step(-1)));
        assert_eq!(action(plain("ArrowRight"), true), Some(Action::Step(1)));
        assert_eq!(action(Press { shift: true, ..plain("ArrowRight") }, true), Some(Action::Step(10)));
        assert_eq!(action(plain(" "), true), Some(Action::PlayPause));
        assert_eq!(action(Press { shift: true, ..plain("?") }, true), Some(Action::Help));
        assert_eq!(action(Press { control: true, ..plain("o") }, true), Some(Action::OpenFiles));
        assert_eq!(action(Press { control: true, ..plain("s") }, true), Some(Action::TakeOut));
        assert_eq!(action(Press { code: "BracketRight", ..plain("*") }, true), Some(Action::Opacity(1)));
        assert_eq!(action(Press { alt: true, ..plain("ArrowUp") }, true), Some(Action::Pan(0, 1)));
    }

    #[test]
    fn a_held_key_opens_one_file_and_moves_many_frames() {
        let held = |key| action(plain(key), true).unwrap();
        assert!(held("f").repeats() && held("+").repeats() && !held("PageDown").repeats() && !held(" ").repeats());
        assert_eq!(held("PageUp").on_strip(), Action::Step(10));
        assert_eq!(held("PageDown").on_strip(), Action::Step(-10));
        assert_eq!(held("Home").on_strip(), Action::First);
    }

    #[test]
    fn letters_can_be_turned_off_and_shortcuts_of_the_browser_stay() {
        assert_eq!(action(plain("d"), false), None);
        assert_eq!(action(plain("Home"), false), Some(Action::First));
        assert_eq!(action(Press { control: true, ..plain("w") }, true), None);
        assert_eq!(action(Press { control: true, ..plain("c") }, true), None);
        assert_eq!(action(Press { alt: true, ..plain("d") }, true), None);
    }
}
