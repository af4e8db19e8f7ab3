//! Window, level and gamma of the shown picture. The model gets the picture as it is in the file.

/// How grey values are shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tone {
    /// How many grey values lie between black and white, from 1.
    pub window: f64,
    /// The grey value in their middle.
    pub level: f64,
    /// Above 1 the dark values are lighter, below 1 darker.
    pub gamma: f64,
}

impl Default for Tone {
    fn default() -> Self {
        Self { window: 255.0, level: 127.5, gamma: 1.0 }
    }
}

impl Tone {
    /// What each of the 256 values of a pixel is shown as.
    pub fn table(&self) -> [u8; 256] {
        let low = self.level - self.window / 2.0;
        std::array::from_fn(|value| {
            let share = ((value as f64 - low) / self.window.max(1.0)).clamp(0.0, 1.0);
            (255.0 * share.powf(1.0 / self.gamma.max(0.01))).round() as u8
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_shown_as_it_is_unless_someone_changes_it() {
        let table = Tone::default().table();
        assert!((0..=255).all(|value: u8| table[usize::from(value)] == value));
    }

    #[test]
    fn window_and_level_cut_and_gamma_bends() {
        let narrow = Tone { window: 100.0, level: 100.0, gamma: 1.0 }.table();
        assert_eq!([narrow[50], narrow[100], narrow[150], narrow[255]], [0, 128, 255, 255]);
        let light = Tone { gamma: 2.0, ..Tone::default() }.table();
        assert!(light[64] > 120 && light[0] == 0 && light[255] == 255);
        let edge = Tone { window: 1.0, level: 0.0, gamma: 1.0 }.table();
        assert_eq!(edge[1], 255);
    }
}
