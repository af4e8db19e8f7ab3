//! Cases without a network: tables, resampling, metrics, the optimiser, rules and schedules.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorData};
use sonoseg_core::blocks::positions::{resize_table, sincos_table};
use sonoseg_core::models::vit::VitConfig;
use sonoseg_core::optim::adamw::{AdamWConfig, Decay};
use sonoseg_core::optim::rules::{ParameterRule, Rule};
use sonoseg_core::optim::schedule::Schedule;
use sonoseg_core::optim::sgd::SgdConfig;
use sonoseg_core::optim::{Optimiser, OptimiserConfig};
use sonoseg_imaging::geometry::{Mask, resize};
use sonoseg_imaging::metrics::classes::{BACKGROUND, class_measures};
use sonoseg_imaging::metrics::measure::Measures;
use sonoseg_imaging::metrics::overlap::{Counts, mean_defined};
use sonoseg_imaging::metrics::rand_index::Pairs;

use crate::case::{Case, Numbers};

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

pub(crate) fn sincos_pos_embed(case: &mut Case) {
    let width = case.size("embed_dim");
    let table = wide(&sincos_table(width, case.size("grid")));
    case.compare("out.pos_embed", &table);
    if case.has("in.rows") {
        let wanted = case.numbers("in.rows").values.clone();
        let rows: Vec<f64> =
            wanted.iter().flat_map(|&row| table[row as usize * width..][..width].iter().copied()).collect();
        case.compare("out.rows", &rows);
        let sums: Vec<f64> = table.chunks_exact(width).map(|row| row.iter().sum()).collect();
        case.compare("out.row_sums", &sums);
        case.compare("out.total", &[table.iter().sum()]);
    }
}

pub(crate) fn pos_embed_bicubic_resize(case: &mut Case) {
    assert_eq!(case.size("extra_tokens"), 1, "our tables have one class token");
    let table = case.numbers("in.pos_embed").f32();
    let resized = resize_table(&table, case.size("embed_dim"), case.size("grid_in"), case.size("grid_out"));
    case.compare("out.pos_embed", &wide(&resized));
}

pub(crate) fn image_resize(case: &mut Case) {
    let input = case.numbers("in.x").clone();
    let from = [input.shape[2], input.shape[3]];
    let to = case.pair("size");
    let resample =
        if case.config["antialias"].as_bool().unwrap() { resize::bilinear_antialiased } else { resize::bilinear };
    case.compare("out.y", &wide(&resample(&input.f32(), from, to)));
}

pub(crate) fn metrics_overlap(case: &mut Case) {
    let (prob, target) = (case.numbers("in.prob").clone(), case.numbers("in.target").clone());
    let plane: usize = prob.shape[2..].iter().product();
    let planes = Counts::per_plane(&prob.f32(), &target.f32(), plane, case.number("threshold") as f32);
    let pooled: Counts = planes.iter().copied().sum();
    for (name, count) in [("tp", pooled.tp), ("fp", pooled.fp), ("fn", pooled.fn_), ("tn", pooled.tn)] {
        case.compare(&format!("out.{name}"), &[count as f64]);
    }
    case.compare("out.iou", &[pooled.iou()]);
    case.compare("out.precision", &[pooled.precision()]);
    case.compare("out.recall", &[pooled.recall()]);
    case.compare("out.dice", &[pooled.dice()]);
    case.compare("out.pixel_error", &[pooled.pixel_error()]);
    let each = |read: fn(&Counts) -> f64| -> Vec<f64> { planes.iter().map(read).collect() };
    case.compare("out.iou_ignore", &each(Counts::iou_ignore));
    case.compare("out.dice_ignore", &each(Counts::dice_ignore));
    case.compare("out.iou_one", &each(Counts::iou_one));
    case.compare("out.dice_one", &each(Counts::dice_one));
    case.compare("out.mean_iou_ignore", &[mean_defined(each(Counts::iou_ignore))]);
}

