//! Copies of a model on several devices, which learn from different tokens and stay one model.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use burn::{
    module::Param,
    tensor::{Device, Tensor},
};

use crate::{
    LanguageModel,
    network::{ParameterMapper, ParameterVisitor},
};

/// Puts values on a device as parameters of their own: no graph of gradients has parts of two copies.
struct Place<'a> {
    device: &'a Device,
    /// Flat values by name; other parameters stay as they are. None: every parameter is moved.
    values: Option<BTreeMap<String, Tensor<1>>>,
}

impl ParameterMapper for Place<'_> {
    fn map<const D: usize>(&mut self, name: &str, value: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let new = match &mut self.values {
            None => None,
            Some(values) => match values.remove(name) {
                None => return value,
                found => found,
            },
        };
        let (id, old, mapper) = value.consume();
        let (shape, recorded, trained) = (old.dims(), old.device().is_autodiff(), old.is_require_grad());
        let moved = match new {
            Some(new) => {
                drop(old);
                new.to_device(self.device).reshape(shape)
            }
            None => old.without_autodiff().to_device(self.device),
        };
        let tensor = if recorded { Tensor::from_inner(moved).set_require_grad(trained) } else { moved };
        Param::from_mapped_value(id, tensor, mapper)
    }
}

/// What is trained, flat, in the type that the model computes in.
struct Trained(BTreeMap<String, Tensor<1>>);

impl ParameterVisitor for Trained {
    fn parameter<const D: usize>(&mut self, name: &str, value: &Param<Tensor<D>>) {
        let tensor = value.base();
        if tensor.is_require_grad() {
            let tensor = tensor.without_autodiff();
            let count = tensor.shape().num_elements();
            self.0.insert(name.to_owned(), tensor.reshape([count]));
        }
    }
}

impl LanguageModel {
    /// The same model on another device of the same kind, trained and with gradients recorded where this one is. On
    /// the processor the weights are shared until one of them is trained. Dropout is switched for each on its own.
    #[must_use]
    pub fn replica(&self, device: &Device) -> Self {
        let plain = device.clone().without_autodiff();
        let recorded = if self.device().is_autodiff() { plain.clone().autodiff() } else { plain.clone() };
        let copy = self.clone().exchange(&mut Place { device: &plain, values: None });
        let round = self.adapters().next().map_or(0, |(_, one)| one.dropout.round.load(Ordering::Relaxed));
        let round = Arc::new(AtomicU64::new(round));
        let copy = copy.each_projection(|projection| {
            if let Some(adapter) = &mut projection.adapter {
                adapter.dropout.round = Arc::clone(&round);
            }
        });
        copy.at(recorded)
    }

    /// This copy with the trained values of another one, which a step of the optimiser moved. What is not trained stays
    /// where it is.
    #[must_use]
    pub fn following(self, first: &Self) -> Self {
        let mut trained = Trained(BTreeMap::new());
        first.network().all_parameters(first.prefix(), &mut trained);
        let device = self.device().clone().without_autodiff();
        self.exchange(&mut Place { device: &device, values: Some(trained.0) })
    }
}

#[cfg(test)]
mod tests {
    use kernels::Layout;

    use super::*;
    use crate::{
        Config,
        training::{AdapterOptions, Gradients, Method, Optimizer},
    };

    fn tiny() -> LanguageModel {
        let config = serde_json::json!({
            "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": 31, "hidden_size": 8,
            "intermediate_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
            "max_position_embeddings": 64, "tie_word_embeddings": true, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
            "initializer_range": 0.3, "hidden_act": "silu",
        });
        let config = Config::parse(&config.to_string()).expect("valid");
        LanguageModel::init(config, 5, &crate::device::cpu()).trained()
    }

    fn adapted() -> LanguageModel {
        let options = AdapterOptions { rank: 2, dropout: 0.5, ..AdapterOptions::default() };
        let model = tiny().with_adapters(&options).expect("valid");
        // B is zero at first, and A has no gradient then.
        let mut values = BTreeMap::new();
        for (name, shape, mut elements) in model.trained_values() {
            elements.iter_mut().enumerate().for_each(|(at, value)| *value += 0.01 * (at % 7) as f32);
            values.insert(name, (shape, elements));
        }
        model.with_trained_values(values).expect("fits")
    }

    fn learn(model: &LanguageModel, tokens: &[u32], gradients: &mut Gradients) {
        let layout = Arc::new(Layout::packed(&[tokens.len()]).expect("tokens"));
        let places: Vec<usize> = (0..tokens.len()).collect();
        model
            .backward(tokens, &layout, &places, false, gradients, |hidden| (hidden.clone() * hidden).sum())
            .expect("valid");
    }

    fn values(gradients: &Gradients) -> Vec<(String, Vec<f32>)> {
        gradients.iter().map(|(name, values)| (name.to_owned(), values)).collect()
    }

    #[test]
    fn a_replica_computes_the_same_gradients_at_the_same_time() {
        for model in [tiny(), adapted()] {
            let copy = model.replica(&crate::device::cpu());
            assert_eq!(copy.trainable(), model.trainable());
            assert!(copy.records_gradients());
            for (one, other) in [(&model, 3), (&copy, 4)] {
                one.set_dropout_round(other);
            }
            let alone: Vec<_> = [(&model, [1, 2, 3, 4]), (&copy, [9, 8, 7, 6])]
                .map(|(model, tokens)| {
                    let mut gradients = Gradients::default();
                    learn(model, &tokens, &mut gradients);
                    values(&gradients)
                })
                .into();
            for _ in 0..20 {
                let together: Vec<_> = std::thread::scope(|scope| {
                    let threads = [(&model, [1, 2, 3, 4]), (&copy, [9, 8, 7, 6])].map(|(model, tokens)| {
                        scope.spawn(move || {
                            let mut gradients = Gradients::default();
                            learn(model, &tokens, &mut gradients);
                            values(&gradients)
                        })
                    });
                    threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
                });
                assert!(together == alone);
            }
            // Rounds are each one's own: the same round drops the same.
            copy.set_dropout_round(3);
            let (mut one, mut other) = (Gradients::default(), Gradients::default());
            learn(&model, &[1, 2, 3, 4], &mut one);
            learn(&copy, &[1, 2, 3, 4], &mut other);
            assert!(values(&one) == values(&other));
        }
    }

    #[test]
    fn gradients_of_replicas_add_up_and_all_follow_the_first() {
        for model in [tiny(), adapted()] {
            let copy = model.replica(&crate::device::cpu());
            let mut whole = Gradients::default();
            learn(&model, &[1, 2, 3, 4], &mut whole);
            learn(&model, &[9, 8, 7, 6], &mut whole);
            let (mut here, mut there) = (Gradients::default(), Gradients::default());
            learn(&model, &[1, 2, 3, 4], &mut here);
            learn(&copy, &[9, 8, 7, 6], &mut there);
            here.gather(there, model.device());
            assert!(values(&here) == values(&whole));
            let before = copy.trained_values();
            let mut optimizer = Optimizer::new(Method::Sgd { momentum: 0.0 }, 0.0);
            let model = optimizer.step(model, here, 0.1, 1.0);
            // The copy has what it had until it follows.
            assert!(copy.trained_values() == before && model.trained_values() != before);
            let copy = copy.following(&model);
            assert!(copy.trained_values() == model.trained_values());
            assert_eq!(copy.trainable(), model.trainable());
        }
    }
}
