//! Work in fixed portions, on several threads where the feature `rayon` is on.
//!
//! Portions depend on shapes only, never on the number of threads, and sums are taken portion by portion in order:
//! the same input gives the same bits everywhere on one machine.

/// Numbers below which threads cost more than they bring.
#[cfg(feature = "rayon")]
const WORTH_THREADS: usize = 16 * 1024;

/// Call `work(index, task)` for every task. `numbers` says how many numbers are touched in all.
pub(super) fn each<T: Send>(tasks: Vec<T>, numbers: usize, work: impl Fn(usize, T) + Sync + Send) {
    #[cfg(feature = "rayon")]
    if numbers >= WORTH_THREADS && tasks.len() > 1 {
        use rayon::prelude::*;
        tasks.into_par_iter().enumerate().for_each(|(index, task)| work(index, task));
        return;
    }
    let _ = numbers;
    tasks.into_iter().enumerate().for_each(|(index, task)| work(index, task));
}

/// [`each`] with results, in the order of the tasks.
pub(super) fn map<T: Send, R: Send>(
    tasks: Vec<T>,
    numbers: usize,
    work: impl Fn(usize, T) -> R + Sync + Send,
) -> Vec<R> {
    #[cfg(feature = "rayon")]
    if numbers >= WORTH_THREADS && tasks.len() > 1 {
        use rayon::prelude::*;
        return tasks.into_par_iter().enumerate().map(|(index, task)| work(index, task)).collect();
    }
    let _ = numbers;
    tasks.into_iter().enumerate().map(|(index, task)| work(index, task)).collect()
}

/// `a * b + c`, fused where the machine can do that in one instruction.
#[inline(always)]
pub(super) fn fma(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(any(target_feature = "fma", target_arch = "aarch64")) { a.mul_add(b, c) } else { a * b + c }
}
