//! What a host starts its own binary again for: compiling one component, apart. Not for people, so it stands in no help.

use std::process::ExitCode;

use clap::Args;

use crate::step::compiler::{ChildLimits, compile_component};

/// A component on standard input, its compiled code on standard output
#[derive(Debug, Args)]
pub struct CompileComponent {
    /// Address space, in bytes
    max_memory_bytes: u64,
    /// CPU time, in seconds
    max_cpu_s: u64,
    /// How far it stands back behind other processes
    #[arg(value_parser = clap::value_parser!(i32).range(0..=19))]
    niceness: i32,
}

impl CompileComponent {
    pub fn run(&self) -> ExitCode {
        compile_component(ChildLimits {
            max_memory_bytes: self.max_memory_bytes,
            max_cpu_s: self.max_cpu_s,
            niceness: self.niceness,
        })
    }
}
