//! Parameters by the names that checkpoints give them.

use burn::{
    module::{Module, ModuleVisitor, Param},
    tensor::Tensor,
};

use super::Network;

/// Is called with each parameter of a model, always in the same order.
pub trait ParameterVisitor {
    /// A parameter and its name in a checkpoint.
    fn parameter<const D: usize>(&mut self, name: &str, value: &Param<Tensor<D>>);
}

/// Follows the modules, whose paths are the names.
struct Walk<'a, V> {
    path: Vec<String>,
    prefix: &'a str,
    /// Adapters attached to a parameter are no parameters of the checkpoint.
    inside_adapter: usize,
    visitor: &'a mut V,
}

impl<V: ParameterVisitor> ModuleVisitor for Walk<'_, V> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.push(name.to_owned());
        self.inside_adapter += usize::from(container == "Reparameterization");
    }

    fn exit_module(&mut self, _: &str, container: &str) {
        self.path.pop();
        self.inside_adapter -= usize::from(container == "Reparameterization");
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.inside_adapter == 0 {
            let path = self.path.join(".");
            let name = match path.strip_prefix("model.") {
                Some(rest) => format!("{}{rest}", self.prefix),
                None => path,
            };
            self.visitor.parameter(&name, param);
        }
    }
}

impl Network {
    /// Visits every parameter; `prefix` comes before the names of the decoder's.
    pub(crate) fn parameters<V: ParameterVisitor>(&self, prefix: &str, visitor: &mut V) {
        self.visit(&mut Walk { path: Vec::new(), prefix, inside_adapter: 0, visitor });
    }
}
