//! Network namespaces.
//!
//! A thread that changes its namespace is a thread of our own: [`run_in`] starts one for the call.
//! A thread that a runtime owns must never be moved.

use std::{
    fs::{File, OpenOptions},
    marker::PhantomData,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    thread,
};

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    mount::{MountPropagationFlags, UnmountFlags},
    thread::LinkNameSpaceType,
};

use crate::{KernelError, Socket, sys};

/// Where namespaces with names are kept by convention.
pub const DIRECTORY: &str = "/run/netns";

/// Opens the namespace that `path` refers to.
///
/// # Errors
/// `ENOENT` if there is no such file, `EINVAL` if it is no network namespace.
pub fn open(path: &Path) -> Result<OwnedFd, KernelError> {
    let object = path.display();
    let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(KernelError::on("open network namespace", &object))?;
    if is_netns(fd.as_fd()) {
        Ok(fd)
    } else {
        Err(KernelError {
            message: "the file is not a network namespace".to_owned(),
            ..KernelError::new("open network namespace", object.to_string(), Errno::INVAL)
        })
    }
}

/// Opens the namespace called `name` under [`DIRECTORY`].
///
/// # Errors
/// As [`open`].
pub fn open_named(name: &str) -> Result<OwnedFd, KernelError> {
    open(&Path::new(DIRECTORY).join(name))
}

/// The calling thread's namespace.
///
/// # Errors
/// When the process has no descriptors left or /proc is not mounted.
pub fn current() -> Result<OwnedFd, KernelError> {
    open(Path::new("/proc/thread-self/ns/net"))
}

/// Whether `fd` refers to a network namespace.
#[must_use]
pub fn is_netns(fd: BorrowedFd<'_>) -> bool {
    sys::namespace_type(fd) == Ok(libc::CLONE_NEWNET)
}

/// Whether both descriptors refer to the same namespace.
#[must_use]
pub fn is_same(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> bool {
    match (rustix::fs::fstat(one), rustix::fs::fstat(other)) {
        (Ok(one), Ok(other)) => (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino),
        _ => false,
    }
}

/// The namespace's cookie: unique until the machine restarts, never reused.
///
/// # Errors
/// When the namespace cannot be entered.
pub fn cookie(netns: BorrowedFd<'_>) -> Result<u64, KernelError> {
    Socket::open_in(netns)?.netns_cookie()
}

/// A new namespace that lives as long as something refers to it.
///
/// # Errors
/// Without CAP_SYS_ADMIN, or when a limit of the machine is reached.
pub fn create() -> Result<OwnedFd, KernelError> {
    on_own_thread(|| {
        sys::unshare_network().map_err(KernelError::on("create", "network namespace"))?;
        current()
    })
}

/// A new namespace called `name` under [`DIRECTORY`], which lives until [`remove_named`].
///
/// # Errors
/// `EEXIST` if the name is taken; as [`create`] otherwise. Nothing is left behind.
pub fn create_named(name: &str) -> Result<OwnedFd, KernelError> {
    let netns = create()?;
    bind(netns.as_fd(), name)?;
    Ok(netns)
}

/// Gives a namespace a name under [`DIRECTORY`] by mounting it there.
///
/// # Errors
/// `EEXIST` if the name is taken. Nothing is left behind.
pub fn bind(netns: BorrowedFd<'_>, name: &str) -> Result<(), KernelError> {
    let path = path_of(name)?;
    let object = path.display().to_string();
    prepare_directory()?;
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)
        .map_err(|error| KernelError::from_io("create", &object, &error))?;
    // A bind mount follows /proc/self/fd to the namespace itself.
    let source = format!(
        "/proc/thread-self/fd/{}",
        std::os::fd::AsRawFd::as_raw_fd(&netns)
    );
    rustix::mount::mount_bind(source, &path).map_err(|errno| {
        let removed = std::fs::remove_file(&path);
        let mut error = KernelError::new("mount network namespace on", object, errno);
        if let Err(left) = removed {
            error.message = format!("the empty file is left behind: {left}");
        }
        error
    })
}