pub(crate) fn miou(case: &mut Case) {
    let [predicted, truth] = ["in.pred", "in.label"].map(|name| {
        let numbers = case.numbers(name).values.iter();
        numbers.map(|&class| class as u8).collect::<Vec<u8>>()
    });
    assert_eq!(case.size("ignore_index"), usize::from(Mask::IGNORE), "ours is the same");
    let classes: Vec<String> = (1..case.size("classes")).map(|class| class.to_string()).collect();
    // Picture by picture, because the parts of a set pool.
    let pictures = case.size("n");
    let mut measures = Measures::default();
    for (predicted, truth) in predicted.chunks(predicted.len() / pictures).zip(truth.chunks(truth.len() / pictures)) {
        measures.add(&class_measures(predicted, truth, &classes));
    }
    let mean = &measures.0[0];
    assert_eq!(mean.metric.name, "miou");
    let ratios = mean.ratios.clone();
    for (name, which) in [("out.intersection", 0), ("out.union", 1)] {
        case.compare(name, &ratios.iter().map(|ratio| ratio[which]).collect::<Vec<_>>());
    }
    case.compare("out.miou", &[100.0 * mean.value().unwrap_or(f64::NAN)]);
    let names = std::iter::once(BACKGROUND).chain(classes.iter().map(String::as_str));
    let each = names.map(|name| 100.0 * measures.value(&format!("iou_{name}")).unwrap_or(f64::NAN));
    case.compare("out.iou", &each.collect::<Vec<_>>());
}

pub(crate) fn adjusted_rand(case: &mut Case) {
    let [a, b, counts] = ["in.a", "in.b", "in.counts"].map(|name| case.numbers(name).clone());
    let labels = |row: &[f64]| -> Vec<i64> { row.iter().map(|&label| label as i64).collect() };
    let rows = |numbers: &Numbers| -> Vec<Vec<i64>> { numbers.values.chunks(numbers.shape[1]).map(labels).collect() };
    let pairs: Vec<Pairs> = rows(&a).iter().zip(&rows(&b)).map(|(a, b)| Pairs::of_labels(a, b)).collect();
    let masks: Vec<Pairs> = rows(&counts)
        .iter()
        .map(|row| [0, 1, 2, 3].map(|i| row[i] as u64))
        .map(|[tp, fp, fn_, tn]| Pairs::of_counts(&Counts { tp, fp, fn_, tn }))
        .collect();
    for (name, pairs) in [("", pairs), ("_counts", masks)] {
        case.compare(&format!("out.ari{name}"), &pairs.iter().map(Pairs::adjusted_rand).collect::<Vec<_>>());
        case.compare(&format!("out.rand{name}"), &pairs.iter().map(Pairs::rand).collect::<Vec<_>>());
    }
}

/// Parameters without a network round them; the shape is flattened, which an optimiser does not see.
#[derive(Module, Debug)]
struct Parameters {
    list: Vec<Param<Tensor<1>>>,
}

pub(crate) async fn optim_adam(case: &mut Case, decay: Decay) {
    let betas = [0, 1].map(|i| case.config["betas"][i].as_f64().unwrap());
    let config = AdamWConfig { betas, epsilon: case.number("eps"), decay, clip_norm: None, ..Default::default() };
    optim(case, OptimiserConfig::AdamW(config)).await;
}

pub(crate) async fn optim_sgd(case: &mut Case) {
    assert_eq!(case.number("dampening"), 0.0, "ours has none");
    let nesterov = case.config["nesterov"].as_bool().unwrap();
    let config = SgdConfig { momentum: case.number("momentum"), nesterov, ..Default::default() };
    optim(case, OptimiserConfig::Sgd(config)).await;
}

