//! A network of a model file, and the steps from a window of frames to a prediction.

use burn::tensor::{Device, Tensor, TensorData, activation};

use super::{Layer, ModelHeader, Novelty, Prediction};
use crate::checkpoint::{self, CheckpointError, Storage};
use crate::models::frames::Frames;
use crate::models::{Network, parameters};
use sonoseg_imaging::dataset::finding::Finding;
use sonoseg_imaging::dataset::sample::Sample;
use sonoseg_imaging::evaluate::{Answer, Calibration};
use sonoseg_imaging::geometry::resize;
use sonoseg_imaging::geometry::{Detection, Image, Mask, fit};

/// For showing to people.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelSummary {
    /// Name of the recipe.
    pub name: String,
    /// Kind of network.
    pub architecture: String,
    /// Its size: the preset of a UNETR, the width of a U-Net.
    pub size: String,
    /// Trainable numbers.
    pub parameters: usize,
    /// What it learned from.
    pub trained_on: String,
    /// What it finds.
    pub finding: Finding,
    /// Height and width of its input, in pixels.
    pub input_size: usize,
    /// Frames that one prediction reads.
    pub window: usize,
}

/// The network did not answer.
#[derive(Debug, thiserror::Error)]
pub enum PredictError {
    /// The device failed.
    #[error("the device did not give the prediction: {0}")]
    Device(String),
    /// It computed something else than numbers, from weights that are numbers.
    #[error(
        "the network gave values that are no numbers. The numbers of the model file are finite (the largest is {largest:e}): \
         if that is far above 1000, the weights are broken, and else the device computes wrongly; try --device flex"
    )]
    NotFinite {
        /// Largest absolute weight.
        largest: f32,
    },
}

/// A network with everything from frames to answers.
#[derive(Debug)]
pub struct Predictor {
    network: Network,
    header: ModelHeader,
    device: Device,
}

/// Network input on the CPU, `[channels, size, size]`.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The numbers, row-major.
    pub numbers: Vec<f32>,
    /// Channels of the network's input.
    pub channels: usize,
    /// Edge of its square input in pixels.
    pub size: usize,
}

/// What the network computed.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// Probabilities of the window's middle frame, row-major `[size, size]`; where classes are told apart those of the background
    /// and of each class, `[classes, size, size]`.
    pub probabilities: Vec<f32>,
    /// What tells how like the picture is to others, `[features]`.
    pub features: Vec<f32>,
}

impl Predictor {
    /// Read a model file.
    pub fn load(name: &str, bytes: &[u8], device: &Device) -> Result<Self, CheckpointError> {
        let foreign = |reason: String| CheckpointError::Foreign { name: name.to_owned(), reason };
        let pretrained = || {
            foreign("pre-trained weights, which mark nothing yet: fine-tune them with `sonoseg train --init`".into())
        };
        if checkpoint::architecture(name, bytes)? == checkpoint::IMPORT {
            return Err(pretrained());
        }
        let (header, state) = ModelHeader::read(name, bytes)?;
        if header.recipe.task.pretrains() || header.network.sizes().masks() == 0 {
            return Err(pretrained());
        }
        let (sizes, frames) = (header.network.sizes(), header.recipe.network.settings().frames());
        if let Some(problem) = sizes.problem() {
            return Err(foreign(format!("its header describes an impossible network: {problem}")));
        }
        if sizes.image_size() != header.recipe.preparation.size {
            return Err(foreign("its header gives the network another input size than the preparation".into()));
        }
        let (channels, window) = (sizes.channels(), frames.window());
        if !(1..=3).contains(&channels) || ![1, channels].contains(&window) || sizes.masks() != header.recipe.maps() {
            return Err(foreign("its header gives the network other channels than its frames and masks need".into()));
        }
        // A network is made before its weights are put in, so a header that lies would take any amount of memory.
        let (least, held) = (sizes.least_weights(), state.values().map(|(_, n)| n.len()).sum::<usize>());
        if least > held as f64 {
            return Err(foreign(format!(
                "its header describes a network of more than {least:.0} weights, and it holds {held}: it is cut short or \
                 no sonoseg model"
            )));
        }
        if let Some(problem) = checkpoint::unusable(&state) {
            return Err(foreign(format!(
                "{problem}: the file is damaged, its training diverged, or 16 bits were too few for it; export it again"
            )));
        }
        let network = checkpoint::write_state(name, state, header.network.init(device))?;
        if let Some(novelty) = &header.novelty {
            let features = header.network.features();
            if novelty.mean.len() != features {
                let theirs = novelty.mean.len();
                return Err(foreign(format!(
                    "its header judges pictures by {theirs} features, and its network has {features}"
                )));
            }
        }
        Ok(Self { network, header, device: device.clone() })
    }

