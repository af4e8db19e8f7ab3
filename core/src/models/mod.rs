//! Networks: one paper, one file; nothing about training.

pub mod mae;
pub mod unet;
pub mod unetr;
pub mod vit;
