//! Optimisers: steps on the parameters of a model, and the state they keep between steps.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use burn::{
    module::Param,
    tensor::{DType, Tensor},
};
use kernels::{
    meter::{Part, measured},
    optimizer::{AdamW, Lion, Sgd},
};

use super::{Flat, Gradients};
use crate::{
    LanguageModel,
    network::ParameterMapper,
    weights::{TensorFile, TensorFileError},
};

/// How parameters follow their gradients.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Method {
    /// AdamW (arXiv 1711.05101) as PyTorch computes it.
    AdamW {
        /// Decay of the first moment.
        beta1: f64,
        /// Decay of the second moment.
        beta2: f64,
        /// Added to the root of the second moment.
        epsilon: f64,
    },
    /// Stochastic gradient descent as PyTorch computes it.
    Sgd {
        /// Share of the last step that is kept; 0 for none.
        momentum: f64,
    },
    /// Lion (arXiv 2302.06675).
    Lion {
        /// Weight of the momentum in the step's direction.
        beta1: f64,
        /// Decay of the momentum.
        beta2: f64,
    },
}

/// What is remembered of a parameter.
#[derive(Debug, Clone, Default)]
struct State {
    /// First moment or momentum.
    first: Option<Flat>,
    /// Second moment.
    second: Option<Flat>,
    /// The parameter in single precision, where the model computes with less: small steps would be rounded away.
    master: Option<Flat>,
}

/// An optimiser and its state.
#[derive(Debug, Clone)]
pub struct Optimizer {
    method: Method,
    /// Of matrices; biases and norms do not decay.
    weight_decay: f64,
    steps: u64,
    states: BTreeMap<String, State>,
}

/// Why a state cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] TensorFileError),
    /// It belongs to another model or optimiser.
    #[error("{path}: {reason}; resume with the configuration that the checkpoint was made with")]
    Other {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
}

/// A step underway.
struct Step<'a> {
    optimizer: &'a mut Optimizer,
    gradients: Gradients,
    learning_rate: f64,
    scale: f64,
}

impl ParameterMapper for Step<'_> {
    fn map<const D: usize>(&mut self, name: &str, value: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(gradient) = self.gradients.take(name) else { return value };
        let (id, tensor, mapper) = value.consume();
        let (shape, device, dtype) = (tensor.dims(), tensor.device(), tensor.dtype());
        let weight_decay = if D > 1 { self.optimizer.weight_decay } else { 0.0 };
        let state = self.optimizer.states.entry(name.to_owned()).or_default();
        let mut weight = match state.master.take() {
            Some(master) => master,
            None => Flat::of(tensor),
        };
        let rate = Move {
            method: self.optimizer.method,
            learning_rate: self.learning_rate,
            weight_decay,
            step: self.optimizer.steps,
            scale: self.scale,
        };
        measured(Part::Optimizer, 0, || rate.apply(&mut weight, state, gradient, shape.iter().product()));
        let plain = device.clone().without_autodiff();
        let tensor = if dtype == DType::F32 {
            weight.tensor(shape, &plain)
        } else {
            state.master = Some(weight.clone());
            weight.tensor(shape, &plain).cast(dtype)
        };
        let tensor = if device.is_autodiff() { Tensor::from_inner(tensor).require_grad() } else { tensor };
        Param::from_mapped_value(id, tensor, mapper)
    }
}

/// What a step does to one parameter.
struct Move {
    method: Method,
    learning_rate: f64,
    weight_decay: f64,
    step: u64,
    scale: f64,
}

