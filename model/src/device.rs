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
    /// A list of devices that do not belong together.
    #[error("`{one}` and `{other}` are of different kinds; the devices of a list are of one kind")]
    Mixed {
        /// One of them.
        one: String,
        /// Another one.
        other: String,
    },
    /// A list that might name one GPU twice.
    #[error(
        "`{0}` is named twice, or without its number; name each GPU of a list once, such as cuda:0,cuda:1"
    )]
    Twice(String),
    /// A list that is longer than any machine's.
    #[error("{0} devices are named; at most {MOST} are taken")]
    Many(usize),
}

/// The most devices of a list.
const MOST: usize = 64;

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
    match kind(name)? {
        ("cpu", _) => Ok(cpu()),
        ("cuda", index) => cuda(name, index.unwrap_or(0)),
        (_, index) => wgpu(name, index),
    }
}

/// Devices by their names: one as for [`parse`]; several of one kind with commas between them, such as `cuda:0,cuda:1`;
/// or all that there are, `cuda:all` or `wgpu:all`. Each comes with its name, in their order; never none.
///
/// `cpu,cpu` is the processor twice, for trying out what several devices do. A GPU is not taken twice.
pub fn parse_all(names: &str) -> Result<Vec<(String, Device)>, DeviceError> {
    check(names)?;
    if let Some(kind) = names.trim().strip_suffix(":all") {
        // The first says why there is none.
        let mut devices = vec![(format!("{kind}:0"), parse(&format!("{kind}:0"))?)];
        for name in (1..MOST).map(|index| format!("{kind}:{index}")) {
            match parse(&name) {
                Ok(device) => devices.push((name, device)),
                Err(_) => break,
            }
        }
        return Ok(devices);
    }
    names.split(',').map(str::trim).map(|name| Ok((name.to_owned(), parse(name)?))).collect()
}

/// What is wrong with a list of names, whatever devices there are. Of a single name only whether there is one.
pub fn check(names: &str) -> Result<(), DeviceError> {
    let all: Vec<&str> = names.split(',').map(str::trim).collect();
    if let [name] = all[..] {
        return match name.strip_suffix(":all") {
            None if !name.is_empty() => Ok(()),
            Some("cuda" | "wgpu") => Ok(()),
            _ => Err(DeviceError::Unknown(name.to_owned())),
        };
    }
    if all.len() > MOST {
        return Err(DeviceError::Many(all.len()));
    }
    let kinds = all.iter().map(|name| kind(name)).collect::<Result<Vec<_>, _>>()?;
    if let Some(at) = kinds.iter().position(|(kind, _)| *kind != kinds[0].0) {
        return Err(DeviceError::Mixed { one: all[0].to_owned(), other: all[at].to_owned() });
    }
    let twice = |at: usize| {
        let (kind, index) = kinds[at];
        // Which of its devices `wgpu` means is not known here.
        kind != "cpu" && (index.is_none() || kinds[..at].contains(&kinds[at]))
    };
    match (0..all.len()).find(|&at| twice(at)) {
        Some(at) => Err(DeviceError::Twice(all[at].to_owned())),
        None => Ok(()),
    }
}

/// Kind and number of a device by its name.
fn kind(name: &str) -> Result<(&str, Option<usize>), DeviceError> {
    let unknown = || DeviceError::Unknown(name.to_owned());
    let (kind, index) = match name.split_once(':') {
        None => (name, None),
        Some((kind, index)) => (kind, Some(index.parse().map_err(|_| unknown())?)),
    };
    match (kind, index) {
        ("cpu" | "vulkan", None) | ("wgpu", _) => Ok((kind, index)),
        ("cuda", index) => Ok((kind, Some(index.unwrap_or(0)))),
        _ => Err(unknown()),
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
    fn a_list_names_devices_of_one_kind() {
        let names = |list: &str| -> Vec<String> {
            parse_all(list).expect("there").into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(names("cpu"), ["cpu"]);
        assert_eq!(names("cpu, cpu,cpu"), ["cpu", "cpu", "cpu"]);
        for list in ["cuda:all", "wgpu:all", "cuda:0,cuda:1", "cuda,cuda:3", "wgpu:1,wgpu:0", "anything"] {
            assert_eq!(check(list), Ok(()), "{list}");
        }
        let unknown = |name: &str| DeviceError::Unknown(name.to_owned());
        assert_eq!(check("cuda:0,1"), Err(unknown("1")));
        assert_eq!(check("cpu,"), Err(unknown("")));
        assert_eq!(check("cpu:all"), Err(unknown("cpu:all")));
        assert_eq!(check("cuda:0,cuda:all"), Err(unknown("cuda:all")));
        let mixed = DeviceError::Mixed { one: "cuda:0".to_owned(), other: "cpu".to_owned() };
        assert_eq!(check("cuda:0,cuda:1,cpu"), Err(mixed));
        for (list, name) in [("cuda,cuda:0", "cuda:0"), ("wgpu,wgpu:1", "wgpu"), ("vulkan,vulkan", "vulkan")]
        {
            assert_eq!(check(list), Err(DeviceError::Twice(name.to_owned())), "{list}");
        }
        assert_eq!(check(&["cpu"; 65].join(",")), Err(DeviceError::Many(65)));
    }

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_device_that_was_not_built_names_its_feature() {
        let error = parse("cuda:1").expect_err("not built").to_string();
        assert!(error.contains("`cuda:1`") && error.contains("--features cuda"), "{error}");
        for list in ["cuda:0,cuda:1", "cuda:all"] {
            let error = parse_all(list).expect_err("not built").to_string();
            assert!(error.contains("`cuda:0`") && error.contains("--features cuda"), "{error}");
        }
    }
}
