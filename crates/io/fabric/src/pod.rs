//! Keys and values as aya wants them.

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A value that aya may copy to and from the kernel as bytes.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Raw<T>(pub(crate) T);

#[expect(unsafe_code, reason = "aya's marker for plain data is an unsafe trait")]
// SAFETY: aya::Pod asks that the type may be read and written as bytes. `IntoBytes` proves that T
// has no padding and no uninitialised bytes, `FromBytes` that every pattern of bytes is a T,
// `Immutable` that nothing changes behind a shared reference; Raw is transparent over T.
unsafe impl<T: FromBytes + IntoBytes + Immutable + Copy + 'static> aya::Pod for Raw<T> {}