impl Move {
    fn apply(&self, weight: &mut Flat, state: &mut State, gradient: Flat, count: usize) {
        let Self { learning_rate, weight_decay, step, scale, .. } = *self;
        let zeros = |like: &Flat| match like {
            Flat::Host(_) => Flat::Host(vec![0.0; count]),
            Flat::Device(tensor) => Flat::Device(Tensor::zeros([count], (&tensor.device(), DType::F32))),
        };
        let first = match self.method {
            Method::Sgd { momentum: 0.0 } => None,
            _ => Some(state.first.get_or_insert_with(|| zeros(weight))),
        };
        let second = match self.method {
            Method::AdamW { .. } => Some(state.second.get_or_insert_with(|| zeros(weight))),
            _ => None,
        };
        match (self.method, weight, first, second, gradient) {
            (
                Method::AdamW { beta1, beta2, epsilon },
                Flat::Host(weight),
                Some(Flat::Host(first)),
                Some(Flat::Host(second)),
                Flat::Host(gradient),
            ) => AdamW { learning_rate, beta1, beta2, epsilon, weight_decay, step, scale }
                .apply(weight, first, second, &gradient),
            (Method::Sgd { .. }, Flat::Host(weight), None, _, Flat::Host(gradient)) => {
                Sgd { learning_rate, momentum: 0.0, weight_decay, scale }.apply(weight, None, &gradient);
            }
            (
                Method::Sgd { momentum },
                Flat::Host(weight),
                Some(Flat::Host(first)),
                _,
                Flat::Host(gradient),
            ) => {
                Sgd { learning_rate, momentum, weight_decay, scale }.apply(weight, Some(first), &gradient);
            }
            (
                Method::Lion { beta1, beta2 },
                Flat::Host(weight),
                Some(Flat::Host(first)),
                _,
                Flat::Host(gradient),
            ) => {
                Lion { learning_rate, beta1, beta2, weight_decay, scale }.apply(weight, first, &gradient);
            }
            (_, Flat::Device(weight), first, second, Flat::Device(gradient)) => {
                self.on_device(weight, first, second, gradient * scale);
            }
            _ => unreachable!("all parts of a model are in one place"),
        }
    }

    /// The same in the device's own operations.
    fn on_device(
        &self,
        weight: &mut Tensor<1>,
        first: Option<&mut Flat>,
        second: Option<&mut Flat>,
        gradient: Tensor<1>,
    ) {
        let (rate, decay) = (self.learning_rate, self.weight_decay);
        let inner = |flat: &Flat| match flat {
            Flat::Device(tensor) => tensor.clone(),
            Flat::Host(_) => unreachable!("all parts of a model are in one place"),
        };
        match (self.method, first, second) {
            (Method::AdamW { beta1, beta2, epsilon }, Some(first), Some(second)) => {
                let exponent = self.step as f64;
                let moment = inner(first) * beta1 + gradient.clone() * (1.0 - beta1);
                let square = inner(second) * beta2 + gradient.clone() * gradient * (1.0 - beta2);
                let root = (1.0 - beta2.powf(exponent)).sqrt();
                let denominator = square.clone().sqrt() / root + epsilon;
                let size = rate / (1.0 - beta1.powf(exponent));
                *weight = weight.clone() * (1.0 - rate * decay) - moment.clone() / denominator * size;
                (*first, *second) = (Flat::Device(moment), Flat::Device(square));
            }
            (Method::Sgd { momentum }, first, _) => {
                let gradient = gradient + weight.clone() * decay;
                let step = match &first {
                    Some(first) => inner(first) * momentum + gradient,
                    None => gradient,
                };
                *weight = weight.clone() - step.clone() * rate;
                if let Some(first) = first {
                    *first = Flat::Device(step);
                }
            }
            (Method::Lion { beta1, beta2 }, Some(first), _) => {
                let direction = inner(first) * beta1 + gradient.clone() * (1.0 - beta1);
                *weight = weight.clone() * (1.0 - rate * decay) - direction.sign() * rate;
                *first = Flat::Device(inner(first) * beta2 + gradient * (1.0 - beta2));
            }
            _ => unreachable!("moments are made before a step"),
        }
    }
}

impl Optimizer {
    /// One that has not made a step. Biases and norms do not decay.
    pub fn new(method: Method, weight_decay: f64) -> Self {
        Self { method, weight_decay, steps: 0, states: BTreeMap::new() }
    }

    /// Steps made.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Moves every parameter that has a gradient. `scale` multiplies the gradients, as clipping asks for.
    #[must_use]
    pub fn step(
        &mut self,
        model: LanguageModel,
        gradients: Gradients,
        learning_rate: f64,
        scale: f64,
    ) -> LanguageModel {
        self.steps += 1;
        let mut step = Step { optimizer: self, gradients, learning_rate, scale };
        model.exchange(&mut step)
    }

