//! The weight files of a model folder.

use std::{
    collections::BTreeMap,
    fs,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use kernels::mapped::Mapped;
use safetensors::SafeTensors;
use serde::Deserialize;

use super::{Dtype, LoadError};

/// The one file of a model that is not sharded.
pub(super) const SINGLE: &str = "model.safetensors";
/// Names the shards of a model that is.
pub(super) const INDEX: &str = "model.safetensors.index.json";
/// More header than any model has; keeps a damaged file from filling memory.
const LARGEST_INDEX: u64 = 256 << 20;

/// A tensor in a file.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Its type, or the name of one that is not read.
    pub(super) dtype: Result<Dtype, String>,
    pub(super) shape: Vec<usize>,
    pub(super) file: Arc<Mapped>,
    /// Its part of the file.
    pub(super) part: Range<usize>,
}

/// The owner of a mapped file, for [`Bytes`].
#[derive(Debug, Clone)]
struct Owner(Arc<Mapped>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        self.0.as_ref().as_ref()
    }
}

impl Entry {
    /// Its bytes, which keep the file mapped.
    pub(super) fn shared(&self) -> Bytes {
        Bytes::from_owner(Owner(Arc::clone(&self.file))).slice(self.part.clone())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.file.as_ref().as_ref()[self.part.clone()]
    }

    /// Lets go of its pages, after its content was converted.
    pub(super) fn release(&self) {
        self.file.release(self.part.clone());
    }
}

/// The tensors of a model folder, mapped into memory and not yet read.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    pub(super) entries: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Checkpoint {
    /// Maps `model.safetensors`, or the shards that `model.safetensors.index.json` names.
    pub fn open(dir: &Path) -> Result<Self, LoadError> {
        let single = dir.join(SINGLE);
        if single.is_file() {
            return Ok(Self { entries: open_file(&single)? });
        }
        let index = dir.join(INDEX);
        if !index.is_file() {
            return Err(LoadError::NoWeights { path: dir.to_owned(), reason: nothing_found(dir) });
        }
        open_shards(dir, &index)
    }

    /// Names of the tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Shape of a tensor.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.entries.get(name).map(|entry| entry.shape.as_slice())
    }
}

/// Endings of files that hold pickled Python objects.
const PICKLED: [&str; 7] = ["bin", "pt", "pth", "ckpt", "pkl", "pickle", "joblib"];

fn nothing_found(dir: &Path) -> String {
    if dir.join("adapter_model.safetensors").is_file() {
        return "adapter_model.safetensors is an adapter; merge it into its model first (`entropo merge`)"
            .to_owned();
    }
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut pickled: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| {
            let (_, ending) = name.rsplit_once('.').unwrap_or_default();
            PICKLED.iter().any(|pickled| ending.eq_ignore_ascii_case(pickled))
                || name == "pytorch_model.bin.index.json"
        })
        .collect();
    pickled.sort_unstable();
    match pickled.first() {
        Some(name) => format!(
            "{name} is not read, because loading pickled weights runs whatever code is in them; convert the weights to \
             safetensors (save_pretrained does)"
        ),
        None => format!("neither {SINGLE} nor {INDEX} is there"),
    }
}

fn open_shards(dir: &Path, index: &Path) -> Result<Checkpoint, LoadError> {
    let io = |error| LoadError::Io { path: index.to_owned(), error };
    let format = |reason: String| LoadError::Format { path: index.to_owned(), reason };
    if fs::metadata(index).map_err(io)?.len() > LARGEST_INDEX {
        return Err(format(format!("larger than {} MiB", LARGEST_INDEX >> 20)));
    }
    let text = fs::read_to_string(index).map_err(io)?;
    let Index { weight_map } = serde_json::from_str(&text).map_err(|error| format(error.to_string()))?;
    let mut files: Vec<&String> = weight_map.values().collect();
    files.sort_unstable();
    files.dedup();
    let mut entries = BTreeMap::new();
    for file in files {
        // The index comes from outside; it must not lead out of the folder.
        if Path::new(file).file_name().is_none_or(|name| name != file.as_str()) {
            return Err(format(format!("`{file}` is not the name of a file in the folder")));
        }
        let shard = dir.join(file);
        for (name, entry) in open_file(&shard)? {
            match weight_map.get(&name) {
                Some(named) if named == file => entries.insert(name, entry),
                Some(named) => {
                    return Err(format(format!("`{name}` is in {file}, but is said to be in {named}")));
                }
                None => return Err(format(format!("`{name}` in {file} is not listed"))),
            };
        }
    }
    let lost: Vec<_> = weight_map.iter().filter(|(name, _)| !entries.contains_key(*name)).collect();
    if !lost.is_empty() {
        let lost: Vec<_> = lost.iter().map(|(name, file)| format!("{name} ({file})")).collect();
        return Err(format(format!("listed tensors that are not in their files: {}", lost.join(", "))));
    }
    Ok(Checkpoint { entries })
}

