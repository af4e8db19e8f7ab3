//! From an image to what is seen in it: the same steps in the trainer and in the browser.

mod attention;
mod header;
mod layers;
mod novelty;
mod predictor;
mod window;

pub use attention::{Maps, attention};
pub use header::ModelHeader;
pub use layers::{Layer, Prediction};
pub use novelty::Novelty;
pub use predictor::{ModelSummary, Output, PredictError, Predictor, Prepared};
pub use window::window;
