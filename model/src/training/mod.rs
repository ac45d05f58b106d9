//! What training needs of a model: gradients of its parameters, steps on them, adapters, and copies on several devices.

mod adapters;
mod gradients;
mod optimizer;
mod peft;
mod replica;

pub use adapters::{AdapterOptions, TargetError};
pub use gradients::{Gradients, Trainable};
pub use optimizer::{Method, Optimizer, StateError};
pub use peft::AdapterError;

use std::time::Duration;

use burn::tensor::{DType, Device, Tensor, TensorData};

use kernels::meter::{Part, measured};

use crate::device::is_cpu;

/// Lets the process keep the memory of a step's buffers for those of the next: call it before training.
///
/// It is given back about a minute after nothing takes it any more.
pub fn keep_buffers() {
    kernels::memory::keep_freed_for(Duration::from_mins(1));
}

/// The elements of a parameter, its gradient or its moments: single precision, in memory for the processor and on the
/// device for others.
#[derive(Debug, Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "there are a few hundred of them, each with megabytes elsewhere"
)]
enum Flat {
    Host(Vec<f32>),
    Device(Tensor<1>),
}

impl Flat {
    /// No copy is made of elements on the processor that nobody else holds.
    fn of<const D: usize>(tensor: Tensor<D>) -> Self {
        let tensor = tensor.without_autodiff().cast(DType::F32);
        if is_cpu(&tensor.device()) {
            return Self::Host(tensor.into_data().try_into_vec::<f32>().expect("in single precision"));
        }
        let count = tensor.shape().num_elements();
        Self::Device(tensor.reshape([count]))
    }

    fn new(values: Vec<f32>, device: &Device) -> Self {
        if is_cpu(device) {
            return Self::Host(values);
        }
        let count = values.len();
        Self::Device(Tensor::from_data(TensorData::new(values, [count]), (device, DType::F32)))
    }

    /// As a tensor of this shape on this device, where it came from.
    fn tensor<const D: usize>(self, shape: [usize; D], device: &Device) -> Tensor<D> {
        match self {
            Self::Host(values) => Tensor::from_data(TensorData::new(values, shape), device),
            Self::Device(tensor) => tensor.reshape(shape),
        }
    }

    /// The same on another device of its kind.
    fn moved(self, device: &Device) -> Self {
        match self {
            Self::Host(values) => Self::Host(values),
            Self::Device(tensor) => Self::Device(tensor.to_device(device)),
        }
    }

    fn add(&mut self, more: Self) {
        match (self, more) {
            (Self::Host(sum), Self::Host(more)) => {
                measured(Part::Optimizer, 0, || kernels::optimizer::add(sum, &more));
            }
            (Self::Device(sum), Self::Device(more)) => *sum = sum.clone() + more,
            _ => unreachable!("all parts of a model are in one place"),
        }
    }

    fn sum_of_squares(&self) -> f64 {
        match self {
            Self::Host(values) => measured(Part::Optimizer, 0, || kernels::optimizer::sum_of_squares(values)),
            Self::Device(tensor) => f64::from((tensor.clone() * tensor.clone()).sum().into_scalar::<f32>()),
        }
    }

    fn to_vec(&self) -> Vec<f32> {
        match self {
            Self::Host(values) => values.clone(),
            Self::Device(tensor) => tensor.clone().into_data().try_into_vec().expect("in single precision"),
        }
    }
}
