//! Compiles one of the programs of this folder with clang: shared by the build scripts that need it.

use std::{
    env,
    error::Error,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::Command,
};

/// Compiles `<program>.c` to `<program>.o` in the folder that cargo gives the build script.
pub(crate) fn compile(program: &str) -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("../../../bpf");
    let root = root.canonicalize()?;
    for entry in root.read_dir()? {
        println!("cargo:rerun-if-changed={}", entry?.path().display());
    }
    println!("cargo:rerun-if-changed={}", root.display());
    println!("cargo:rerun-if-env-changed=CLANG");
    let object = PathBuf::from(variable("OUT_DIR")?).join(format!("{program}.o"));
    run_clang(&root.join(format!("{program}.c")), &object)
}

fn variable(name: &str) -> Result<OsString, String> {
    env::var_os(name).ok_or_else(|| format!("cargo did not set {name}"))
}

fn run_clang(source: &Path, object: &Path) -> Result<(), Box<dyn Error>> {
    let clang = env::var_os("CLANG").unwrap_or_else(|| "clang".into());
    let arch = env::var("CARGO_CFG_TARGET_ARCH")?;
    let status = Command::new(&clang)
        .args(["-g", "-O2", "-Wall", "-Wextra", "-Werror"])
        .args(["-target", "bpf", "-mcpu=v3"])
        // Debian keeps <asm/types.h> here; clang's bpf target does not look.
        .arg(format!("-I/usr/include/{arch}-linux-gnu"))
        .arg("-c")
        .arg(source)
        .arg("-o")
        .arg(object)
        .status()
        .map_err(|error| missing_clang(&clang.to_string_lossy(), &error))?;
    if status.success() {
        return Ok(());
    }
    Err(format!(
        "{} did not compile {}: {status}. It needs the headers of the Debian packages \
         linux-libc-dev and libbpf-dev: `make setup` installs them.",
        clang.to_string_lossy(),
        source.display()
    )
    .into())
}

fn missing_clang(clang: &str, error: &io::Error) -> String {
    format!(
        "cannot run {clang}: {error}. The eBPF programs need the Debian package clang: \
         `make setup` or `apt-get install clang libbpf-dev` installs it."
    )
}
