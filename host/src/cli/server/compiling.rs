//! How components are compiled, and where compiled code is kept.

use clap::Args;

use crate::{
    cli::data_folder::DataFolder,
    step::{
        CacheKey, CacheOptions, CompilerOptions, RuntimeOptions,
        limits::{CODE_CACHE_BYTES, COMPILE_CPU_S, COMPILE_MEMORY_BYTES, compile_wall_s},
    },
};

const MIB: u64 = 1 << 20;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Compiling steps")]
pub struct Compiling {
    /// CPU time that compiling one component may take; by the clock ten times that, at least a minute
    #[arg(long, env = "ARCADIA_COMPILE_CPU_S", default_value_t = COMPILE_CPU_S, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    compile_cpu_s: u64,
    /// Memory (address space) that compiling one component may take
    #[arg(long, env = "ARCADIA_COMPILE_MEMORY_MIB", default_value_t = COMPILE_MEMORY_BYTES / MIB, value_name = "MIB",
          value_parser = clap::value_parser!(u64).range(256..=1 << 20))]
    compile_memory_mib: u64,
    /// Disk that compiled code may take, in the data folder; 0 keeps none
    #[arg(long, env = "ARCADIA_CODE_CACHE_MIB", default_value_t = CODE_CACHE_BYTES / MIB, value_name = "MIB",
          value_parser = clap::value_parser!(u64).range(0..=1 << 20))]
    code_cache_mib: u64,
}

impl Default for Compiling {
    fn default() -> Self {
        Compiling {
            compile_cpu_s: COMPILE_CPU_S,
            compile_memory_mib: COMPILE_MEMORY_BYTES / MIB,
            code_cache_mib: CODE_CACHE_BYTES / MIB,
        }
    }
}

impl Compiling {
    /// Without a cache where it has no key: that costs time at each start, and is said in the log.
    pub fn runtime_options(&self, folder: &DataFolder) -> RuntimeOptions {
        let key = (self.code_cache_mib > 0).then(|| folder.code_key());
        let cache = match key {
            None => None,
            Some(Ok(key)) => Some(CacheOptions {
                folder: folder.code_cache(),
                key: CacheKey::new(key),
                max_bytes: self.code_cache_mib * MIB,
            }),
            Some(Err(error)) => {
                tracing::warn!(
                    folder = %folder.path().display(), %error,
                    "compiled code can't be kept, for want of its key; components are compiled again after each start"
                );
                None
            }
        };
        RuntimeOptions {
            compiler: CompilerOptions {
                max_memory_bytes: self.compile_memory_mib * MIB,
                max_cpu_s: self.compile_cpu_s,
                max_wall_s: compile_wall_s(self.compile_cpu_s),
                ..CompilerOptions::default()
            },
            cache,
            ..RuntimeOptions::default()
        }
    }
}
