//! Parameters by the names that checkpoints give them.

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param},
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
    /// Adapters are no parameters of the checkpoint.
    inside_adapter: usize,
    with_adapters: bool,
    visitor: &'a mut V,
}

impl<V: ParameterVisitor> ModuleVisitor for Walk<'_, V> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.push(name.to_owned());
        self.inside_adapter += usize::from(container == ADAPTER);
    }

    fn exit_module(&mut self, _: &str, container: &str) {
        self.path.pop();
        self.inside_adapter -= usize::from(container == ADAPTER);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.inside_adapter == 0 || self.with_adapters {
            self.visitor.parameter(&name(&self.path, self.prefix), param);
        }
    }
}

/// The struct whose fields are an adapter's parameters.
const ADAPTER: &str = "Adapter";

/// The name in a checkpoint of the parameter at this path; of an adapter's, its name in PEFT's files without their
/// prefix.
fn name(path: &[String], prefix: &str) -> String {
    let path = path.join(".");
    let path = match path.strip_prefix("model.") {
        Some(rest) => format!("{prefix}{rest}"),
        None => path,
    };
    for (ours, theirs) in [("adapter.a", "lora_A.weight"), ("adapter.b", "lora_B.weight")] {
        if let Some(module) = path.strip_suffix(ours) {
            return format!("{module}{theirs}");
        }
    }
    path
}

/// Replaces parameters by their names.
pub(crate) trait ParameterMapper {
    /// A parameter in place of this one, of the same shape.
    fn map<const D: usize>(&mut self, name: &str, value: Param<Tensor<D>>) -> Param<Tensor<D>>;
}

/// Follows the modules, as [`Walk`] does.
struct Exchange<'a, M> {
    path: Vec<String>,
    prefix: &'a str,
    mapper: &'a mut M,
}

impl<M: ParameterMapper> ModuleMapper for Exchange<'_, M> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.mapper.map(&name(&self.path, self.prefix), param)
    }
}

impl Network {
    /// Replaces every parameter, those of adapters included.
    pub(crate) fn exchange<M: ParameterMapper>(self, prefix: &str, mapper: &mut M) -> Self {
        self.map(&mut Exchange { path: Vec::new(), prefix, mapper })
    }

    /// Visits every parameter, those of adapters included.
    pub(crate) fn all_parameters<V: ParameterVisitor>(&self, prefix: &str, visitor: &mut V) {
        self.visit(&mut Walk { path: Vec::new(), prefix, inside_adapter: 0, with_adapters: true, visitor });
    }

    /// Visits every parameter of the checkpoint; `prefix` comes before the names of the decoder's.
    pub(crate) fn parameters<V: ParameterVisitor>(&self, prefix: &str, visitor: &mut V) {
        self.visit(&mut Walk { path: Vec::new(), prefix, inside_adapter: 0, with_adapters: false, visitor });
    }
}
