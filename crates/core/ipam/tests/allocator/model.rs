//! The cloud and the node that the properties and scenarios run the allocator in.

pub(crate) mod cloud;
pub(crate) mod node;
pub(crate) mod outside;
