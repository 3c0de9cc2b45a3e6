//! Images made here, so that no registry is needed; the pause image from `testing/images/pause.c`.

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
        let spec = ImageSpec {
            names: &[Self::NAME.to_owned()],
            entrypoint: "/pause",
            arguments: &[],
        };
        let layer = pause_layer(&content).context("packing pause")?;
        pack(&layer, &spec, &archive).context("packing the pause image")?;
        Ok(Self { program, archive })
    }
}

/// What an image is called and what it starts.
#[derive(Debug, Clone, Copy)]
pub struct ImageSpec<'a> {
    /// Its names, with tags.
    pub names: &'a [String],
    /// Its program.
    pub entrypoint: &'a str,
    /// The program's arguments, unless a pod gives its own.
    pub arguments: &'a [&'a str],
}

/// Writes a docker-archive of the tree in `root`, with everything owned by root.
///
/// # Errors
/// When a file cannot be read or written.
pub fn pack_image(root: &Path, spec: &ImageSpec<'_>, archive: &Path) -> anyhow::Result<()> {
    let mut layer = empty_layer().context("packing an image")?;
    layer.mode(tar::HeaderMode::Deterministic);
    layer.follow_symlinks(false);
    let added = layer.append_dir_all(".", root);
    added.with_context(|| format!("packing {}", root.display()))?;
    let layer = layer.into_inner().context("packing an image")?;
    pack(&layer, spec, archive).with_context(|| format!("writing {}", archive.display()))
}

fn pause_layer(program: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut layer = empty_layer()?;
    append(&mut layer, "pause", 0o755, program)?;
    layer.into_inner()
}

/// A layer with the folders that runtimes mount on.
fn empty_layer() -> std::io::Result<tar::Builder<Vec<u8>>> {
    let mut layer = tar::Builder::new(Vec::new());
    let folders = ["dev/", "etc/", "proc/", "sys/"].map(|folder| (folder, 0o755));
    for (folder, mode) in folders.into_iter().chain([("tmp/", 0o1777)]) {
        let mut header = header(0, mode);
        header.set_entry_type(tar::EntryType::Directory);
        layer.append_data(&mut header, folder, std::io::empty())?;
    }
    Ok(layer)
}

/// Writes a docker-archive: the layer, its configuration, and the manifest that names both.
fn pack(layer: &[u8], spec: &ImageSpec<'_>, archive: &Path) -> std::io::Result<()> {
    let layer_id = sha256(layer);
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Entrypoint": [spec.entrypoint],
            "Cmd": spec.arguments,
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        },
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer_id}")]},
        "history": [{"created": "1970-01-01T00:00:00Z"}],
    })
    .to_string();
    let config_name = format!("{}.json", sha256(config.as_bytes()));
    let layer_name = format!("{layer_id}/layer.tar");
    let manifest = json!([{
        "Config": config_name,
        "RepoTags": spec.names,
        "Layers": [layer_name],
    }])
    .to_string();
    let mut archive = tar::Builder::new(File::create(archive)?);
    append(&mut archive, &config_name, 0o644, config.as_bytes())?;
    append(&mut archive, &layer_name, 0o644, layer)?;
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
