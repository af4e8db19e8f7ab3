//! What is done with the task of a recipe, whichever it is.

use crate::models::NetworkConfig;
use crate::tasks::Task;

/// Something to do with any task; [`Recipe::visit`](super::Recipe::visit) calls it with the one of a recipe.
pub trait TaskVisitor {
    /// What comes of it.
    type Output;

    /// Do it with `task`, which trains a network of the sizes `network`.
    fn visit<T: Task + 'static>(self, task: T, network: NetworkConfig) -> Self::Output;
}
