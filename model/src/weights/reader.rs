//! Stored tensors become the model's.

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::{AllocationProperty, Bytes, Device, Tensor, TensorData};

use super::{Checkpoint, Dtype, Problems, Source};

/// Finds what is missing, superfluous or misshapen, reading nothing.
#[derive(Debug)]
pub(crate) struct Check<'a> {
    checkpoint: &'a Checkpoint,
    wanted: BTreeSet<String>,
    problems: Problems,
    device: Device,
}

impl<'a> Check<'a> {
    pub(crate) fn new(checkpoint: &'a Checkpoint) -> Self {
        Self {
            checkpoint,
            wanted: BTreeSet::new(),
            problems: Problems::default(),
            device: crate::device::cpu(),
        }
    }

    /// What was found; `harmless` says which superfluous names mean nothing.
    pub(crate) fn finish(mut self, harmless: impl Fn(&str) -> bool) -> Problems {
        let superfluous =
            self.checkpoint.names().filter(|name| !self.wanted.contains(*name) && !harmless(name));
        self.problems.unexpected = superfluous.map(str::to_owned).collect();
        self.problems
    }
}

impl Source for Check<'_> {
    fn tensor<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Tensor<D> {
        match self.checkpoint.entries.get(name) {
            None => self.problems.missing.push(name.to_owned()),
            Some(entry) => {
                if entry.shape != shape {
                    self.problems.misshapen.push((name.to_owned(), entry.shape.clone(), shape.to_vec()));
                }
                if let Err(dtype) = &entry.dtype {
                    self.problems.types.push((name.to_owned(), dtype.clone()));
                }
            }
        }
        self.wanted.insert(name.to_owned());
        // Nobody computes with it.
        Tensor::zeros([1; D], &self.device)
    }

    fn has(&self, name: &str) -> bool {
        self.checkpoint.entries.contains_key(name)
    }
}

/// Reads the tensors of a checkpoint that passed the check.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    checkpoint: &'a Checkpoint,
    device: Device,
    /// What the model computes in.
    precision: Dtype,
    /// How each tensor was stored.
    pub(crate) stored: BTreeMap<String, Dtype>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(checkpoint: &'a Checkpoint, device: &Device, precision: Dtype) -> Self {
        Self { checkpoint, device: device.clone(), precision, stored: BTreeMap::new() }
    }
}

impl Source for Reader<'_> {
    fn tensor<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Tensor<D> {
        let entry = &self.checkpoint.entries[name];
        let dtype = *entry.dtype.as_ref().expect("the check passed");
        self.stored.insert(name.to_owned(), dtype);
        // Scores are few and are compared closely: they are always made in single precision.
        let wanted = if name.starts_with("score.") { Dtype::F32 } else { self.precision };
        // What is stored as it is wanted is used where it lies in the mapped file, if it is aligned there.
        let aligned = entry.bytes().as_ptr().align_offset(dtype.size()) == 0;
        let data = if dtype == wanted && aligned && cfg!(target_endian = "little") {
            let bytes = Bytes::from_shared(entry.shared(), AllocationProperty::File);
            TensorData::from_bytes(bytes, shape, dtype.tensor())
        } else {
            let values = dtype.decode(entry.bytes());
            // Or the stored weights would be in memory beside the converted ones.
            entry.release();
            TensorData::new(values, shape)
        };
        Tensor::from_data(data, (&self.device, wanted.tensor()))
    }

    fn has(&self, name: &str) -> bool {
        self.checkpoint.entries.contains_key(name)
    }
}
