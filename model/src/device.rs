//! Which processor a model runs on. This is the one module that names a back end.

use burn::tensor::Device;

/// Why a device cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// No device has such a name.
    #[error("`{0}` is not a device; use cpu, cuda, cuda:N, wgpu, wgpu:N or vulkan")]
    Unknown(String),
    /// This program was built without the back end.
    #[error("device `{device}` needs a build with `--features {feature}`, which this one is not")]
    NotBuilt {
        /// What was asked for.
        device: String,
        /// The feature of the crates `model` and `cli` that brings it.
        feature: &'static str,
    },
    /// The machine has no such device.
    #[error("there is no device `{device}` here: {found} of its kind found")]
    Absent {
        /// What was asked for.
        device: String,
        /// How many of its kind there are.
        found: usize,
    },
}

/// The processor, through Burn's Flex back end.
pub fn cpu() -> Device {
    Device::flex()
}

/// Whether this is the processor, with gradients recorded or without.
pub(crate) fn is_cpu(device: &Device) -> bool {
    crate::ops::on_cpu(device.as_dispatch())
}

/// A device by its name: `cpu`, `cuda` or `cuda:N`, `wgpu` or `wgpu:N`, `vulkan`.
pub fn parse(name: &str) -> Result<Device, DeviceError> {
    let (kind, index) = match name.split_once(':') {
        None => (name, None),
        Some((kind, index)) => {
            let index: usize = index.parse().map_err(|_| DeviceError::Unknown(name.to_owned()))?;
            (kind, Some(index))
        }
    };
    match (kind, index) {
        ("cpu", None) => Ok(cpu()),
        ("cuda", index) => cuda(name, index.unwrap_or(0)),
        ("wgpu", index) => wgpu(name, index),
        ("vulkan", None) => wgpu(name, None),
        _ => Err(DeviceError::Unknown(name.to_owned())),
    }
}

#[cfg(feature = "cuda")]
fn cuda(name: &str, index: usize) -> Result<Device, DeviceError> {
    use burn::tensor::DeviceType;
    // Opening a device that is not there panics; listing them does not.
    let found = Device::enumerate(DeviceType::Cuda).into_vec().len();
    if index < found {
        Ok(Device::cuda(index))
    } else {
        Err(DeviceError::Absent { device: name.to_owned(), found })
    }
}

#[cfg(not(feature = "cuda"))]
fn cuda(name: &str, _: usize) -> Result<Device, DeviceError> {
    Err(DeviceError::NotBuilt { device: name.to_owned(), feature: "cuda" })
}

#[cfg(feature = "wgpu")]
fn wgpu(name: &str, index: Option<usize>) -> Result<Device, DeviceError> {
    use burn::tensor::{DeviceKind, DeviceType};
    let mut devices = Device::enumerate(DeviceType::Wgpu).into_vec();
    let found = devices.len();
    match index {
        None if found > 0 => Ok(Device::wgpu(DeviceKind::DefaultDevice)),
        // Numbers count the devices in the order they are listed in, of whatever kind each is.
        Some(index) if index < found => Ok(devices.swap_remove(index)),
        _ => Err(DeviceError::Absent { device: name.to_owned(), found }),
    }
}

#[cfg(not(feature = "wgpu"))]
fn wgpu(name: &str, _: Option<usize>) -> Result<Device, DeviceError> {
    Err(DeviceError::NotBuilt { device: name.to_owned(), feature: "wgpu" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_known_by_its_name() {
        assert_eq!(parse("cpu"), Ok(cpu()));
        for name in ["gpu", "cpu:1", "cuda:x", "cuda:-1", "", "vulkan:0"] {
            assert_eq!(parse(name), Err(DeviceError::Unknown(name.to_owned())), "{name}");
        }
    }

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_device_that_was_not_built_names_its_feature() {
        let error = parse("cuda:1").expect_err("not built").to_string();
        assert!(error.contains("`cuda:1`") && error.contains("--features cuda"), "{error}");
    }
}
