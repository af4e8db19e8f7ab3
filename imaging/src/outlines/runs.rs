//! Run lengths of COCO: background and object in turn, column by column.

/// Call `paint` with row and column of every pixel of the object.
pub(super) fn each(runs: &[u32], height: usize, width: usize, paint: &mut impl FnMut(usize, usize)) {
    let mut at = 0;
    for (index, &run) in runs.iter().enumerate() {
        let end = (at + run as usize).min(height * width);
        if index % 2 == 1 {
            (at..end).for_each(|pixel| paint(pixel % height, pixel / height));
        }
        at = end;
    }
}

/// Whether the runs are those of a picture of this size.
pub(super) fn check(runs: &[u32], [height, width]: [usize; 2]) -> Result<(), String> {
    let sum: u64 = runs.iter().map(|&run| u64::from(run)).sum();
    if sum != height as u64 * width as u64 {
        return Err(format!("its run lengths are of {sum} pixels, and {width}x{height} are said: export it again"));
    }
    Ok(())
}

/// The runs of pycocotools' text: six bits a character, five of them digits and one that goes on, low digits first; from
/// the fourth run on the difference to the one two before.
pub(super) fn unpack(text: &str) -> Result<Vec<u32>, String> {
    let broken = || "its packed run lengths are damaged: export it again".to_owned();
    let mut runs: Vec<u32> = Vec::new();
    let mut bytes = text.bytes();
    while bytes.len() > 0 {
        let (mut value, mut digits) = (0_i64, 0);
        loop {
            let six = bytes.next().and_then(|byte| byte.checked_sub(48)).filter(|&six| six < 64).ok_or_else(broken)?;
            value |= i64::from(six & 31) << (5 * digits);
            digits += 1;
            if six & 32 == 0 {
                // The last digit carries the sign.
                value |= if six & 16 == 0 { 0 } else { -1 << (5 * digits) };
                break;
            }
            if digits > 8 {
                return Err(broken());
            }
        }
        if runs.len() > 2 {
            value += i64::from(runs[runs.len() - 2]);
        }
        runs.push(u32::try_from(value).map_err(|_| broken())?);
    }
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_runs_are_those_of_pycocotools() {
        // pycocotools.mask.encode of a 5x7 mask with the rows 1 to 3 of the columns 2, 3 and 5 set.
        assert_eq!(unpack(";32050O").unwrap(), [11, 3, 2, 3, 7, 3, 6]);
        for damaged in ["\u{7f}", " ", "ooooooooooo", "o"] {
            assert!(unpack(damaged).is_err(), "{damaged}");
        }
        assert!(check(&[3, 3], [2, 3]).is_ok() && check(&[3, 4], [2, 3]).is_err());
    }
}
