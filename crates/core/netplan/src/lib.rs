//! What the kernel of a node must look like for its pods, and the operations that get it there, as data.
