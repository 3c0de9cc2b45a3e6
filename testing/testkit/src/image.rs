//! The pause image: built here from `testing/images/pause.c`, so that no registry is needed.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::process::output;

const SOURCE: &str = include_str!("../../images/pause.c");

/// A static `pause` program and a docker-archive with it.
#[derive(Debug, Clone)]
pub struct PauseImage {
    /// The program.
    pub program: PathBuf,
    /// The archive.
    pub archive: PathBuf,
}

impl PauseImage {
    /// The image's name in the archive.
    pub const NAME: &str = "localhost/pause:1";

    /// Compiles the program with gcc and packs it, into `folder`.
    ///
    /// # Errors
    /// When gcc is missing or fails, or a file cannot be written.
    pub fn build(folder: &Path) -> anyhow::Result<Self> {
        let source = folder.join("pause.c");
        let program = folder.join("pause");
        let archive = folder.join("pause.tar");
        fs::write(&source, SOURCE).with_context(|| format!("writing {}", source.display()))?;
        let mut gcc = Command::new("gcc");
        gcc.args(["-Os", "-static", "-s", "-Wall", "-Werror", "-o"]);
        output(gcc.arg(&program).arg(&source)).context("compiling pause.c")?;
        let content = fs::read(&program).context("reading the compiled pause")?;
        let file =
            File::create(&archive).with_context(|| format!("creating {}", archive.display()))?;
        pack(&content, file).context("packing the pause image")?;
        Ok(Self { program, archive })
    }
}

/// Writes a docker-archive: one layer with `/pause`, its configuration, and the manifest that
/// names both.
fn pack(program: &[u8], file: File) -> std::io::Result<()> {
    let mut layer = tar::Builder::new(Vec::new());
    for folder in ["dev/", "etc/", "proc/", "sys/", "tmp/"] {
        let mut header = header(0, 0o755);
        header.set_entry_type(tar::EntryType::Directory);
        layer.append_data(&mut header, folder, std::io::empty())?;
    }
    append(&mut layer, "pause", 0o755, program)?;
    let layer = layer.into_inner()?;
    let layer_id = sha256(&layer);
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": ["/pause"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer_id}")]},
        "history": [{"created": "1970-01-01T00:00:00Z"}],
    })
    .to_string();
    let config_name = format!("{}.json", sha256(config.as_bytes()));
    let layer_name = format!("{layer_id}/layer.tar");
    let manifest = json!([{
        "Config": config_name,
        "RepoTags": [PauseImage::NAME],
        "Layers": [layer_name],
    }])
    .to_string();
    let mut archive = tar::Builder::new(file);
    append(&mut archive, &config_name, 0o644, config.as_bytes())?;
    append(&mut archive, &layer_name, 0o644, &layer)?;
    append(&mut archive, "manifest.json", 0o644, manifest.as_bytes())?;
    archive.finish()
}

fn append<W: std::io::Write>(
    archive: &mut tar::Builder<W>,
    name: &str,
    mode: u32,
    content: &[u8],
) -> std::io::Result<()> {
    let size = u64::try_from(content.len()).map_err(std::io::Error::other)?;
    archive.append_data(&mut header(size, mode), name, content)
}

/// A root-owned entry without a time, so that the same program gives the same image.
fn header(size: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn sha256(data: &[u8]) -> String {
    Sha256::digest(data)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
