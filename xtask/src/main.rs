//! Developer commands: layer rules, set-up checks.

fn main() {}
