//! Cases of residual networks and of what stands above them.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor, TensorData, activation};
use sonoseg_core::blocks::interpolate::{Interpolation, resize};
use sonoseg_core::checkpoint::{State, read_state};
use sonoseg_core::models::fcn::{FcnHead, HeadConfig};
use sonoseg_core::models::resnet::{Block, Resnet, ResnetBlock, ResnetConfig, ResnetInit, StageConfig};

use crate::case::Case;

/// torchvision's network: ours with a last layer behind it.
#[derive(Module, Debug)]
struct Classifier {
    trunk: Resnet,
    fc: Linear,
}

impl Classifier {
    /// First map, last map, logits.
    fn forward(&self, images: Tensor<4>) -> (Tensor<4>, Tensor<4>, Tensor<2>) {
        let [first, _, _, last] = self.trunk.forward_stages(images, &mut |_, _| ());
        let logits = self.fc.forward(means(last.clone()));
        (first, last, logits)
    }
}

/// The mean of every channel, `[batch, channels]`.
fn means(map: Tensor<4>) -> Tensor<2> {
    let [batch, channels, _, _] = map.dims();
    map.mean_dim(2).mean_dim(3).reshape([batch, channels])
}

/// torchvision's names to those of [`Classifier`].
fn from_torchvision(state: State) -> State {
    let named = |name: String| if name.starts_with("fc.") { name } else { format!("trunk.{name}") };
    state.into_iter().map(|(name, tensor)| (named(name), tensor)).collect()
}

fn to_torchvision(state: State) -> State {
    let named = |name: String| name.strip_prefix("trunk.").map_or(name.clone(), str::to_owned);
    state.into_iter().map(|(name, tensor)| (named(name), tensor)).collect()
}

fn sizes(case: &Case, key: &str) -> [usize; 4] {
    [0, 1, 2, 3].map(|stage| case.config[key][stage].as_u64().unwrap() as usize)
}

pub(crate) async fn resnet(case: &mut Case) {
    assert_eq!([case.number("bn_eps"), case.number("bn_momentum")], [1e-5, 0.1]);
    let block = match case.config["block"].as_str().unwrap() {
        "basic" => ResnetBlock::Basic,
        "bottleneck" => ResnetBlock::Bottleneck,
        other => panic!("blocks of the kind {other}"),
    };
    let config = ResnetConfig {
        image_size: case.size("img_size"),
        block,
        layers: sizes(case, "layers"),
        planes: sizes(case, "planes"),
        ..ResnetConfig::resnet50()
    };
    let fc = LinearConfig::new(config.features(), case.size("classes")).init(&case.device);
    let network = Classifier { trunk: config.init(&case.device), fc };
    let network = case.fill_renamed(network, from_torchvision);
    let x = case.tensor::<4>("in.x").require_grad();

    let (first, last, logits) = network.valid().forward(x.clone().inner());
    // The large cases have the means of the first map alone.
    if case.axes("out.eval.layer1") == 2 {
        case.compare_tensor("out.eval.layer1", means(first)).await;
    } else {
        case.compare_tensor("out.eval.layer1", first).await;
    }
    case.compare_tensor("out.eval.layer4", last).await;
    case.compare_tensor("out.eval.logits", logits).await;

    let (_, last, logits) = network.forward(x.clone());
    let gradients = (logits.clone() * case.tensor("in.cot.train.logits")).sum().backward();
    case.compare_tensor("out.train.layer4", last.inner()).await;
    case.compare_tensor("out.train.logits", logits.inner()).await;
    case.compare_gradient("x", &x, &gradients).await;
    case.compare_gradients_renamed(&network, &gradients, to_torchvision).await;
    for (name, (_, numbers)) in to_torchvision(read_state(&network).await.unwrap()) {
        let numbers: Vec<f64> = numbers.into_iter().map(f64::from).collect();
        case.compare(&format!("out.state.{name}"), &numbers);
    }
}

