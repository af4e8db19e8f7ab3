//! Which parameters learn how fast: layer-wise decay and who is spared weight decay (the rule of MAE's
//! fine-tuning code), and who is frozen.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::Tensor;

use crate::checkpoint::StateNames;

/// Learning-rate scale and weight decay of one parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ParameterRule {
    /// Depth of the parameter: 0 for the embedding, `i + 1` for block `i`, `depth + 1` for everything else.
    pub layer: usize,
    /// Factor on the learning rate.
    pub rate_scale: f64,
    /// Weight decay, of the kind that the optimiser is set to.
    pub weight_decay: f64,
    /// False for a parameter that stays as it is: no update, no moments, no decay, no share in the gradients' norm.
    pub trained: bool,
}

/// The rule of MAE's fine-tuning: the rate falls by `decay` per layer from the output to the input of the encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerRules {
    /// Transformer blocks of the encoder.
    pub depth: usize,
    /// Factor per layer; 1 switches the decay off.
    pub decay: f64,
    /// Weight decay of matrices; vectors have none.
    pub weight_decay: f64,
    /// True where the class token and the position table have no weight decay (fine-tuning; not in pre-training).
    pub spare_tokens: bool,
    /// What encoder names start with, for example `encoder.`; every other name counts as the head.
    pub prefix: String,
}

impl LayerRules {
    /// The rule for the parameter `name` with `ndim` axes.
    pub fn of(&self, name: &str, ndim: usize) -> ParameterRule {
        let inner = name.strip_prefix(&self.prefix);
        let block = inner
            .and_then(|name| name.strip_prefix("blocks."))
            .and_then(|rest| rest.split('.').next())
            .and_then(|index| index.parse::<usize>().ok());
        let layer = match (inner, block) {
            (_, Some(block)) => block + 1,
            (Some("cls_token" | "pos_embed"), _) => 0,
            (Some(name), _) if name.starts_with("patch_embed.") => 0,
            _ => self.depth + 1,
        };
        let spared = ndim == 1 || (self.spare_tokens && matches!(inner, Some("cls_token" | "pos_embed")));
        ParameterRule {
            layer,
            rate_scale: self.decay.powi((self.depth + 1 - layer.min(self.depth + 1)) as i32),
            weight_decay: if spared { 0.0 } else { self.weight_decay },
            trained: true,
        }
    }
}

/// The same network without gradients for what is not trained: nobody computes what would be thrown away.
pub fn freeze<M: Module>(model: M, rule: impl Fn(&str, usize) -> ParameterRule) -> M {
    struct Freeze<F> {
        rule: F,
        names: StateNames,
    }
    impl<F: Fn(&str, usize) -> ParameterRule> ModuleMapper for Freeze<F> {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.names.enter(name, container);
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.names.exit();
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            if (self.rule)(&self.names.name(), D).trained { param } else { param.set_require_grad(false) }
        }
    }
    model.map(&mut Freeze { rule, names: StateNames::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_scales_of_vit_b() {
        let rules =
            LayerRules { depth: 12, decay: 0.75, weight_decay: 0.05, spare_tokens: true, prefix: "encoder.".into() };
        let scale = |name: &str| rules.of(name, 2).rate_scale;
        assert!((scale("encoder.patch_embed.proj.weight") - 0.023_757_3).abs() < 1e-6);
        assert!((scale("encoder.blocks.0.attn.qkv.weight") - 0.031_676_4).abs() < 1e-6);
        assert!((scale("encoder.blocks.11.mlp.fc1.weight") - 0.75).abs() < 1e-12);
        assert_eq!(scale("decoder.out.weight"), 1.0);
        assert_eq!(rules.of("encoder.pos_embed", 3).weight_decay, 0.0);
        assert_eq!(rules.of("decoder.out.bias", 1).weight_decay, 0.0);
        assert_eq!(rules.of("decoder.out.weight", 4).weight_decay, 0.05);
    }
}