/// Takes a name away; the namespace dies if nothing else refers to it. Succeeds without one.
///
/// # Errors
/// When the mount or the file cannot be removed.
pub fn remove_named(name: &str) -> Result<(), KernelError> {
    let path = path_of(name)?;
    match rustix::mount::unmount(&path, UnmountFlags::DETACH) {
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
        Err(errno) => {
            return Err(KernelError::new(
                "unmount",
                path.display().to_string(),
                errno,
            ));
        }
    }
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(KernelError::from_io(
            "remove",
            path.display().to_string(),
            &error,
        )),
        _ => Ok(()),
    }
}

fn path_of(name: &str) -> Result<PathBuf, KernelError> {
    if name.is_empty() || name.contains('/') || name == "." || name == ".." {
        return Err(KernelError::new(
            "name network namespace",
            name,
            Errno::INVAL,
        ));
    }
    Ok(Path::new(DIRECTORY).join(name))
}

/// Makes [`DIRECTORY`] a shared mount of its own, as `ip netns` does, so that a name made or
/// removed later is so in every mount namespace that was cloned from this one.
fn prepare_directory() -> Result<(), KernelError> {
    std::fs::create_dir_all(DIRECTORY)
        .map_err(|error| KernelError::from_io("create", DIRECTORY, &error))?;
    let flags = MountPropagationFlags::SHARED | MountPropagationFlags::REC;
    let lock = File::open(DIRECTORY).map_err(|e| KernelError::from_io("open", DIRECTORY, &e))?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)
        .map_err(KernelError::on("lock", DIRECTORY))?;
    match rustix::mount::mount_change(DIRECTORY, flags) {
        Err(Errno::INVAL) => rustix::mount::mount_bind_recursive(DIRECTORY, DIRECTORY)
            .and_then(|()| rustix::mount::mount_change(DIRECTORY, flags)),
        other => other,
    }
    .map_err(KernelError::on("share mount", DIRECTORY))
}

/// Runs `work` in `netns` on a thread of its own and waits for it. A panic of `work` goes on in
/// the caller.
///
/// # Errors
/// When the thread cannot be started or the namespace not entered.
pub fn run_in<T: Send>(
    netns: BorrowedFd<'_>,
    work: impl FnOnce() -> T + Send,
) -> Result<T, KernelError> {
    on_own_thread(|| {
        enter(netns)?;
        Ok(work())
    })
}

fn on_own_thread<T: Send>(
    work: impl FnOnce() -> Result<T, KernelError> + Send,
) -> Result<T, KernelError> {
    thread::scope(|scope| {
        let handle = thread::Builder::new()
            .name("netns".to_owned())
            .spawn_scoped(scope, work)
            .map_err(|error| KernelError::from_io("start", "namespace thread", &error))?;
        match handle.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Moves the calling thread into `netns` for good. Only for threads of our own.
///
/// # Errors
/// `EINVAL` if it is no network namespace, `EPERM` without CAP_SYS_ADMIN.
pub fn enter(netns: BorrowedFd<'_>) -> Result<(), KernelError> {
    rustix::thread::move_into_link_name_space(netns, Some(LinkNameSpaceType::Network))
        .map_err(KernelError::on("enter", "network namespace"))
}

/// The calling thread in another namespace, until dropped. For threads of our own that come and
/// go between namespaces; others use [`run_in`].
#[derive(Debug)]
pub struct Visit<'a> {
    home: BorrowedFd<'a>,
    /// The guard restores the thread that made it, so it must not leave it.
    not_send: PhantomData<*const ()>,
}

impl<'a> Visit<'a> {
    /// Moves the calling thread into `netns`; dropping the guard moves it to `home`.
    ///
    /// # Errors
    /// As [`enter`]; the thread stays where it is.
    pub fn enter(netns: BorrowedFd<'_>, home: BorrowedFd<'a>) -> Result<Self, KernelError> {
        enter(netns)?;
        Ok(Self {
            home,
            not_send: PhantomData,
        })
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        // A thread that cannot return must not go on: its next work would hit the wrong namespace.
        enter(self.home).expect("a namespace that we hold open and came from can be entered");
    }
}

impl Socket {
    /// Opens a socket in `netns`, for use from anywhere.
    ///
    /// # Errors
    /// As [`run_in`] and [`Socket::open`].
    pub fn open_in(netns: BorrowedFd<'_>) -> Result<Self, KernelError> {
        run_in(netns, Self::open)?
    }
}