    /// Use a network that is in memory already.
    pub fn new(network: Network, header: ModelHeader, device: &Device) -> Self {
        Self { network, header, device: device.clone() }
    }

    /// The model file of this predictor.
    pub async fn to_bytes(&self, storage: Storage) -> Result<Vec<u8>, CheckpointError> {
        checkpoint::encode(&self.header, &checkpoint::read_state(&self.network).await?, storage)
    }

    /// The same with another calibration of its confidences, or with none.
    #[must_use]
    pub fn with_calibration(mut self, calibration: Option<Calibration>) -> Self {
        self.header.calibration = calibration;
        self
    }

    /// The same with another measure of what is unlike its training data, or with none.
    #[must_use]
    pub fn with_novelty(mut self, novelty: Option<Novelty>) -> Self {
        self.header.novelty = novelty;
        self
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// How the network is used.
    pub fn header(&self) -> &ModelHeader {
        &self.header
    }

    fn frames(&self) -> Frames {
        self.header.recipe.network.settings().frames()
    }

    fn size(&self) -> usize {
        self.header.recipe.preparation.size
    }

    /// Frames that one prediction reads; the middle one is the one that the prediction is about.
    pub fn window(&self) -> usize {
        self.frames().window()
    }

    /// For showing to people.
    pub fn summary(&self) -> ModelSummary {
        ModelSummary {
            name: self.header.recipe.name.clone(),
            architecture: self.header.network.sizes().architecture().into(),
            size: self.header.recipe.network.settings().label(),
            parameters: parameters(&self.network),
            trained_on: self.header.recipe.trained_on.clone(),
            finding: self.header.recipe.finding(),
            input_size: self.size(),
            window: self.window(),
        }
    }

    /// Resize and normalise the frames of a window on the CPU.
    pub fn prepare(&self, frames: &[&Image]) -> Prepared {
        let preparation = &self.header.recipe.preparation;
        let squares: Vec<Vec<f32>> = frames.iter().map(|frame| preparation.square(frame)).collect();
        let channels = self.header.network.sizes().channels();
        Prepared { numbers: preparation.normalise(&squares, channels), channels, size: preparation.size }
    }

    /// Network input on the device.
    ///
    /// # Shapes
    /// - output: `[1, channels, size, size]`
    pub fn input(&self, prepared: &Prepared) -> Tensor<4> {
        let Prepared { ref numbers, channels, size } = *prepared;
        Tensor::from_data(TensorData::new(numbers.clone(), [1, channels, size, size]), &self.device)
    }

    /// Run the network.
    pub async fn forward(&self, prepared: &Prepared) -> Result<Output, PredictError> {
        let (logits, features) = self.network.forward_with_features(self.input(prepared));
        let middle = if self.tells_classes() {
            activation::softmax(logits, 1)
        } else {
            activation::sigmoid(logits.narrow(1, self.frames().middle_mask(), 1))
        };
        // Together, because every reading from a graphics device waits for it.
        let numbers: Tensor<1> = Tensor::cat(vec![middle.flatten(0, 3), features.flatten(0, 1)], 0);
        let failed = |e: &dyn std::fmt::Debug| PredictError::Device(format!("{e:?}"));
        let data = numbers.into_data_async().await.map_err(|e| failed(&e))?;
        let mut probabilities: Vec<f32> = data.try_into_vec().map_err(|e| failed(&e))?;
        if probabilities.iter().all(|number| number.is_finite()) {
            let features = probabilities.split_off(probabilities.len() - self.header.network.features());
            Ok(Output { probabilities, features })
        } else {
            let state = checkpoint::read_state(&self.network).await.map_err(|e| failed(&e))?;
            let largest = state.values().flat_map(|(_, numbers)| numbers).fold(0.0_f32, |most, n| most.max(n.abs()));
            Err(PredictError::NotFinite { largest })
        }
    }

    /// What the output says at the network's own size.
    pub fn read_off(&self, output: Output) -> Prediction {
        let (needle, novelty) = (self.needle(&output.probabilities), self.novelty(&output));
        self.prediction(output.probabilities, [self.size(), self.size()], needle, novelty)
    }

    /// Bring the probabilities to the frame's size, and read off the output what is seen.
    pub fn finish(&self, output: &Output, frame: &Image) -> Prediction {
        let probabilities = &output.probabilities;
        let (square, original) = ([self.size(), self.size()], [frame.height, frame.width]);
        // The line is fitted where the network works: the fit's settings are in its pixels, and it is fast there.
        let needle = self.needle(probabilities).map(|found| found.map(|found| scaled(&found, square, original)));
        let probability = resize::bilinear(probabilities, square, original);
        self.prediction(probability, original, needle, self.novelty(output))
    }

    /// The probability of what is to be found, of any class where several are, at the network's own size, `[size, size]`.
    pub fn objects(&self, output: &Output) -> Vec<f32> {
        if self.tells_classes() {
            any_class(&output.probabilities, self.size().pow(2))
        } else {
            output.probabilities.clone()
        }
    }

    fn tells_classes(&self) -> bool {
        !self.header.recipe.data.classes.is_empty()
    }

    fn novelty(&self, output: &Output) -> Option<f64> {
        self.header.novelty.as_ref().map(|novelty| novelty.of(&output.features))
    }

    /// The needle, for a network that looks for needles and not for a class of masks, a nerve for example.
    fn needle(&self, probabilities: &[f32]) -> Option<Option<Detection>> {
        let recipe = &self.header.recipe;
        let honest = |found: Detection| match &self.header.calibration {
            Some(calibration) => Detection { confidence: calibration.apply(found.confidence), ..found },
            None => found,
        };
        let found = || fit(probabilities, self.size(), self.size(), &recipe.needle).map(honest);
        recipe.finding().is_needles().then(found)
    }

    fn prediction(
        &self,
        probability: Vec<f32>,
        [height, width]: [usize; 2],
        needle: Option<Option<Detection>>,
        novelty: Option<f64>,
    ) -> Prediction {
        if self.tells_classes() {
            let mask = Mask::most_likely(&probability, height, width);
            let objects = any_class(&probability, height * width);
            return Prediction { layers: vec![Layer::Probability(objects), Layer::Classes(mask)], novelty };
        }
        let threshold = self.header.recipe.needle.threshold as f32;
        let classes = probability.iter().map(|&p| u8::from(p > threshold)).collect();
        let mut layers = vec![Layer::Probability(probability), Layer::Classes(Mask { height, width, classes })];
        layers.extend(needle.map(Layer::Needle));
        Prediction { layers, novelty }
    }

    /// What is said of the middle frame of a sample at the network's own size, to be compared with its label.
    pub async fn answer(&self, sample: &Sample) -> Result<Answer, PredictError> {
        let frames: Vec<&Image> = sample.frames.iter().collect();
        Ok(self.read_off(self.forward(&self.prepare(&frames)).await?).answer())
    }

    /// All steps for one window of frames.
    pub async fn predict(&self, frames: &[&Image]) -> Result<Prediction, PredictError> {
        let output = self.forward(&self.prepare(frames)).await?;
        Ok(self.finish(&output, frames[frames.len() / 2]))
    }
}

/// The probability of any class, of maps of which the first is the background's.
fn any_class(maps: &[f32], plane: usize) -> Vec<f32> {
    maps[..plane].iter().map(|background| 1.0 - background).collect()
}

/// A detection in the pixels of another size; areas and the uncertainty grow with the mean of the two axes' factors.
fn scaled(found: &Detection, from: [usize; 2], to: [usize; 2]) -> Detection {
    let [y, x] = [to[0] as f64 / from[0] as f64, to[1] as f64 / from[1] as f64];
    Detection {
        needle: found.needle.scaled(from, to),
        tip_spread_px: found.tip_spread_px * (x * y).sqrt(),
        pixels: (found.pixels as f64 * x * y).round() as usize,
        ..*found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::NetworkConfig;
    use crate::models::unet::UnetConfig;
    use crate::models::unetr::UnetrConfig;
    use crate::recipe::{NetworkRecipe, Recipe};

    const RECIPE: &str = "name = \"t\"\n[network]\npreset = \"tiny\"\nwidth = 16\nheads = 2\nfeature_size = 4\n\
        [preparation]\nsize = 32\n";

    #[test]
    fn a_network_for_a_class_of_masks_says_so_and_finds_no_needle() {
        let device = Device::flex();
        let predictor = |settings: &[String]| {
            let recipe = Recipe::parse("t.toml", RECIPE, settings).unwrap();
            let header = ModelHeader::of(&recipe);
            Predictor::new(header.network.init(&device), header, &device)
        };
        // A bright diagonal, as a needle gives it.
        let line: Vec<f32> =
            (0..32 * 32_usize).map(|at| if (at / 32).abs_diff(at % 32) < 2 { 0.95 } else { 0.02 }).collect();
        let line = Output { probabilities: line, features: vec![0.0, 3.0] };
        let frame = Image::from_grey8(32, 32, &[0; 32 * 32]);
        let (needles, nerves) = (predictor(&[]), predictor(&["data.class=\"nerve\"".to_owned()]));
        assert_eq!(needles.summary().finding, Finding::Needles);
        assert!(needles.finish(&line, &frame).needle().is_some());
        assert_eq!(nerves.summary().finding.noun(), "nerve");
        let marked = nerves.finish(&line, &frame);
        assert!(marked.needle().is_none() && marked.mask().unwrap().classes.contains(&1));
        assert_eq!(marked.layers.len(), 2);
        let square = needles.read_off(line.clone());
        assert_eq!(square, needles.finish(&line, &frame), "the frame has the network's size");

        // A calibration changes what the confidence is, and nothing else.
        let said = square.needle().unwrap().confidence;
        let calibration = Calibration { said: vec![0.0, 1.0], right: vec![0.0, 0.5], calls: 30 };
        let mut needles = needles.with_calibration(Some(calibration));
        let honest = *needles.finish(&line, &frame).needle().unwrap();
        assert!((honest.confidence - 0.5 * said).abs() < 1e-12);
        assert_eq!(Some(&Detection { confidence: said, ..honest }), square.needle());

        assert!(square.novelty.is_none() && !square.is_unlike_training());
        for (limit, unlike) in [(2.0, true), (4.0, false)] {
            let novelty = Novelty { mean: vec![0.0; 2], factor: vec![1.0, 0.0, 1.0], limit, pictures: 9 };
            let found = needles.with_novelty(Some(novelty)).finish(&line, &frame);
            assert!((found.novelty.unwrap() - 4.5_f64.sqrt() / limit).abs() < 1e-12);
            assert_eq!(found.is_unlike_training(), unlike);
            needles = predictor(&[]);
        }
    }

    #[test]
    fn classes_that_are_told_apart_are_named_in_the_file_and_the_most_likely_one_is_marked() {
        let device = Device::flex();
        let settings = ["data.classes=[\"nerve\", \"vessel\"]".to_owned()];
        let header = ModelHeader::of(&Recipe::parse("t.toml", RECIPE, &settings).unwrap());
        assert_eq!(header.network.sizes().masks(), 3);
        let predictor = Predictor::new(header.network.init(&device), header, &device);
        let bytes = pollster::block_on(predictor.to_bytes(Storage::F32)).unwrap();
        let predictor = Predictor::load("m.safetensors", &bytes, &device).unwrap();
        assert_eq!(predictor.summary().finding, Finding::Classes(vec!["nerve".into(), "vessel".into()]));
        let frame = Image::from_grey8(32, 32, &[90; 32 * 32]);
        let output = pollster::block_on(predictor.forward(&predictor.prepare(&[&frame]))).unwrap();
        let plane = 32 * 32;
        assert_eq!(
            (output.probabilities.len(), output.features.len()),
            (3 * plane, predictor.header.network.features())
        );
        let sum = |at: usize| output.probabilities.iter().skip(at).step_by(plane).sum::<f32>();
        assert!((0..plane).all(|at| (sum(at) - 1.0).abs() < 1e-5));

        // Left half background, then a nerve and a vessel; at twice the size the halves are where they were.
        let likely = |map: usize, column: usize| [0..16, 16..24, 24..32][map].contains(&column);
        let maps = (0..3).flat_map(|map| (0..plane).map(move |at| if likely(map, at % 32) { 0.8 } else { 0.1 }));
        let output = Output { probabilities: maps.collect(), ..output };
        let found = predictor.finish(&output, &Image::from_grey8(64, 64, &[90; 64 * 64]));
        let classes = &found.mask().unwrap().classes;
        assert_eq!([5, 40, 60].map(|column| classes[30 * 64 + column]), [0, 1, 2]);
        assert!((found.probability().unwrap()[30 * 64 + 60] - 0.9).abs() < 1e-6, "of any class");
        assert!(found.needle().is_none() && found.marked().as_ref() == found.mask());
        assert!((predictor.objects(&output)[16] - 0.9).abs() < 1e-6);
    }

    #[test]
    fn headers_that_do_not_fit_the_weights_are_refused_before_memory_is_taken() {
        let (recipe, device) = (Recipe::parse("t.toml", RECIPE, &[]).unwrap(), Device::flex());
        let header = ModelHeader::of(&recipe);
        let state = pollster::block_on(checkpoint::read_state(&header.network.init(&device))).unwrap();
        let load = |header: &ModelHeader| {
            let bytes = checkpoint::encode(header, &state, Storage::F32).unwrap();
            Predictor::load("m.safetensors", &bytes, &device).map_err(|e| e.to_string())
        };
        assert!(load(&header).is_ok());
        let novelty = Novelty { mean: vec![0.0], factor: vec![1.0], limit: 1.0, pictures: 9 };
        let judged = ModelHeader { novelty: Some(novelty), ..header.clone() };
        assert!(load(&judged).unwrap_err().contains("judges pictures by 1 features, and its network has 32"));
        type Change = fn(&mut ModelHeader, &mut UnetrConfig);
        let changes: [(&str, Change); 6] = [
            ("larger than 65536", |_, unetr| unetr.encoder.width = 1 << 60),
            ("more than", |_, unetr| unetr.encoder.width = 1 << 15),
            ("more than", |_, unetr| unetr.feature_size = 1 << 16),
            ("other channels", |_, unetr| unetr.encoder.channels = 4),
            ("other channels", |header, _| {
                let NetworkRecipe::Unetr(recipe) = &mut header.recipe.network else { panic!("{header:?}") };
                recipe.frames = Frames::VideoAll;
            }),
            ("more than", |header, _| {
                header.network =
                    NetworkConfig::Unet(UnetConfig { image_size: 32, base: 1 << 16, ..UnetConfig::default() });
            }),
        ];
        for (word, change) in changes {
            let mut header = header.clone();
            let NetworkConfig::Unetr(mut unetr) = header.network.clone() else { panic!("{header:?}") };
            let before = unetr.clone();
            change(&mut header, &mut unetr);
            if unetr != before {
                header.network = NetworkConfig::Unetr(unetr);
            }
            let message = load(&header).unwrap_err();
            assert!(message.contains(word) && message.starts_with("m.safetensors"), "{word}: {message}");
        }
    }
}
