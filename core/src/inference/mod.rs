//! From an image to what is seen in it: the same steps in the trainer and in the browser.

mod header;
mod layers;
mod predictor;
mod window;

pub use header::ModelHeader;
pub use layers::{Layer, Prediction};
pub use predictor::{ModelSummary, PredictError, Predictor, Prepared};
pub use window::window;
