//! The gradient of every parameter, against PyTorch's.

mod fixture;

use std::{collections::BTreeMap, fs, sync::Arc};

use burn::{
    module::{Module, ModuleVisitor, Param},
    tensor::{Gradients, Tensor, TensorData},
};
use fixture::{Fixture, Recorded, folder, recorded};
use model::{Layout, device};

/// Compares the gradient of each parameter with the one recorded under its name.
struct Compare<'a> {
    path: Vec<String>,
    gradients: &'a Gradients,
    expected: BTreeMap<String, Recorded>,
}

impl ModuleVisitor for Compare<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let name = self.path.join(".");
        let (shape, expected) = self.expected.remove(&name).unwrap_or_else(|| panic!("{name} is recorded"));
        assert_eq!(param.dims().as_slice(), shape.as_slice(), "{name}");
        let found = param.val().grad(self.gradients).unwrap_or_else(|| panic!("{name} has a gradient"));
        let found: Vec<f32> = found.into_data().try_to_vec().expect("single precision");
        let largest = expected.iter().fold(1.0_f32, |largest, value| largest.max(value.abs()));
        for (found, expected) in found.iter().zip(&expected) {
            assert!(
                (found - expected).abs() <= 1e-5 * largest,
                "{name}: {found} and {expected}, largest {largest}"
            );
        }
    }
}

#[test]
fn gradients_are_those_of_pytorch() {
    let names =
        Fixture::names().into_iter().filter(|name| folder(name).join("gradients.safetensors").is_file());
    let names: Vec<_> = names.collect();
    assert!(names.len() >= 3, "{names:?}");
    for name in names {
        let device = device::cpu().autodiff();
        let Fixture { model, tokens, expected } = Fixture::load_on(&name, &device);
        let layout = Arc::new(Layout::packed(&[tokens.len()]).expect("not empty"));
        let hidden = model.hidden(&tokens, &layout).expect("valid");
        let hidden = hidden.narrow(0, 0, tokens.len() - 1);
        let logp = model.token_stats(hidden, &tokens[1..]).expect("a language head").logp;
        let (shape, cotangent) = expected["cotangent"].clone();
        let cotangent = Tensor::<1>::from_data(TensorData::new(cotangent, shape), &device);
        let gradients = (logp * cotangent).sum().backward();
        let bytes = fs::read(folder(&name).join("gradients.safetensors")).expect("readable");
        let mut compare = Compare { path: Vec::new(), gradients: &gradients, expected: recorded(&bytes) };
        model.network().visit(&mut compare);
        assert!(compare.expected.is_empty(), "{name}: no parameters for {:?}", compare.expected.keys());
        // The same model without gradients computes the same, and keeps no graph.
        let plain = model.valid();
        assert!(!plain.device().is_autodiff());
        let hidden = plain.hidden(&tokens, &layout).expect("valid");
        assert!(fixture::distance(&hidden, &expected["hidden"]) < 2e-5);
    }
}
