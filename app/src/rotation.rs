//! How a recorded picture is turned before it is shown: phones record as they are held, and say so in the file.

/// Quarter turns clockwise, from 0 to 3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuarterTurns(u8);

impl QuarterTurns {
    /// By the matrix of an MP4 track, `[a, b, c, d]` of `x' = a x + c y`, `y' = b x + d y`. `None` where it mirrors the
    /// picture or turns it by another angle.
    pub fn of(matrix: [i32; 4]) -> Option<Self> {
        match matrix.map(i32::signum) {
            // A matrix of zeros says nothing; some writers leave it so.
            [1, 0, 0, 1] | [0, 0, 0, 0] => Some(Self(0)),
            [0, 1, -1, 0] => Some(Self(1)),
            [-1, 0, 0, -1] => Some(Self(2)),
            [0, -1, 1, 0] => Some(Self(3)),
            _ => None,
        }
    }

    /// `(height, width)` of the turned picture.
    pub fn size(self, height: u32, width: u32) -> (u32, u32) {
        if self.0 % 2 == 1 { (width, height) } else { (height, width) }
    }

    /// The transform of a canvas, `[a, b, c, d, e, f]` of `x' = a x + c y + e`, `y' = b x + d y + f`, that draws a
    /// picture of `height` and `width` turned, with its corner at the origin.
    pub fn transform(self, height: u32, width: u32) -> [f64; 6] {
        let (height, width) = (f64::from(height), f64::from(width));
        match self.0 {
            0 => [1.0, 0.0, 0.0, 1.0, 0.0, 0.0],
            1 => [0.0, 1.0, -1.0, 0.0, height, 0.0],
            2 => [-1.0, 0.0, 0.0, -1.0, width, height],
            _ => [0.0, -1.0, 1.0, 0.0, 0.0, width],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: i32 = 0x10000;

    #[test]
    fn the_matrix_of_a_phone_turns_the_picture_and_keeps_its_corner() {
        let turns = [[ONE, 0, 0, ONE], [0, ONE, -ONE, 0], [-ONE, 0, 0, -ONE], [0, -ONE, ONE, 0]];
        // Where the top left corner of a picture of 3 rows and 5 columns comes to lie.
        let corners = [(0.0, 0.0), (3.0, 0.0), (5.0, 3.0), (0.0, 5.0)];
        for (index, (matrix, corner)) in turns.into_iter().zip(corners).enumerate() {
            let turn = QuarterTurns::of(matrix).unwrap();
            let [a, b, c, d, e, f] = turn.transform(3, 5);
            assert_eq!((e, f), corner, "{index} quarter turns");
            assert_eq!([a, b, c, d], matrix.map(|number| f64::from(number / ONE)), "{index} quarter turns");
            let (height, width) = turn.size(3, 5);
            let opposite = (5.0 * a + 3.0 * c + e, 5.0 * b + 3.0 * d + f);
            assert_eq!(opposite, (f64::from(width) - corner.0, f64::from(height) - corner.1));
        }
    }

    #[test]
    fn mirrored_and_slanted_pictures_are_not_quarter_turns() {
        assert_eq!(QuarterTurns::of([ONE, 0, 0, -ONE]), None);
        assert_eq!(QuarterTurns::of([ONE, ONE, -ONE, ONE]), None);
        assert_eq!(QuarterTurns::of([0; 4]), Some(QuarterTurns::default()));
    }
}
