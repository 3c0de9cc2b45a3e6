//! Settings under /proc/sys/net of the calling thread's namespace.

use std::path::{Path, PathBuf};

use crate::KernelError;

/// `/proc/sys/net` follows the namespace of the thread that opens the file.
fn path_of(name: &str) -> PathBuf {
    Path::new("/proc/sys/net").join(name)
}

/// Sets `name`, a path below /proc/sys/net such as `ipv4/conf/eth0/rp_filter` (a path, since
/// device names may contain dots).
///
/// # Errors
/// `ENOENT` if there is no such setting, `EINVAL` if the kernel refuses the value.
pub fn write(name: &str, value: &str) -> Result<(), KernelError> {
    std::fs::write(path_of(name), value)
        .map_err(|error| KernelError::from_io("set", format!("net/{name} to {value}"), &error))
}

/// The value of `name`.
///
/// # Errors
/// `ENOENT` if there is no such setting.
pub fn read(name: &str) -> Result<String, KernelError> {
    std::fs::read_to_string(path_of(name))
        .map(|text| text.trim_end().to_owned())
        .map_err(|error| KernelError::from_io("read", format!("net/{name}"), &error))
}
