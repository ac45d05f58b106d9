//! Log-probabilities and the gradient of every parameter on a GPU (or on a software one), against the CPU's.
//!
//! Built only with a GPU flavour, because it needs the device: `tests/wgpu.sh` runs it on Mesa's software Vulkan,
//! `ENTROPO_TEST_DEVICE=cuda:0 cargo test -p model --features cuda --test gpu` on an NVIDIA GPU.
#![cfg(any(feature = "cuda", feature = "wgpu"))]

use std::{collections::BTreeMap, path::Path, sync::Arc};

use burn::{
    module::{Module, ModuleVisitor, Param},
    tensor::{Gradients, Tensor},
};
use model::{Device, LanguageModel, Layout, LoadOptions, device, ops};

/// Collects the gradients by the order in which parameters are visited.
struct Collect<'a> {
    gradients: &'a Gradients,
    found: Vec<Vec<f32>>,
}

impl ModuleVisitor for Collect<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = param.val().grad(self.gradients).expect("every parameter has a gradient");
        self.found
            .push(gradient.into_data().convert::<f32>().try_into_vec::<f32>().expect("single precision"));
    }
}

/// Log-probabilities of the next tokens of two sequences with a shared prefix, and all gradients of a weighted sum.
fn run(folder: &Path, device: &Device) -> (Vec<f32>, Vec<Vec<f32>>) {
    let model =
        LanguageModel::load(folder, &device.clone().autodiff(), &LoadOptions::default()).expect("loads");
    let vocabulary = u32::try_from(model.config().vocabulary).expect("small");
    let tokens: Vec<u32> = (0..40_u32).map(|place| (place * 37 + 11) % vocabulary).collect();
    let layout = Arc::new(Layout::shared(12, &[17, 11]).expect("not empty"));
    let hidden = model.hidden(&tokens, &layout).expect("valid tokens");
    let targets: Vec<i64> = tokens.iter().map(|&token| i64::from((token * 5 + 3) % vocabulary)).collect();
    let targets = Tensor::from_data(targets.as_slice(), &hidden.device());
    let weight = model.vocabulary_weight().expect("a language head");
    let logp = ops::token_stats(hidden, weight, targets).logp;
    let weights: Vec<f32> = (0..40_u8).map(|place| f32::from(place % 7) - 2.5).collect();
    let loss = (logp.clone() * Tensor::from_data(weights.as_slice(), &logp.device())).sum();
    let gradients = loss.backward();
    let mut collect = Collect { gradients: &gradients, found: Vec::new() };
    model.network().visit(&mut collect);
    (logp.into_data().convert::<f32>().try_into_vec::<f32>().expect("single precision"), collect.found)
}

fn furthest(left: &[f32], right: &[f32]) -> f32 {
    assert_eq!(left.len(), right.len());
    left.iter().zip(right).map(|(left, right)| (left - right).abs()).fold(0.0, f32::max)
}

#[test]
fn a_gpu_has_the_gradients_of_the_cpu() {
    let default = if cfg!(feature = "wgpu") { "wgpu" } else { "cuda:0" };
    let name = std::env::var("ENTROPO_TEST_DEVICE").unwrap_or_else(|_| default.to_owned());
    let device = device::parse(&name).expect("the device is there");
    // CUDA multiplies single precision as TF32.
    let tolerance = if name.starts_with("cuda") { 2e-2 } else { 1e-4 };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut worst = BTreeMap::new();
    for fixture in ["qwen2-untied", "qwen3"] {
        let (here, expected) = run(&folder.join(fixture), &device::cpu());
        let (there, found) = run(&folder.join(fixture), &device);
        let off = furthest(&there, &here);
        assert!(off <= tolerance, "{fixture} on {name}: log-probabilities are off by {off}");
        assert_eq!(expected.len(), found.len());
        let largest = expected.iter().flatten().fold(0.0_f32, |top, value| top.max(value.abs()));
        assert!(largest > 0.1, "{fixture}: the gradient is not nothing");
        for (index, (left, right)) in found.iter().zip(&expected).enumerate() {
            let off = furthest(left, right) / largest;
            assert!(off <= tolerance, "{fixture} on {name}: gradient {index} is off by {off} of the largest");
            let entry = worst.entry(fixture).or_insert(0.0_f32);
            *entry = entry.max(off);
        }
    }
    eprintln!("largest difference of a gradient, relative to the largest gradient: {worst:?}");
}
