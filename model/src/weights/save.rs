//! Writing a model folder.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use burn::{module::Param, tensor::Tensor};
use serde_json::{Map, Value, json};

use super::{
    Dtype,
    files::{INDEX, shard_path},
    folder::{beside, copy_companions, replace, write_json},
};
use crate::{
    config::Config,
    network::{Network, ParameterVisitor},
};

/// How a model is written.
#[derive(Debug, Clone)]
pub struct SaveOptions {
    /// The type of every tensor; None for the type each was loaded from (single precision for a new model).
    pub dtype: Option<Dtype>,
    /// Weights are split into files of at most this many bytes, unless a single tensor is larger.
    pub shard_bytes: u64,
    /// A model folder whose tokenizer, chat template and generation files are copied.
    pub companions: Option<PathBuf>,
    /// Replaces a folder that is there already.
    pub overwrite: bool,
}

impl Default for SaveOptions {
    fn default() -> Self {
        // The size of shards is `transformers`' own.
        Self { dtype: None, shard_bytes: 50_000_000_000, companions: None, overwrite: false }
    }
}

/// Why a model cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// A file that cannot be written.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Something is there already.
    #[error("{0} exists; choose another folder or ask for it to be replaced")]
    Exists(PathBuf),
    /// A weight that the type cannot hold.
    #[error("a weight of {tensor} is too large for {dtype}; save as bfloat16 or float32")]
    Range {
        /// The tensor.
        tensor: String,
        /// The type.
        dtype: &'static str,
    },
}

/// A tensor to be written.
struct Plan {
    name: String,
    shape: Vec<usize>,
    dtype: Dtype,
}

impl Plan {
    fn bytes(&self) -> u64 {
        (self.shape.iter().product::<usize>() * self.dtype.size()) as u64
    }
}

/// Names, shapes and types.
struct Planner<'a> {
    plans: Vec<Plan>,
    stored: &'a BTreeMap<String, Dtype>,
    dtype: Option<Dtype>,
}

impl ParameterVisitor for Planner<'_> {
    fn parameter<const D: usize>(&mut self, name: &str, value: &Param<Tensor<D>>) {
        let loaded = || self.stored.get(name).or_else(|| self.stored.values().next()).copied();
        let dtype = self.dtype.or_else(loaded).unwrap_or_default();
        self.plans.push(Plan { shape: value.dims().to_vec(), dtype, name: name.to_owned() });
    }
}

/// Writes the tensors, one at a time, into the shards that the plans were dealt to.
struct Writer<'a> {
    shards: std::slice::Iter<'a, Vec<Plan>>,
    /// Of the current shard.
    left: std::slice::Iter<'a, Plan>,
    dir: &'a Path,
    count: usize,
    index: usize,
    file: Option<BufWriter<File>>,
    result: Result<(), SaveError>,
}

impl ParameterVisitor for Writer<'_> {
    fn parameter<const D: usize>(&mut self, _: &str, value: &Param<Tensor<D>>) {
        if self.result.is_ok() {
            self.result = self.write(value);
        }
    }
}

impl Writer<'_> {
    fn write<const D: usize>(&mut self, value: &Param<Tensor<D>>) -> Result<(), SaveError> {
        let plan = if let Some(plan) = self.left.next() {
            plan
        } else {
            self.finish()?;
            let shard = self.shards.next().expect("every parameter is in a shard");
            let path = shard_path(self.dir, self.index, self.count);
            let io = |error| SaveError::Io { path: path.clone(), error };
            let mut file = BufWriter::with_capacity(1 << 20, File::create(&path).map_err(io)?);
            file.write_all(&header(shard)).map_err(io)?;
            self.file = Some(file);
            self.index += 1;
            self.left = shard.iter();
            self.left.next().expect("no shard is empty")
        };
        let path = shard_path(self.dir, self.index - 1, self.count);
        let file = self.file.as_mut().expect("a shard is open");
        let data = value.val().into_data().convert::<f32>();
        let values = data.as_slice::<f32>();
        let values = values.map_err(|error| SaveError::Io {
            path: path.clone(),
            error: io::Error::other(error.to_string()),
        })?;
        for values in values.chunks(1 << 16) {
            let dtype = plan.dtype.config_name();
            let bytes = plan.dtype.encode(values);
            let bytes = bytes.ok_or_else(|| SaveError::Range { tensor: plan.name.clone(), dtype })?;
            file.write_all(&bytes).map_err(|error| SaveError::Io { path: path.clone(), error })?;
        }
        Ok(())
    }

    /// Closes the current shard, on the disk.
    fn finish(&mut self) -> Result<(), SaveError> {
        let Some(mut file) = self.file.take() else { return Ok(()) };
        let done = file.flush().and_then(|()| file.get_ref().sync_all());
        done.map_err(|error| SaveError::Io { path: shard_path(self.dir, self.index - 1, self.count), error })
    }
}

