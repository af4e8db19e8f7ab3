//! Cases of contrastive losses and of a step of dense contrastive learning.

use burn::module::Module;
use burn::nn::Relu;
use burn::tensor::Tensor;
use sonoseg_core::checkpoint::read_state;
use sonoseg_core::losses::contrast::{info_nce, nt_xent, similarities, unit};
use sonoseg_core::models::contrast::{Neck, Projected, enqueue};
use sonoseg_core::optim::follow::{follow, follower};
use sonoseg_core::tasks::contrast::compare;

use crate::case::Case;

pub(crate) async fn infonce_queue(case: &mut Case) {
    let (query, temperature) = (case.tensor::<2>("in.q").require_grad(), case.number("tau"));
    let (q, k, queue) = (unit(query.clone(), 1), unit(case.tensor("in.k"), 1), case.tensor::<2>("in.queue"));
    let (own, others) = similarities(q.clone(), k.clone(), queue.clone(), temperature);
    case.compare_tensor("out.logits", Tensor::cat(vec![own, others], 1).inner()).await;
    let loss = info_nce(q, k, queue, temperature).loss;
    let gradients = loss.clone().backward();
    case.compare_tensor("out.loss", loss.inner()).await;
    case.compare_gradient("q", &query, &gradients).await;
}

pub(crate) async fn ntxent(case: &mut Case) {
    let [first, second] = ["in.zi", "in.zj"].map(|name| case.tensor::<2>(name).require_grad());
    let loss = nt_xent(first.clone(), second.clone(), case.number("tau")).loss;
    let gradients = loss.clone().backward();
    case.compare_tensor("out.loss", loss.inner()).await;
    case.compare_gradient("zi", &first, &gradients).await;
    case.compare_gradient("zj", &second, &gradients).await;
}

/// Heads alone, under the names of the public training files: in place of the backbone stands something without numbers.
#[derive(Module, Debug)]
struct Heads {
    encoder_q: (Relu, Neck),
    encoder_k: (Relu, Neck),
}

pub(crate) async fn densecl_step(case: &mut Case) {
    match case.config["form"].as_str().unwrap() {
        "tensors" => {
            let flat = |map: Tensor<4>| map.flatten::<3>(2, 3);
            let global = case.tensor::<2>("in.q").require_grad();
            let grid = case.tensor::<4>("in.grid_q").require_grad();
            let projected = |side: &str, global: &Tensor<2>, grid: &Tensor<4>| Projected {
                map: flat(case.tensor(&format!("in.feat_{side}"))),
                global: global.clone(),
                dense: Some(flat(grid.clone())),
            };
            let query = projected("q", &global, &grid);
            let key = projected("k", &case.tensor("in.k"), &case.tensor("in.grid_k"));
            let gradients = step(case, query, key).await;
            case.compare_gradient("q", &global, &gradients).await;
            case.compare_gradient("grid_q", &grid, &gradients).await;
        }
        "neck" => {
            let sizes = ["channels", "hidden", "dim"].map(|name| case.size(name));
            let neck = Neck::new(sizes, true, &case.device);
            let encoder_k = (Relu::new(), follower(&neck));
            let heads = case.fill(Heads { encoder_q: (Relu::new(), neck), encoder_k });
            let encoder_k = follow(heads.encoder_k, &heads.encoder_q, case.number("momentum"));
            let heads = Heads { encoder_k, ..heads };
            for (name, (_, numbers)) in read_state(&heads).await.unwrap() {
                let numbers: Vec<f64> = numbers.into_iter().map(f64::from).collect();
                case.compare(&format!("out.state.{name}"), &numbers);
            }
            let map = case.tensor::<4>("in.feat_q").require_grad();
            let query = heads.encoder_q.1.forward(map.clone());
            let key = heads.encoder_k.1.forward(case.tensor("in.feat_k"));
            let gradients = step(case, query, key).await;
            case.compare_gradient("feat_q", &map, &gradients).await;
            case.compare_gradients(&heads, &gradients).await;
        }
        other => panic!("form {other}"),
    }
}

/// Compare everything but gradients, and give these.
async fn step(case: &mut Case, query: Projected, key: Projected) -> burn::tensor::Gradients {
    let (queue, queue2) = (case.tensor::<2>("in.queue"), case.tensor::<2>("in.queue2"));
    let compared = compare(query, key, queue.clone(), Some(queue2.clone()), case.number("tau"));
    let (global, dense) = (compared.global.loss, compared.dense.unwrap().loss);
    let share = case.number("lambda");
    let loss = global.clone() * (1.0 - share) + dense.clone() * share;
    let gradients = loss.clone().backward();
    let matches = compared.matches.unwrap().into_data_async().await.unwrap().convert::<i64>();
    let matches: Vec<f64> = matches.try_into_vec::<i64>().unwrap().into_iter().map(|place| place as f64).collect();
    case.compare("out.match", &matches);
    case.compare_tensor("out.loss_single", global.inner()).await;
    case.compare_tensor("out.loss_dense", dense.inner()).await;
    case.compare_tensor("out.loss", loss.inner()).await;
    let pooled = compared.keys.pooled.unwrap().inner();
    case.compare_tensor("out.k2", pooled.clone()).await;
    for (name, queue, keys) in [("queue", queue, compared.keys.global.inner()), ("queue2", queue2, pooled)] {
        let first = case.numbers(&format!("in.{name}_ptr")).values[0] as usize;
        let next = (first + case.size("batch")) % case.size("queue_len");
        case.compare(&format!("out.{name}_ptr"), &[next as f64]);
        case.compare_tensor(&format!("out.{name}"), enqueue(queue.inner(), keys, first)).await;
    }
    gradients
}