fn open_file(path: &Path) -> Result<BTreeMap<String, Entry>, LoadError> {
    let file = Mapped::open(path).map_err(|error| LoadError::Io { path: path.to_owned(), error })?;
    let file = Arc::new(file);
    let parts = parts(file.as_ref().as_ref());
    let parts = parts.map_err(|reason| LoadError::Format { path: path.to_owned(), reason })?;
    let entry =
        |(name, Stored { dtype, shape, part })| (name, Entry { dtype, shape, part, file: Arc::clone(&file) });
    Ok(parts.into_iter().map(entry).collect())
}

/// A tensor in the header of a file.
#[derive(Debug)]
struct Stored {
    dtype: Result<Dtype, String>,
    shape: Vec<usize>,
    part: Range<usize>,
}

/// The tensors of a safetensors file. The header is checked by its reader: offsets within the file, without holes or
/// overlaps, sizes as shapes and types say.
fn parts(file: &[u8]) -> Result<BTreeMap<String, Stored>, String> {
    let (header, metadata) =
        SafeTensors::read_metadata(file).map_err(|error| format!("not a whole safetensors file: {error}"))?;
    let start = 8 + header;
    let tensors = metadata.tensors().into_iter().map(|(name, info)| {
        let (from, to) = info.data_offsets;
        let dtype = Dtype::of(info.dtype).ok_or_else(|| info.dtype.to_string());
        (name, Stored { dtype, shape: info.shape.clone(), part: start + from..start + to })
    });
    Ok(tensors.collect())
}

/// Names and shapes of the tensors in a safetensors file, or what is wrong with it.
pub fn inspect(file: &[u8]) -> Result<BTreeMap<String, Vec<usize>>, String> {
    Ok(parts(file)?.into_iter().map(|(name, part)| (name, part.shape)).collect())
}

/// Where the shard number `index` of `count` is written.
pub(super) fn shard_path(dir: &Path, index: usize, count: usize) -> PathBuf {
    match count {
        1 => dir.join(SINGLE),
        _ => dir.join(format!("model-{:05}-of-{count:05}.safetensors", index + 1)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(header: &str, data: usize) -> Vec<u8> {
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend(header.bytes());
        file.resize(file.len() + data, 0);
        file
    }

    #[test]
    fn a_header_whose_sizes_do_not_add_up_is_refused() {
        let good = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
        assert_eq!(parts(&file(good, 8)).expect("whole")["a"].shape, [2]);
        assert!(parts(&file(good, 9)).is_err());
        assert!(parts(&file(good, 4)).is_err());
        for bad in [
            r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#,
            r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#,
            r#"{"a":{"dtype":"F32","shape":[18446744073709551615,2],"data_offsets":[0,8]}}"#,
            r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}"#,
            r#"{"a":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}}"#,
            "[]",
        ] {
            assert!(parts(&file(bad, 8)).is_err(), "{bad}");
        }
    }

    #[test]
    fn pickled_weights_are_refused_by_name_with_the_way_out() {
        for name in ["pytorch_model.bin", "model.PT", "weights.ckpt", "consolidated.00.pth", "a.pkl"] {
            let folder = tempfile::tempdir().expect("a folder");
            fs::write(folder.path().join("config.json"), "{}").expect("written");
            fs::write(folder.path().join(name), b"\x80\x04.").expect("written");
            let error = Checkpoint::open(folder.path()).expect_err(name).to_string();
            assert!(error.contains(name) && error.contains("convert the weights to safetensors"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            at in 0_usize..60,
            byte in any::<u8>(),
        ) {
            let _ = parts(&bytes);
            let mut whole = file(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 8);
            whole[at] = byte;
            let _ = parts(&whole);
        }
    }
}
