//! What is special about the parameters of a network, by their names. The names are known beside the network; what an
//! optimiser makes of it is said by its settings.

/// What is special about one parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Layers between it and the last one: the rate falls by the layer decay with each of them.
    pub layers_above: usize,
    /// False where weight decay is usually not applied: vectors, and some tables.
    pub decayed: bool,
    /// False for a parameter that stays as it is: no update, no moments, no decay, no share in the gradients' norm.
    pub trained: bool,
}

impl Rule {
    /// A parameter of `axes` axes in a network whose layers all learn alike: only matrices decay.
    pub fn plain(axes: usize) -> Self {
        Self { layers_above: 0, decayed: axes > 1, trained: true }
    }
}

/// The rule for the parameter of a name and a number of axes. A task makes it once for a run.
pub type Rules = Box<dyn Fn(&str, usize) -> Rule>;

/// Learning-rate scale and weight decay of one parameter, as an optimiser applies them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ParameterRule {
    /// Factor on the learning rate.
    pub rate_scale: f64,
    /// Weight decay, of the kind that the optimiser is set to.
    pub weight_decay: f64,
    /// As in [`Rule::trained`].
    pub trained: bool,
}
