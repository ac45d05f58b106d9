//! Gradients of the parameters that are trained.

use std::{collections::BTreeMap, sync::Arc};

use burn::{
    module::Param,
    tensor::{Device, Gradients as Tape, Tensor},
};
use kernels::Layout;

use super::Flat;
use crate::{
    InputError, LanguageModel,
    network::{Layer, ParameterMapper, ParameterVisitor, Pass, Rows},
};

/// A parameter that is trained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trainable {
    /// Its name in a checkpoint; for an adapter's, that in PEFT's files without their prefix.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
}

/// Gradients by the names of parameters: flat, in single precision.
#[derive(Debug, Default)]
pub struct Gradients {
    parts: BTreeMap<String, Flat>,
}

impl Gradients {
    /// Adds to the gradient of a parameter.
    fn add(&mut self, name: &str, more: Flat) {
        match self.parts.get_mut(name) {
            Some(sum) => sum.add(more),
            None => {
                self.parts.insert(name.to_owned(), more);
            }
        }
    }

    /// Moves the gradients of a [replica](LanguageModel::replica) to this device, where these ones are, and adds them.
    pub fn gather(&mut self, replica: Self, device: &Device) {
        let device = device.clone().without_autodiff();
        for (name, part) in replica.parts {
            self.add(&name, part.moved(&device));
        }
    }

    /// The length of the gradient of all parameters together.
    pub fn norm(&self) -> f64 {
        self.parts.values().map(Flat::sum_of_squares).sum::<f64>().sqrt()
    }

    /// Takes out the gradient of a parameter.
    pub(super) fn take(&mut self, name: &str) -> Option<Flat> {
        self.parts.remove(name)
    }

    /// Names and elements.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Vec<f32>)> {
        self.parts.iter().map(|(name, part)| (name.as_str(), part.to_vec()))
    }

    /// Number of parameters that have one.
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// Whether no parameter has one.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }
}

/// Moves gradients from a tape.
struct Collect<'a> {
    tape: Tape,
    into: &'a mut Gradients,
}

impl ParameterVisitor for Collect<'_> {
    fn parameter<const D: usize>(&mut self, name: &str, value: &Param<Tensor<D>>) {
        if let Some(gradient) = value.base().grad_remove(&mut self.tape) {
            self.into.add(name, Flat::of(gradient));
        }
    }
}

/// Names and shapes of what requires a gradient.
struct List(Vec<Trainable>);

impl ParameterVisitor for List {
    fn parameter<const D: usize>(&mut self, name: &str, value: &Param<Tensor<D>>) {
        if value.base().is_require_grad() {
            self.0.push(Trainable { name: name.to_owned(), shape: value.dims().to_vec() });
        }
    }
}

/// Elements of what requires a gradient.
struct ReadValues(Vec<(String, Vec<usize>, Vec<f32>)>);

impl ParameterVisitor for ReadValues {
    fn parameter<const D: usize>(&mut self, name: &str, value: &Param<Tensor<D>>) {
        let tensor = value.base();
        if tensor.is_require_grad() {
            self.0.push((name.to_owned(), tensor.dims().to_vec(), Flat::of(tensor).to_vec()));
        }
    }
}

/// Elements that are put in.
struct WriteValues(BTreeMap<String, (Vec<usize>, Vec<f32>)>);

impl ParameterMapper for WriteValues {
    fn map<const D: usize>(&mut self, name: &str, value: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some((_, values)) = self.0.remove(name) else { return value };
        value.map(|old| {
            let (dims, device) = (old.dims(), old.device().without_autodiff());
            if values.len() != dims.iter().product::<usize>() {
                return old;
            }
            let new = Flat::new(values, &device).tensor(dims, &device).cast(old.dtype());
            if old.device().is_autodiff() {
                Tensor::from_inner(new).set_require_grad(old.is_require_grad())
            } else {
                new
            }
        })
    }
}

impl LanguageModel {
    /// The parameters that are trained, in a fixed order. None for a model on a device that records no gradients.
    pub fn trainable(&self) -> Vec<Trainable> {
        let mut list = List(Vec::new());
        self.network().all_parameters(self.prefix(), &mut list);
        list.0
    }

