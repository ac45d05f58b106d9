//! Log-probabilities of the reference: computed where they are needed, or once and kept by content.
//!
//! The file of a cache holds records, each of them complete in itself, so that an interrupted run loses nothing that it
//! computed: address (32 bytes), number of values (u32), the values (f32), and the first 4 bytes of the BLAKE3 hash of
//! all that; little-endian. A broken record ends the file. Its name is the hash of the reference's weights.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use model::LanguageModel;

use super::{
    devices::{DeviceFailure, Devices},
    example::{Address, address},
    learner::compute,
    pass::{Pass, Read, deal},
};
use crate::data::Tokens;

const MAGIC: &[u8; 8] = b"ENTROREF";

/// Why log-probabilities cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReferenceError {
    #[error("{path}: {error}")]
    Io { path: PathBuf, error: io::Error },
    #[error(transparent)]
    Device(#[from] DeviceFailure),
}

/// The reference.
#[derive(Debug)]
pub(crate) struct Reference {
    /// What is known, by the content of sequences.
    known: HashMap<Address, Vec<f32>>,
    cache: Option<Cache>,
    /// Tokens computed at a time.
    budget: usize,
}

#[derive(Debug)]
struct Cache {
    path: PathBuf,
    file: File,
}

impl Reference {
    /// Keeps nothing on the disk.
    pub(crate) fn in_memory(budget: usize) -> Self {
        Self { known: HashMap::new(), cache: None, budget }
    }

    /// Keeps what it computes in a folder, and knows what is there. `model` is the hash of the reference's weights.
    pub(crate) fn cached(folder: &Path, model: &str, budget: usize) -> Result<Self, ReferenceError> {
        let path = folder.join(format!("{model}.logprobs"));
        let io = |error| ReferenceError::Io { path: path.clone(), error };
        fs::create_dir_all(folder).map_err(io)?;
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(&path).map_err(io)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io)?;
        let (known, whole) = records(&bytes);
        if whole == 0 {
            // Empty, or not a cache of this form: whatever it is, it is of no use.
            file.set_len(0).map_err(io)?;
            file.write_all(MAGIC).map_err(io)?;
        } else if whole < bytes.len() {
            file.set_len(whole as u64).map_err(io)?;
        }
        file.seek(SeekFrom::End(0)).map_err(io)?;
        Ok(Self { known, cache: Some(Cache { path, file }), budget })
    }

    /// Those of these sequences that are not known, each once.
    pub(crate) fn missing<'a>(&self, sequences: &[&'a Tokens]) -> Vec<&'a Tokens> {
        let mut seen = std::collections::HashSet::new();
        let missing = |tokens: &&&Tokens| {
            let address = address(tokens);
            !self.known.contains_key(&address) && seen.insert(address)
        };
        sequences.iter().filter(missing).copied().collect()
    }

    /// Computes what is not known. `models` has the reference on each of the devices. `progress` is told how many of the
    /// missing sequences are done; it says whether to go on. Returns whether all is known.
    pub(crate) fn ensure(
        &mut self,
        devices: &Devices,
        models: &[LanguageModel],
        groups: &[Vec<&Tokens>],
        share: bool,
        mut progress: impl FnMut(usize, usize) -> bool,
    ) -> Result<bool, ReferenceError> {
        let all: Vec<&Tokens> = groups.iter().flatten().copied().collect();
        let missing: std::collections::HashSet<Address> =
            self.missing(&all).into_iter().map(address).collect();
        if missing.is_empty() {
            return Ok(true);
        }
        // Sequences stay with those they share a prompt with; what is asked for twice is computed once.
        let mut taken = std::collections::HashSet::new();
        let groups: Vec<Vec<&Tokens>> = groups
            .iter()
            .map(|group| {
                let wanted = group.iter().copied().filter(|tokens| {
                    let address = address(tokens);
                    missing.contains(&address) && taken.insert(address)
                });
                wanted.collect()
            })
            .filter(|group: &Vec<&Tokens>| !group.is_empty())
            .collect();
        let sizes: Vec<usize> =
            groups.iter().map(|group| group.iter().map(|tokens| tokens.ids.len()).sum()).collect();
        let (total, mut done) = (missing.len(), 0);
        if !progress(0, total) {
            return Ok(false);
        }
        let mut models: Vec<&LanguageModel> = models.iter().collect();
        // As many at a time as there are devices, so that progress is seen and kept.
        for batches in deal(&sizes, self.budget).chunks(devices.count()) {
            let groups: Vec<Vec<Vec<&Tokens>>> = batches
                .iter()
                .map(|batch| batch.iter().map(|&group| groups[group].clone()).collect())
                .collect();
            let costs: Vec<usize> =
                batches.iter().map(|batch| batch.iter().map(|&group| sizes[group]).sum()).collect();
            let computed = devices.share(&mut models, &costs, |model, batch| {
                let groups = &groups[batch];
                let pass = Pass::new(groups, share, Read::Tokens);
                let computed = compute(model, &pass, Read::Tokens, None)?;
                let sequences = 0..groups.iter().map(Vec::len).sum();
                Ok(sequences.map(|sequence| computed.of(&pass, sequence).values).collect::<Vec<_>>())
            })?;
            let sequences = groups.iter().flatten().flatten();
            for (tokens, values) in sequences.zip(computed.into_iter().flatten()) {
                self.add(address(tokens), values)?;
                done += 1;
            }
            if !progress(done, total) {
                return Ok(done == total);
            }
        }
        if let Some(cache) = &self.cache {
            cache.file.sync_data().map_err(|error| ReferenceError::Io { path: cache.path.clone(), error })?;
        }
        Ok(true)
    }

    fn add(&mut self, address: Address, values: Vec<f32>) -> Result<(), ReferenceError> {
        if let Some(cache) = &mut self.cache {
            let io = |error| ReferenceError::Io { path: cache.path.clone(), error };
            // One write: what another process appends does not come in between.
            cache.file.write_all(&record(&address, &values)).map_err(io)?;
        }
        self.known.insert(address, values);
        Ok(())
    }

    /// What is known of a sequence.
    pub(crate) fn of(&self, address: &Address) -> Option<&[f32]> {
        self.known.get(address).map(Vec::as_slice)
    }

    /// Forgets what is not on the disk.
    pub(crate) fn forget(&mut self) {
        if self.cache.is_none() {
            self.known.clear();
        }
    }
}

