//! The images that pods of the cluster run, packed here: no registry is asked.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};
use underlay_testkit::{ImageSpec, PauseImage, pack_image};

use super::programs::Programs;

/// CoreDNS.
pub(super) const COREDNS: &str = "localhost/coredns:1";
/// agnhost, upstream's program for tests of networking, with a shell and the usual clients.
pub(super) const AGNHOST: &str = "localhost/agnhost:1";

/// What upstream's image of agnhost has besides it, by path on this machine and name in the image.
const CLIENTS: [(&str, &str); 5] = [
    ("/usr/bin/curl", "curl"),
    ("/usr/bin/dash", "sh"),
    ("/usr/bin/dig", "dig"),
    ("/usr/bin/getent", "getent"),
    ("/bin/nc.openbsd", "nc"),
];

/// Packs all images into `folder` and returns the archives.
///
/// # Errors
/// When a program is missing or a file cannot be written.
pub(super) fn build(programs: &Programs, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let upstream = upstream_names(programs)?;
    let named = |part: &str| {
        let names = upstream.iter().filter(|name| name.contains(part));
        names.cloned().collect::<Vec<_>>()
    };
    let pause = PauseImage::build(folder)?.program;
    let pause_names = [vec![PauseImage::NAME.to_owned()], named("/pause:")].concat();
    let agnhost = [named("/agnhost:"), named("/glibc-dns-testing:")].concat();
    let agnhost = [vec![AGNHOST.to_owned()], agnhost].concat();
    let tree = |name: &str| Tree::create(&folder.join(name));

    let small = tree("pause-image")?;
    small.copy(&pause, "pause")?;
    let dns = tree("coredns-image")?;
    dns.copy(&programs.path("coredns"), "coredns")?;
    let test = tree("agnhost-image")?;
    fill_agnhost(&test, programs)?;
    Ok(vec![
        small.pack(&pause_names, "/pause", &[])?,
        dns.pack(&[COREDNS.to_owned()], "/coredns", &[])?,
        // Some specs start it without arguments.
        test.pack(&agnhost, "/agnhost", &["pause"])?,
    ])
}

/// The names by which upstream's specs call their images.
fn upstream_names(programs: &Programs) -> anyhow::Result<Vec<String>> {
    let mut list = Command::new(programs.path("e2e.test"));
    let output = list.arg("--list-images").output();
    let output = output.with_context(|| format!("starting {list:?}"))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("{list:?} ended with {}: {errors}", output.status);
    }
    let text = String::from_utf8(output.stdout).context("reading the names of images")?;
    // Those of private registries are there to be refused.
    let names = text.lines().filter(|name| !name.contains("authenticated"));
    Ok(names.map(str::to_owned).collect())
}

fn fill_agnhost(tree: &Tree, programs: &Programs) -> anyhow::Result<()> {
    tree.write("etc/passwd", "root:x:0:0:root:/:/bin/sh\n")?;
    tree.write("etc/group", "root:x:0:\n")?;
    tree.copy(&programs.path("agnhost"), "agnhost")?;
    // agnhost's porter serves TLS with these.
    for name in ["localhost.crt", "localhost.key"] {
        tree.copy(&programs.path(name), name)?;
    }
    tree.copy(Path::new("/bin/busybox"), "bin/busybox")?;
    let applets = Command::new("/bin/busybox").arg("--list").output();
    let applets = applets.context("asking busybox for its applets")?;
    let own = |name: &str| name == "busybox" || CLIENTS.iter().any(|(_, client)| *client == name);
    for applet in String::from_utf8_lossy(&applets.stdout).lines() {
        if !own(applet) {
            tree.link("busybox", &format!("bin/{applet}"))?;
        }
    }
    for (path, name) in CLIENTS {
        tree.copy(Path::new(path), &format!("bin/{name}"))?;
        for library in libraries(path)? {
            tree.copy(Path::new(&library), library.trim_start_matches('/'))?;
        }
    }
    Ok(())
}

/// The files that the dynamic loader maps for `program`, itself included.
fn libraries(program: &str) -> anyhow::Result<Vec<String>> {
    let output = Command::new("ldd").arg(program).output();
    let output = output.with_context(|| format!("starting ldd {program}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let words = text.split_whitespace();
    let paths = words.filter(|word| word.starts_with('/'));
    Ok(paths.map(str::to_owned).collect())
}

/// The root of an image to be.
struct Tree {
    root: PathBuf,
}

impl Tree {
    fn create(root: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(root).with_context(|| format!("creating {}", root.display()))?;
        Ok(Self {
            root: root.to_owned(),
        })
    }

    fn place(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.root.join(name);
        let folder = path.parent().context("a file has a folder")?;
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        Ok(path)
    }

    fn copy(&self, from: &Path, name: &str) -> anyhow::Result<()> {
        let to = self.place(name)?;
        let copied = fs::copy(from, &to);
        copied.with_context(|| format!("copying {} to {}", from.display(), to.display()))?;
        Ok(())
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.place(name)?;
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    }

    fn link(&self, target: &str, name: &str) -> anyhow::Result<()> {
        let path = self.place(name)?;
        symlink(target, &path).with_context(|| format!("linking {}", path.display()))
    }

    fn pack(self, names: &[String], program: &str, words: &[&str]) -> anyhow::Result<PathBuf> {
        let archive = self.root.with_extension("tar");
        let spec = ImageSpec {
            names,
            entrypoint: program,
            arguments: words,
        };
        pack_image(&self.root, &spec, &archive)?;
        fs::remove_dir_all(&self.root).context("removing an image's tree")?;
        Ok(archive)
    }
}
