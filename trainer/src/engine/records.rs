//! Records of a run in its folder: lines of JSON that a resumed run goes on with where its checkpoint was.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use crate::run::{Metrics, RunError};

/// A file of JSON lines, each with its `step`.
#[derive(Debug)]
pub(crate) struct Lines {
    path: PathBuf,
    file: File,
}

impl Lines {
    /// Opens a file, and takes out the lines of steps after this one: they will come again.
    pub(crate) fn open(path: PathBuf, step: u64) -> Result<Self, RunError> {
        let io = |source| RunError::Io { what: path.display().to_string(), source };
        let kept = kept(&path, step).map_err(io)?;
        let temporary = path.with_extension("part");
        fs::write(&temporary, kept).map_err(io)?;
        fs::rename(&temporary, &path).map_err(io)?;
        let file = OpenOptions::new().append(true).open(&path).map_err(io)?;
        Ok(Self { path, file })
    }

    /// Adds a line.
    pub(crate) fn write(&mut self, step: u64, kind: Option<&str>, metrics: &Metrics) -> Result<(), RunError> {
        let mut line = Map::new();
        line.insert("step".to_owned(), step.into());
        if let Some(kind) = kind {
            line.insert("kind".to_owned(), kind.into());
        }
        // JSON has no infinities.
        line.extend(metrics.iter().map(|(name, &value)| (name.clone(), Value::from(value))));
        let text = format!("{}\n", Value::Object(line));
        self.file
            .write_all(text.as_bytes())
            .map_err(|source| RunError::Io { what: self.path.display().to_string(), source })
    }
}

/// The lines up to a step; a last line that was cut off is not one.
fn kept(path: &Path, step: u64) -> io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(kept),
        Err(error) => return Err(error),
    };
    for line in BufReader::new(file).split(b'\n') {
        let line = line?;
        let of = serde_json::from_slice::<Value>(&line).ok().and_then(|value| value["step"].as_u64());
        if of.is_some_and(|of| of <= step) {
            kept.extend_from_slice(&line);
            kept.push(b'\n');
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_again_is_taken_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("metrics.jsonl");
        let mut lines = Lines::open(path.clone(), 0).expect("opens");
        for step in 1..=3 {
            lines.write(step, None, &Metrics::from([("loss".to_owned(), step as f64)])).expect("written");
        }
        fs::write(&path, [fs::read(&path).expect("readable"), b"{\"step\":2,\"lo".to_vec()].concat())
            .expect("cut");
        let mut lines = Lines::open(path.clone(), 2).expect("opens");
        lines.write(3, Some("eval"), &Metrics::new()).expect("written");
        let text = fs::read_to_string(&path).expect("readable");
        let steps: Vec<&str> = text.lines().collect();
        assert_eq!(
            steps,
            [r#"{"step":1,"loss":1.0}"#, r#"{"step":2,"loss":2.0}"#, r#"{"step":3,"kind":"eval"}"#]
        );
    }
}