pub(crate) async fn dilated_bottleneck(case: &mut Case) {
    let dilation = case.size("dilation");
    assert_eq!(case.size("first_dilation"), dilation.div_ceil(2));
    let (input, planes, blocks) = (case.size("in_channels"), case.size("planes"), case.size("blocks"));
    let stage = StageConfig { block: ResnetBlock::Bottleneck, input, planes, blocks, stride: 1, dilation };
    let stage = case.fill(stage.init(ResnetInit::default(), &case.device));
    let through = |stage: &[Block], x| stage.iter().fold(x, |x, block| block.forward(x));
    let x = case.tensor::<4>("in.x").require_grad();
    case.compare_tensor("out.eval.y", through(&stage.valid(), x.clone().inner())).await;
    let y = through(&stage, x.clone());
    let gradients = (y.clone() * case.tensor("in.cot.train.y")).sum().backward();
    case.compare_tensor("out.train.y", y.inner()).await;
    case.compare_gradient("x", &x, &gradients).await;
    case.compare_gradients(&stage, &gradients).await;
}

#[derive(Module, Debug)]
struct Heads {
    decode_head: FcnHead,
    auxiliary_head: FcnHead,
}

pub(crate) async fn fcn_head(case: &mut Case) {
    let (out_channels, dropout) = (case.size("classes"), case.number("dropout"));
    let head = |input: &str, channels: &str, convolutions, joined| {
        let (input, channels) = (case.size(input), case.size(channels));
        HeadConfig { input, channels, convolutions, joined, out_channels, dropout }.init(&case.device)
    };
    let heads = Heads {
        decode_head: head("in_channels", "channels", 2, true),
        auxiliary_head: head("aux_in_channels", "aux_channels", 1, false),
    };
    let heads = case.fill(heads);
    let up = |logits| resize(logits, case.pair("label_size"), Interpolation::Bilinear);
    let [c4, c3] = ["in.c4", "in.c3"].map(|name| case.tensor::<4>(name).require_grad());

    let valid = heads.valid();
    let logits = valid.decode_head.forward(c4.clone().inner());
    let auxiliary = up(valid.auxiliary_head.forward(c3.clone().inner()));
    let enlarged = up(logits.clone());

    let truth = Truth::new(case);
    let main = truth.cross_entropy(up(heads.decode_head.forward(c4.clone())));
    let second = truth.cross_entropy(up(heads.auxiliary_head.forward(c3.clone())));
    let loss = main.clone() + second.clone() * case.number("aux_weight");
    let gradients = loss.clone().backward();
    let of_all = main.clone() * (truth.judged / truth.pixels);

    case.compare_tensor("out.eval.logits", logits).await;
    case.compare_tensor("out.eval.up", enlarged).await;
    case.compare_tensor("out.eval.aux_up", auxiliary).await;
    case.compare_tensor("out.loss_main", main.inner()).await;
    case.compare_tensor("out.loss_main_allpixels", of_all.inner()).await;
    case.compare_tensor("out.loss_aux", second.inner()).await;
    case.compare_tensor("out.loss", loss.inner()).await;
    case.compare_gradient("c4", &c4, &gradients).await;
    case.compare_gradient("c3", &c3, &gradients).await;
    case.compare_gradients(&heads, &gradients).await;
}

/// The class of every pixel, and where nobody judged.
struct Truth {
    /// 1 where a pixel is of a class and judged, `[batch, classes, height, width]`.
    classes: Tensor<4>,
    judged: f64,
    pixels: f64,
}

impl Truth {
    fn new(case: &Case) -> Self {
        let target = case.numbers("in.target");
        let [batch, height, width] = target.shape[..] else { panic!("{:?}", target.shape) };
        let (count, ignored) = (case.size("classes"), case.number("ignore_index"));
        let classes = target.values.chunks(height * width).flat_map(|image| {
            (0..count).flat_map(|class| image.iter().map(move |&of| f32::from(u8::from(of == class as f64))))
        });
        let classes: Vec<f32> = classes.collect();
        Self {
            classes: Self::upload(classes, [batch, count, height, width], &case.device),
            judged: target.values.iter().filter(|&&class| class != ignored).count() as f64,
            pixels: target.values.len() as f64,
        }
    }

    fn upload(numbers: Vec<f32>, shape: [usize; 4], device: &Device) -> Tensor<4> {
        Tensor::from_data(TensorData::new(numbers, shape), device)
    }

    /// Mean over the judged pixels.
    fn cross_entropy(&self, logits: Tensor<4>) -> Tensor<1> {
        (activation::log_softmax(logits, 1) * self.classes.clone()).sum() / -self.judged
    }
}
