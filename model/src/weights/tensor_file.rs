//! Safetensors files that are not models: adapters, states of optimisers, records of tests.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use safetensors::{Dtype as Stored, SafeTensors, View};

use super::Dtype;

/// Why such a file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TensorFileError {
    /// The system refuses.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It is not a safetensors file, or holds types that are not read.
    #[error("{path}: {reason}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// Shape and elements.
type Values = (Vec<usize>, Vec<f32>);

/// Tensors by name, in single precision.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct TensorFile {
    tensors: BTreeMap<String, Values>,
}

struct Single<'a>(&'a Values);

impl View for Single<'_> {
    fn dtype(&self) -> Stored {
        Stored::F32
    }

    fn shape(&self) -> &[usize] {
        &self.0.0
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.0.1.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    fn data_len(&self) -> usize {
        self.0.1.len() * 4
    }
}

impl TensorFile {
    /// Adds a tensor; the elements fill the shape.
    pub fn push(&mut self, name: String, shape: Vec<usize>, values: Vec<f32>) {
        debug_assert_eq!(shape.iter().product::<usize>(), values.len(), "{name}");
        self.tensors.insert(name, (shape, values));
    }

    /// The tensors.
    pub fn tensors(&self) -> &BTreeMap<String, Values> {
        &self.tensors
    }

    /// The tensors.
    pub fn into_tensors(self) -> BTreeMap<String, Values> {
        self.tensors
    }

    /// Writes the file, down to the disk.
    /// One entry of metadata, because the order of several would not be the same each time.
    pub fn write(&self, path: &Path, metadata: (&str, String)) -> Result<(), TensorFileError> {
        let io = |error| TensorFileError::Io { path: path.to_owned(), error };
        let metadata = HashMap::from([(metadata.0.to_owned(), metadata.1)]);
        let views = self.tensors.iter().map(|(name, values)| (name.as_str(), Single(values)));
        safetensors::serialize_to_file(views, Some(metadata), path)
            .map_err(|error| io(io::Error::other(error.to_string())))?;
        File::open(path).and_then(|file| file.sync_all()).map_err(io)
    }

    /// Reads a file, with its metadata.
    pub fn read(path: &Path) -> Result<(Self, BTreeMap<String, String>), TensorFileError> {
        let bytes = fs::read(path).map_err(|error| TensorFileError::Io { path: path.to_owned(), error })?;
        let format = |reason: String| TensorFileError::Format { path: path.to_owned(), reason };
        let (_, head) = SafeTensors::read_metadata(&bytes).map_err(|error| format(error.to_string()))?;
        let metadata = head.metadata().clone().unwrap_or_default().into_iter().collect();
        let file = SafeTensors::deserialize(&bytes).map_err(|error| format(error.to_string()))?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.tensors() {
            let dtype = Dtype::of(view.dtype())
                .ok_or_else(|| format(format!("{name} is {:?}, not F32, F16 or BF16", view.dtype())))?;
            tensors.insert(name, (view.shape().to_vec(), dtype.decode(view.data())));
        }
        Ok((Self { tensors }, metadata))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("x.safetensors");
        let mut file = TensorFile::default();
        file.push("b".to_owned(), vec![2, 1], vec![1.5, -2.0]);
        file.push("a".to_owned(), vec![0], vec![]);
        file.write(&path, ("steps", "3".to_owned())).expect("written");
        let (read, metadata) = TensorFile::read(&path).expect("read");
        assert_eq!(read, file);
        assert_eq!(metadata["steps"], "3");
    }

    #[test]
    fn what_is_no_such_file_is_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("x.safetensors");
        let error = TensorFile::read(&path).expect_err("absent").to_string();
        assert!(error.contains("x.safetensors"), "{error}");
        fs::write(&path, b"nonsense").expect("written");
        let error = TensorFile::read(&path).expect_err("no safetensors").to_string();
        assert!(error.contains("x.safetensors"), "{error}");
    }
}
