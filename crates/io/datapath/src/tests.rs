//! The programs against a plain reading of what they must do, and between two namespaces.

mod devices;
mod frames;
