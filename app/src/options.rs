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
}

impl Options {
    /// Read the part of the address after `?` (with or without it). What is not understood is passed over.
    pub fn parse(query: &str) -> Self {
        let mut options = Self::default();
        for pair in query.trim_start_matches('?').split('&') {
            match pair.split_once('=') {
                Some(("device", "cpu")) => options.device = DeviceChoice::Cpu,
                Some(("device", "webgpu")) => options.device = DeviceChoice::WebGpu,
                Some(("selftest", "fail")) => options.fail_selftest = true,
                Some(("lose", counts)) => {
                    let counts = counts.replace("%2C", ",");
                    options.lose_after = counts.split(',').filter_map(|count| count.parse().ok()).collect();
                }
                _ => {}
            }
        }
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_nonsense_is_passed_over() {
        let options = Options::parse("?device=webgpu&selftest=fail&lose=3%2C5&x=1&&=");
        assert_eq!(options.device, DeviceChoice::WebGpu);
        assert!(options.fail_selftest);
        assert_eq!(options.lose_after, [3, 5]);
        assert_eq!(Options::parse(""), Options::default());
        assert_eq!(Options::parse("?device=abacus"), Options::default());
    }
}