/// The head of a safetensors file: length, JSON, spaces up to a multiple of 64 so that tensors lie well when mapped.
fn header(plans: &[Plan]) -> Vec<u8> {
    let mut map = Map::new();
    map.insert("__metadata__".to_owned(), json!({ "format": "pt" }));
    let mut offset = 0;
    for plan in plans {
        let end = offset + plan.bytes();
        let entry =
            json!({ "dtype": plan.dtype.header_name(), "shape": plan.shape, "data_offsets": [offset, end] });
        map.insert(plan.name.clone(), entry);
        offset = end;
    }
    let mut json = Value::Object(map).to_string().into_bytes();
    json.resize((json.len() + 8).next_multiple_of(64) - 8, b' ');
    let mut head = (json.len() as u64).to_le_bytes().to_vec();
    head.append(&mut json);
    head
}

/// Deals tensors to files in their order.
fn deal(plans: Vec<Plan>, limit: u64) -> Vec<Vec<Plan>> {
    let mut shards: Vec<Vec<Plan>> = Vec::new();
    let mut filled = 0;
    for plan in plans {
        let bytes = plan.bytes();
        match shards.last_mut() {
            Some(shard) if filled + bytes <= limit => shard.push(plan),
            _ => {
                filled = 0;
                shards.push(vec![plan]);
            }
        }
        filled += bytes;
    }
    shards
}

/// Writes `dir`, through a folder beside it that is renamed when all of it is on the disk.
pub(crate) fn save(
    network: &Network,
    config: &Config,
    prefix: &'static str,
    stored: &BTreeMap<String, Dtype>,
    dir: &Path,
    options: &SaveOptions,
) -> Result<(), SaveError> {
    if dir.exists() && !options.overwrite {
        return Err(SaveError::Exists(dir.to_owned()));
    }
    let mut planner = Planner { plans: Vec::new(), stored, dtype: options.dtype };
    network.parameters(prefix, &mut planner);
    let temporary = beside(dir, "new");
    let made =
        fs::create_dir_all(&temporary).map_err(|error| SaveError::Io { path: temporary.clone(), error });
    let written = made.and_then(|()| write_all(network, config, prefix, planner.plans, &temporary, options));
    let moved = written.and_then(|()| replace(&temporary, dir));
    if moved.is_err() {
        // What was wrong is more use than what goes wrong while tidying up.
        let _ = fs::remove_dir_all(&temporary);
    }
    moved
}

fn write_all(
    network: &Network,
    config: &Config,
    prefix: &str,
    plans: Vec<Plan>,
    dir: &Path,
    options: &SaveOptions,
) -> Result<(), SaveError> {
    let mut config = config.clone();
    let first = plans.first().map(|plan| plan.dtype);
    config.set_dtype(options.dtype.or(first).unwrap_or_default().config_name());
    write_json(&dir.join("config.json"), &Value::Object(config.raw().clone()))?;

    let total: u64 = plans.iter().map(Plan::bytes).sum();
    let shards = deal(plans, options.shard_bytes);
    if shards.len() > 1 {
        let places = shards.iter().enumerate().flat_map(|(index, shard)| {
            let path = shard_path(dir, index, shards.len());
            let file = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            shard.iter().map(move |plan| (plan.name.clone(), Value::from(file.as_str())))
        });
        let map: Map<String, Value> = places.collect();
        let index = json!({ "metadata": { "total_size": total }, "weight_map": map });
        write_json(&dir.join(INDEX), &index)?;
    }
    let mut writer = Writer {
        shards: shards.iter(),
        left: [].iter(),
        dir,
        count: shards.len(),
        index: 0,
        file: None,
        result: Ok(()),
    };
    network.parameters(prefix, &mut writer);
    std::mem::replace(&mut writer.result, Ok(()))?;
    writer.finish()?;
    match &options.companions {
        Some(from) => copy_companions(from, dir),
        None => Ok(()),
    }
}
