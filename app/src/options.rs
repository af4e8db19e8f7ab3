//! Options in the page's address: `?device=cpu`, and what the end-to-end tests force.

use crate::messages::DeviceChoice;

/// What the address asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `device=auto|cpu|webgpu`.
    pub device: DeviceChoice,
    /// `selftest=fail`: treat the self-test of the GPU as failed.
    pub fail_selftest: bool,
    /// `lose=3,5`: destroy the GPU device of the first worker after 3 predictions, of the second after 5.
    pub lose_after: Vec<usize>,
    /// `updates=6`: how long runs learn.
    pub updates: Option<u64>,
    /// `crash=3`: the worker ends after this update of a run.
    pub crash_after: Option<u64>,
}

impl Options {
    /// Read what the address says of each name. What is not understood is passed over.
    pub fn of(query: impl Fn(&str) -> Option<String>) -> Self {
        let device = match query("device").as_deref() {
            Some("cpu") => DeviceChoice::Cpu,
            Some("webgpu") => DeviceChoice::WebGpu,
            _ => DeviceChoice::Auto,
        };
        let counts = query("lose").unwrap_or_default();
        Self {
            device,
            fail_selftest: query("selftest").as_deref() == Some("fail"),
            lose_after: counts.split(',').filter_map(|count| count.parse().ok()).collect(),
            updates: query("updates").and_then(|count| count.parse().ok()),
            crash_after: query("crash").and_then(|count| count.parse().ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_nonsense_is_passed_over() {
        let of = |pairs: &[(&str, &str)]| {
            Options::of(|name| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.to_owned()))
        };
        let lose_after = vec![3, 5];
        let (updates, crash_after) = (Some(6), None);
        let expected = Options { device: DeviceChoice::WebGpu, fail_selftest: true, lose_after, updates, crash_after };
        let asked = [
            ("device", "webgpu"),
            ("selftest", "fail"),
            ("lose", "3,5,x"),
            ("x", "1"),
            ("updates", "6"),
            ("crash", "y"),
        ];
        assert_eq!(of(&asked), expected);
        assert_eq!(of(&[]), Options::default());
        assert_eq!(of(&[("device", "abacus")]), Options::default());
    }
}