fn record(address: &Address, values: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(40 + 4 * values.len());
    bytes.extend_from_slice(address);
    bytes.extend_from_slice(&(values.len() as u32).to_le_bytes());
    for value in values {
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    let check = blake3::hash(&bytes);
    bytes.extend_from_slice(&check.as_bytes()[..4]);
    bytes
}

/// The records of a file, and how many bytes of it are whole.
fn records(bytes: &[u8]) -> (HashMap<Address, Vec<f32>>, usize) {
    let mut known = HashMap::new();
    let Some(mut rest) = bytes.strip_prefix(MAGIC) else { return (known, 0) };
    while let Some((head, tail)) = rest.split_at_checked(36) {
        let count = u32::from_le_bytes([head[32], head[33], head[34], head[35]]) as usize;
        let Some((values, tail)) = tail.split_at_checked(count.saturating_mul(4)) else { break };
        let Some((check, tail)) = tail.split_at_checked(4) else { break };
        if blake3::hash(&rest[..36 + values.len()]).as_bytes()[..4] != *check {
            break;
        }
        let mut address = [0; 32];
        address.copy_from_slice(&head[..32]);
        let values = values.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        known.insert(address, values);
        rest = tail;
    }
    (known, bytes.len() - rest.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_file_cut_anywhere_gives_what_was_whole() {
        let (a, b) = (record(&[1; 32], &[1.0, -2.5]), record(&[2; 32], &[]));
        let file = [MAGIC.as_slice(), &a, &b].concat();
        for cut in 0..=file.len() {
            let (known, whole) = records(&file[..cut]);
            let expected = usize::from(cut >= 8 + a.len()) + usize::from(cut >= file.len());
            assert_eq!(known.len(), expected, "{cut}");
            assert!(whole <= cut);
        }
        let mut broken = file.clone();
        broken[20] ^= 1;
        assert!(records(&broken).0.is_empty());
        assert_eq!(records(&file).0[&[1; 32]], [1.0, -2.5]);
    }

    #[test]
    fn what_was_computed_is_there_after_opening_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut reference = Reference::cached(folder.path(), "abc", 10).expect("opens");
        reference.add([7; 32], vec![-1.0]).expect("written");
        drop(reference);
        let path = folder.path().join("abc.logprobs");
        // A write that was interrupted.
        let mut bytes = fs::read(&path).expect("readable");
        bytes.extend_from_slice(&record(&[8; 32], &[1.0])[..10]);
        fs::write(&path, bytes).expect("written");
        let mut reference = Reference::cached(folder.path(), "abc", 10).expect("opens");
        assert_eq!(reference.of(&[7; 32]), Some([-1.0].as_slice()));
        reference.add([9; 32], vec![-3.0]).expect("written");
        let reference = Reference::cached(folder.path(), "abc", 10).expect("opens");
        assert_eq!(reference.of(&[9; 32]), Some([-3.0].as_slice()));
        assert_eq!(reference.of(&[8; 32]), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            records(&[MAGIC.as_slice(), &bytes].concat());
            records(&bytes);
        }
    }
}
