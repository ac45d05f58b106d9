//! The disk is full when a checkpoint is to be written: the one before it stays usable, the error says what is wrong, and
//! the run goes on once there is room.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::place::Context;
use crate::postgres::is_root;
use crate::process::{Recipe, bare};
use crate::report::{Bound, Table};
use crate::training::{self, Runs, is_over};

/// Room that is left for lines of text, but not for a checkpoint.
const LEFT: u64 = 48 << 10;

/// A small file system of its own; unmounted when dropped.
#[derive(Debug)]
struct Small(PathBuf);

impl Small {
    fn mount(path: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&path)?;
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"])
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .context("cannot run mount")?;
        ensure!(status.success(), "cannot mount a small file system");
        Ok(Self(path))
    }

    /// Fills it but for a little.
    fn fill(&self) -> Result<()> {
        let path = self.0.join("ballast");
        let mut file = std::fs::File::create(&path)?;
        let block = vec![1_u8; 4096];
        while file.write_all(&block).is_ok() {}
        let size = file.metadata()?.len();
        file.set_len(size.saturating_sub(LEFT))?;
        Ok(())
    }

    fn clear(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.0.join("ballast"))?)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

pub(crate) async fn run(context: &Context, table: &mut Table) -> Result<()> {
    let folder = context.folder.sub("disk")?;
    let small = match Small::mount(folder.join("entropo-data/runs")) {
        Ok(small) if is_root() => small,
        Ok(_) | Err(_) => {
            table.row("disk", "left out", "no leave to mount a small file system", "–", Bound::Shown);
            return Ok(());
        }
    };
    let url = context.url(context.one_database(), &folder)?;
    training::place(&folder)?;
    let (steps, every) = (if context.quick { 100 } else { 300 }, 10);
    let expected = training::undisturbed(context, &folder, steps, every)?;
    let trainer = Recipe::new(&context.program, &folder, "trainer", "trainer", &url, &training::settings())?;
    let trainer = trainer.start().await?;
    let runs = Runs::new(trainer.addr);
    let run = runs.create(None, &training::config(steps, every)).await?;
    training::stepped(&folder, &run, 15).await?;
    small.fill()?;
    let failed = runs.until(&run, |run| !run["error"].is_null() || is_over(run)).await?;
    let error = failed["error"].as_str().unwrap_or_default().to_owned();
    let newest = newest(&small.0.join(&run))?;
    let usable = bare(&context.program)
        .arg("export")
        .arg(&newest)
        .arg(folder.join("exported"))
        .current_dir(&folder)
        .output()?;
    let clear = error.to_ascii_lowercase().contains("no space left") && error.contains("checkpoint");
    table.row(
        "disk",
        "full while a checkpoint is written",
        format!(
            "“{error}”; {} {}",
            newest.file_name().unwrap_or_default().to_string_lossy(),
            if usable.status.success() { "can be exported" } else { "cannot be read" }
        ),
        "names the checkpoint and the full disk; the one before is usable",
        Bound::Must(clear && usable.status.success() && !is_over(&failed)),
    );
    tokio::time::sleep(Duration::from_secs(1)).await;
    small.clear()?;
    let done = runs.until(&run, is_over).await?;
    let weights = small.0.join(&run).join(format!("checkpoint-{steps}/model.safetensors"));
    let same = std::fs::read(weights).is_ok_and(|bytes| bytes == expected);
    table.row(
        "disk",
        "room again",
        format!(
            "{} in {} attempts; the weights are {}",
            done["state"],
            done["attempts"],
            if same { "the same to the last bit" } else { "different" }
        ),
        "done, the bits of a run that nothing disturbed",
        Bound::Must(done["state"] == "done" && same),
    );
    Ok(())
}

/// The checkpoint with the highest number.
fn newest(folder: &Path) -> Result<PathBuf> {
    let mut best: Option<(usize, PathBuf)> = None;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let number =
            path.file_name().and_then(|name| name.to_str()?.strip_prefix("checkpoint-")?.parse().ok());
        if let Some(number) = number
            && best.as_ref().is_none_or(|(highest, _)| number > *highest)
        {
            best = Some((number, path));
        }
    }
    match best {
        Some((_, path)) => Ok(path),
        None => bail!("there is no checkpoint in {}", folder.display()),
    }
}
