//! The node's address allocator: pure, driven by inputs and time, answers with actions.
