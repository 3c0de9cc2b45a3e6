//! Compiles the fabric's eBPF programs with clang.

#[path = "../../../bpf/compile.rs"]
mod compile;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    compile::compile("fabric")
}