    /// Writes the state as a safetensors file: `first.NAME`, `second.NAME` and `master.NAME`, flat.
    pub fn save(&self, path: &Path) -> Result<(), StateError> {
        let mut file = TensorFile::default();
        for (name, state) in &self.states {
            let parts = [("first", &state.first), ("second", &state.second), ("master", &state.master)];
            for (part, flat) in parts {
                if let Some(flat) = flat {
                    let values = flat.to_vec();
                    file.push(format!("{part}.{name}"), vec![values.len()], values);
                }
            }
        }
        let about = serde_json::json!({ "steps": self.steps, "method": format!("{:?}", self.method) });
        file.write(path, ("optimizer", about.to_string()))?;
        Ok(())
    }

    /// Reads a state for this model; the optimiser must be of the same method.
    pub fn load(&mut self, path: &Path, model: &LanguageModel) -> Result<(), StateError> {
        let other = |reason| StateError::Other { path: path.to_owned(), reason };
        let (file, metadata) = TensorFile::read(path)?;
        let about: serde_json::Value = metadata
            .get("optimizer")
            .and_then(|about| serde_json::from_str(about).ok())
            .ok_or_else(|| other("it is not the state of an optimiser".to_owned()))?;
        let method = about["method"].as_str().unwrap_or("nothing");
        if method != format!("{:?}", self.method) {
            return Err(other(format!("it is the state of {method}, not of {:?}", self.method)));
        }
        let steps = about["steps"].as_u64();
        let steps = steps.ok_or_else(|| other("it does not say how many steps were made".to_owned()))?;
        let sizes: BTreeMap<String, usize> = model
            .trainable()
            .into_iter()
            .map(|trainable| (trainable.name, trainable.shape.iter().product()))
            .collect();
        let device = model.device().clone().without_autodiff();
        let mut states: BTreeMap<String, State> = BTreeMap::new();
        for (full, (_, values)) in file.into_tensors() {
            let Some((part, name)) = full.split_once('.') else {
                return Err(other(format!("`{full}` is no part of a state")));
            };
            match sizes.get(name) {
                None => return Err(other(format!("the model trains no `{name}`"))),
                Some(&size) if size != values.len() => {
                    return Err(other(format!("{full} has {} elements, not {size}", values.len())));
                }
                Some(_) => {}
            }
            let state = states.entry(name.to_owned()).or_default();
            let place = match part {
                "first" => &mut state.first,
                "second" => &mut state.second,
                "master" => &mut state.master,
                _ => return Err(other(format!("`{full}` is no part of a state"))),
            };
            *place = Some(Flat::new(values, &device));
        }
        (self.steps, self.states) = (steps, states);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weight, state and gradients of three steps, in memory or as tensors of the processor.
    fn three_steps(method: Method, on_device: bool) -> Vec<f32> {
        let device = crate::device::cpu();
        let flat = |values: Vec<f32>| {
            if on_device {
                Flat::Device(Flat::Host(values.clone()).tensor([values.len()], &device))
            } else {
                Flat::Host(values)
            }
        };
        let mut weight = flat(vec![1.0, -2.0, 0.5, 0.0]);
        let mut state = State::default();
        for step in 1..=3_u64 {
            let gradient = flat(vec![0.3, -0.1 * step as f32, 0.0, 2.0]);
            let rate = Move { method, learning_rate: 0.1, weight_decay: 0.05, step, scale: 0.7 };
            rate.apply(&mut weight, &mut state, gradient, 4);
        }
        weight.to_vec()
    }

    #[test]
    fn devices_step_as_the_processor_does() {
        for method in [
            Method::AdamW { beta1: 0.9, beta2: 0.99, epsilon: 1e-8 },
            Method::Sgd { momentum: 0.0 },
            Method::Sgd { momentum: 0.9 },
            Method::Lion { beta1: 0.9, beta2: 0.99 },
        ] {
            let (there, here) = (three_steps(method, true), three_steps(method, false));
            for (there, here) in there.iter().zip(&here) {
                assert!((there - here).abs() < 1e-6, "{method:?}: {there} {here}");
            }
        }
    }
}