    /// Adds to `gradients` those of a loss of the hidden states at these places.
    ///
    /// `loss` is given the rows of [`Self::hidden_at`], `[places, hidden]`, and returns the loss, `[1]`. With
    /// `recompute`, only the input of each layer is kept, and each layer is computed again on the way back: the memory
    /// of a layer instead of all, for a third more time. The gradients are the same.
    ///
    /// The model must be on a device that records gradients.
    pub fn backward(
        &self,
        tokens: &[u32],
        layout: &Arc<Layout>,
        places: &[usize],
        recompute: bool,
        gradients: &mut Gradients,
        loss: impl FnOnce(Tensor<2>) -> Tensor<1> + Send,
    ) -> Result<(), InputError> {
        if recompute {
            return self.backward_by_layers(tokens, layout, places, gradients, loss);
        }
        let hidden = self.hidden_at(tokens, layout, places)?;
        let tape = rayon::scope(|_| loss(hidden).backward());
        self.collect(tape, gradients);
        Ok(())
    }

    fn collect(&self, tape: Tape, into: &mut Gradients) {
        self.network().all_parameters(self.prefix(), &mut Collect { tape, into });
    }

    fn backward_by_layers(
        &self,
        tokens: &[u32],
        layout: &Arc<Layout>,
        places: &[usize],
        gradients: &mut Gradients,
        loss: impl FnOnce(Tensor<2>) -> Tensor<1> + Send,
    ) -> Result<(), InputError> {
        self.check_places(tokens, layout, places)?;
        let plain = self.valid();
        let (there, here) = (plain.pass(layout, Some(places)), self.pass(layout, Some(places)));
        let (config, network) = (self.config(), self.network());
        let last = config.layers() - 1;
        let layer = |layer: &Layer, pass: &Pass<'_>, index: usize, x| {
            let rows: Option<&Rows> = pass.rows.as_ref().filter(|_| index == last);
            layer.forward(x, config, pass, config.windows[index], rows, |k, v| (k, v))
        };
        rayon::scope(|_| {
            let embedding = &plain.network().model.embed_tokens.weight;
            let mut inputs = vec![embedding.val().select(0, plain.ids(tokens))];
            for (index, part) in plain.network().model.layers.iter().enumerate() {
                inputs.push(layer(part, &there, index, inputs[index].clone()));
            }
            let leaf = |x: Tensor<2>| Tensor::from_inner(x).require_grad();
            let top = leaf(inputs.pop().expect("one for every layer and one more"));
            let mut tape = loss(network.model.norm.forward(top.clone(), config.norm_epsilon)).backward();
            let mut gradient = top.grad_remove(&mut tape);
            self.collect(tape, gradients);
            for (index, part) in network.model.layers.iter().enumerate().rev() {
                // A loss that does not depend on the model has no gradient.
                let Some(above) = gradient.take() else { return };
                let x = leaf(inputs.pop().expect("one for every layer"));
                let y = layer(part, &here, index, x.clone());
                let mut tape = (y * Tensor::from_inner(above)).sum().backward();
                gradient = x.grad_remove(&mut tape);
                self.collect(tape, gradients);
            }
            let embedding = network.model.embed_tokens.weight.val();
            if let (Some(above), true) = (gradient, embedding.is_require_grad()) {
                let x = embedding.select(0, self.ids(tokens));
                self.collect((x * Tensor::from_inner(above)).sum().backward(), gradients);
            }
        });
        Ok(())
    }

    /// Name, shape and elements of every parameter that is trained, in single precision.
    pub fn trained_values(&self) -> Vec<(String, Vec<usize>, Vec<f32>)> {
        let mut read = ReadValues(Vec::new());
        self.network().all_parameters(self.prefix(), &mut read);
        read.0
    }

    /// Puts elements into the parameters of these names; all that are trained, and no others, must be there.
    pub fn with_trained_values(
        self,
        values: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    ) -> Result<Self, String> {
        let mut missing: Vec<String> = Vec::new();
        for Trainable { name, shape } in self.trainable() {
            match values.get(&name) {
                Some((found, _)) if *found == shape => {}
                Some((found, _)) => missing.push(format!("{name} is {found:?} and must be {shape:?}")),
                None => missing.push(format!("{name} is missing")),
            }
        }
        let mut write = WriteValues(values);
        let model = self.exchange(&mut write);
        missing.extend(write.0.into_keys().map(|name| format!("{name} has no place in the model")));
        if missing.is_empty() { Ok(model) } else { Err(missing.join("; ")) }
    }

    /// Whether the model's device records gradients.
    pub fn records_gradients(&self) -> bool {
        self.device().is_autodiff()
    }

    /// The same model on its device with gradients recorded.
    #[must_use]
    pub fn trained(self) -> Self {
        let device: Device = self.device().clone().autodiff();
        self.on_autodiff(device)
    }
}
