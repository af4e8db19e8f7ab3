//! What the worker needs besides Burn: talking to the page, opening clips, decoding video, looking for a GPU.

pub mod clip;
mod decode;
pub mod gpu;
mod mp4;
pub mod talk;
mod track;
mod webm;