async fn optim(case: &mut Case, config: OptimiserConfig) {
    let groups = case.config["groups"].as_array().unwrap().clone();
    let mut named: Vec<(String, ParameterRule)> = Vec::new();
    for group in &groups {
        let rule = ParameterRule {
            rate_scale: group["lr_scale"].as_f64().unwrap_or(1.0),
            weight_decay: group["weight_decay"].as_f64().unwrap(),
            trained: true,
        };
        named.extend(group["params"].as_array().unwrap().iter().map(|n| (n.as_str().unwrap().to_owned(), rule)));
    }
    let flat = |values: Vec<f32>| {
        let count = values.len();
        Tensor::<1>::from_data(TensorData::new(values, [count]), &case.device)
    };
    let list = named
        .iter()
        .map(|(name, _)| Param::from_tensor(flat(case.numbers(&format!("param.{name}")).f32()).require_grad()))
        .collect();
    let mut model = Parameters { list };
    let mut optimiser = Optimiser::new(config);
    let mut history: Vec<Vec<f64>> = vec![Vec::new(); named.len()];
    for step in 0..case.size("steps") {
        let mut loss: Option<Tensor<1>> = None;
        for ((name, _), param) in named.iter().zip(&model.list) {
            let all = case.numbers(&format!("in.grad.{name}")).f32();
            let count = param.val().dims()[0];
            let term = (param.val() * flat(all[step * count..][..count].to_vec())).sum();
            loss = Some(match loss {
                Some(sum) => sum + term,
                None => term,
            });
        }
        let grads = GradientsParams::from_grads(loss.unwrap().backward(), &model);
        let rate = case.numbers("in.lr").values[step];
        model = optimiser
            .step(model, grads, rate, |name, _| named[name.strip_prefix("list.").unwrap().parse::<usize>().unwrap()].1);
        for (values, param) in history.iter_mut().zip(&model.list) {
            let data = param.val().inner().into_data_async().await.unwrap();
            values.extend(wide(&data.try_into_vec::<f32>().unwrap()));
        }
    }
    struct Tracked(usize);
    impl ModuleVisitor for Tracked {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0 += usize::from(param.is_require_grad());
        }
    }
    let mut tracked = Tracked(0);
    model.visit(&mut tracked);
    assert_eq!(tracked.0, named.len(), "parameters still learn after a step");
    for ((name, _), values) in named.iter().zip(&history) {
        case.compare(&format!("out.{name}"), values);
    }
}

pub(crate) fn layer_decay_scales(case: &mut Case) {
    let depth = case.size("depth");
    let rules = VitConfig::new(4, depth, 1).rules(case.config["prefix"].as_str().unwrap_or_default(), true);
    let (layer_decay, weight_decay) = (case.number("decay"), case.number("weight_decay"));
    let config = OptimiserConfig::AdamW(AdamWConfig { layer_decay, weight_decay, ..Default::default() });
    let names = case.config["names"].as_array().unwrap();
    let axes = case.config["ndims"].as_array().unwrap();
    let found: Vec<Rule> = names
        .iter()
        .zip(axes)
        .map(|(name, axes)| rules(name.as_str().unwrap(), axes.as_u64().unwrap() as usize))
        .collect();
    let all = |read: &dyn Fn(Rule) -> f64| found.iter().map(|&rule| read(rule)).collect::<Vec<f64>>();
    // Layers are counted from the embedding, which is 0.
    case.compare("out.layer_id", &all(&|rule| (depth + 1 - rule.layers_above) as f64));
    case.compare("out.scale", &all(&|rule| config.rule(rule).rate_scale));
    case.compare("out.weight_decay", &all(&|rule| config.rule(rule).weight_decay));
}

pub(crate) fn lr_schedules(case: &mut Case) {
    let kind = case.config["schedule"].as_str().unwrap().to_owned();
    let get = |key: &str| case.config[key].as_f64().unwrap_or(0.0);
    let min_share = get("min_lr") / get("lr");
    let (schedule, total) = match kind.as_str() {
        "linear" => (Schedule::Linear, get("total")),
        "poly" => (Schedule::Poly { power: get("power"), min_share }, get("total")),
        "mae_warmup_cosine" => {
            let warmup = get("warmup_epochs") / get("epochs");
            (Schedule::Cosine { warmup, min_share }, get("epochs") * get("steps_per_epoch"))
        }
        "hybridmim_warmup_cosine" => {
            (Schedule::Cosine { warmup: get("warmup") / get("total"), min_share: 0.0 }, get("total"))
        }
        "densecl_cosine" => (Schedule::Cosine { warmup: 0.0, min_share: 0.0 }, get("epochs")),
        "uscl" => (Schedule::HeldCosine { hold: 10.0 / get("epochs") }, get("epochs")),
        other => panic!("schedule {other}"),
    };
    let rate = get("lr");
    let found: Vec<f64> =
        case.numbers("in.step").values.iter().map(|&step| rate * schedule.factor(step, total)).collect();
    case.compare("out.lr", &found);
}
