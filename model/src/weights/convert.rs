//! Number types of stored weights.

use burn::tensor::DType;
use half::{bf16, f16, slice::HalfFloatSliceExt};
use rayon::prelude::*;

/// The type of a stored tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Dtype {
    /// Single precision.
    #[default]
    F32,
    /// Half precision.
    F16,
    /// Brain float.
    Bf16,
}

impl Dtype {
    /// Bytes of an element.
    pub fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// Its name in a safetensors header.
    pub(crate) fn header_name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
        }
    }

    /// Its name in `config.json`.
    pub(crate) fn config_name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
        }
    }

    /// The tensor type of the same name.
    pub(crate) fn tensor(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F16 => DType::F16,
            Self::Bf16 => DType::BF16,
        }
    }

    pub(crate) fn of(dtype: safetensors::Dtype) -> Option<Self> {
        match dtype {
            safetensors::Dtype::F32 => Some(Self::F32),
            safetensors::Dtype::F16 => Some(Self::F16),
            safetensors::Dtype::BF16 => Some(Self::Bf16),
            _ => None,
        }
    }

    /// Little-endian stored elements as single precision, which holds each of these types exactly.
    pub(crate) fn decode(self, bytes: &[u8]) -> Vec<f32> {
        const CHUNK: usize = 4096;
        let mut values = vec![0.0; bytes.len() / self.size()];
        let chunks = values.par_chunks_mut(CHUNK).zip(bytes.par_chunks(CHUNK * self.size()));
        match self {
            Self::F32 => chunks.for_each(|(values, bytes)| {
                for (value, &bytes) in values.iter_mut().zip(bytes.as_chunks::<4>().0) {
                    *value = f32::from_le_bytes(bytes);
                }
            }),
            Self::Bf16 => chunks.for_each(|(values, bytes)| {
                for (value, &[low, high]) in values.iter_mut().zip(bytes.as_chunks::<2>().0) {
                    *value = f32::from_le_bytes([0, 0, low, high]);
                }
            }),
            // Through a buffer, because the conversion of whole slices uses the processor's instructions for it.
            Self::F16 => chunks.for_each(|(values, bytes)| {
                let mut halves = [f16::ZERO; CHUNK];
                let halves = &mut halves[..values.len()];
                for (half, &bytes) in halves.iter_mut().zip(bytes.as_chunks::<2>().0) {
                    *half = f16::from_le_bytes(bytes);
                }
                halves.convert_to_f32_slice(values);
            }),
        }
        values
    }

    /// Values as little-endian stored elements, rounded to nearest; None when a finite value becomes infinite.
    pub(crate) fn encode(self, values: &[f32]) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(values.len() * self.size());
        let mut fits = true;
        match self {
            Self::F32 => values.iter().for_each(|value| bytes.extend(value.to_le_bytes())),
            Self::Bf16 => values.iter().for_each(|value| {
                let stored = bf16::from_f32(*value);
                fits &= stored.is_finite() || !value.is_finite();
                bytes.extend(stored.to_le_bytes());
            }),
            Self::F16 => values.iter().for_each(|value| {
                let stored = f16::from_f32(*value);
                fits &= stored.is_finite() || !value.is_finite();
                bytes.extend(stored.to_le_bytes());
            }),
        }
        fits.then_some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stored_half_survives_the_way_there_and_back() {
        for dtype in [Dtype::F16, Dtype::Bf16] {
            let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
            let values = dtype.decode(&bytes);
            let back = dtype.encode(&values).expect("nothing grows");
            for (value, (old, new)) in values.iter().zip(bytes.chunks(2).zip(back.chunks(2))) {
                assert!(old == new || value.is_nan(), "{value}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_not_stored_as_infinity() {
        assert_eq!(Dtype::F16.encode(&[1e6]), None);
        assert_eq!(Dtype::Bf16.encode(&[f32::MAX]), None);
        assert!(Dtype::F16.encode(&[f32::INFINITY, 65504.0]).is_some());
    }
}
