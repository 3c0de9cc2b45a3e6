//! The three system calls that have no safe wrapper in `rustix`.
#![expect(unsafe_code, reason = "raw getsockopt, setsockopt and ioctl")]

use std::{
    ffi::c_int,
    os::fd::{AsRawFd, BorrowedFd},
};

use rustix::io::Errno;

/// `NS_GET_NSTYPE`, `_IO(0xb7, 0x3)` (linux/nsfs.h).
const NS_GET_NSTYPE: libc::c_ulong = 0xb703;

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// Sets an integer option of a socket.
pub(crate) fn set_option(
    fd: BorrowedFd<'_>,
    level: c_int,
    name: c_int,
    value: c_int,
) -> Result<(), Errno> {
    // SAFETY: `fd` is open for the call; the pointer and length describe `value`, which lives
    // until the call returns and is only read.
    let status = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(&value).cast(),
            4,
        )
    };
    if status == 0 {
        Ok(())
    } else {
        Err(last_errno())
    }
}

/// Reads a 64-bit option of a socket.
pub(crate) fn option_u64(fd: BorrowedFd<'_>, level: c_int, name: c_int) -> Result<u64, Errno> {
    let mut value = 0_u64;
    let mut length: libc::socklen_t = 8;
    // SAFETY: `fd` is open for the call; `value` has the 8 bytes that `length` promises, any bit
    // pattern of which is a valid u64; both live until the call returns.
    let status = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            level,
            name,
            std::ptr::from_mut(&mut value).cast(),
            &raw mut length,
        )
    };
    if status == 0 {
        Ok(value)
    } else {
        Err(last_errno())
    }
}

/// The `CLONE_NEW*` constant of the namespace that `fd` refers to.
pub(crate) fn namespace_type(fd: BorrowedFd<'_>) -> Result<c_int, Errno> {
    // SAFETY: `fd` is open for the call and NS_GET_NSTYPE takes no argument; on a file that is no
    // namespace the kernel answers ENOTTY.
    let kind = unsafe { libc::ioctl(fd.as_raw_fd(), NS_GET_NSTYPE) };
    if kind >= 0 {
        Ok(kind)
    } else {
        Err(last_errno())
    }
}

/// Gives the calling thread a new network namespace.
pub(crate) fn unshare_network() -> Result<(), Errno> {
    // SAFETY: only CLONE_NEWNET is passed, which leaves the thread's descriptor table and memory
    // shared as they were.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }
}
