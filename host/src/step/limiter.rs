//! Memory, tables and instances of one call, counted in sum over everything that its component instantiates.

use wasmtime::ResourceLimiter;

use super::limits::{MAX_CORE_INSTANCES, MAX_MEMORIES, MAX_TABLE_ELEMENTS, MAX_TABLES};

/// A growth over the limit fails as the specification says (`memory.grow` gives -1), so that a language's own handling of
/// it works; that it was denied is remembered, to name the limit when the guest then traps.
#[derive(Debug)]
pub(super) struct Limiter {
    memory: Sum,
    tables: Sum,
}

#[derive(Debug)]
struct Sum {
    used: usize,
    max: usize,
    last: usize,
    denied: bool,
}

impl Sum {
    fn of(max: usize) -> Sum {
        Sum {
            used: 0,
            max,
            last: 0,
            denied: false,
        }
    }

    fn grow(&mut self, current: usize, desired: usize) -> bool {
        let more = desired.saturating_sub(current);
        if more > self.max.saturating_sub(self.used) {
            self.denied = true;
            return false;
        }
        self.used += more;
        self.last = more;
        true
    }

    fn failed(&mut self) {
        self.denied = true;
        self.used -= std::mem::take(&mut self.last);
    }
}

impl Limiter {
    pub(super) fn new(memory_bytes: usize) -> Limiter {
        Limiter {
            memory: Sum::of(memory_bytes),
            tables: Sum::of(MAX_TABLE_ELEMENTS),
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.memory.used
    }

    /// The code and the words of a limit that denied a growth.
    pub(super) fn denied(&self) -> Option<(&'static str, String)> {
        if self.memory.denied {
            Some((
                "memory-limit",
                format!(
                    "it may use {} bytes of memory in sum and asked for more",
                    self.memory.max
                ),
            ))
        } else if self.tables.denied {
            Some((
                "table-limit",
                format!(
                    "its tables may have {} elements in sum and it asked for more",
                    self.tables.max
                ),
            ))
        } else {
            None
        }
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.memory.grow(current, desired))
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory.failed();
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.tables.grow(current, desired))
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.tables.failed();
        Ok(())
    }

    fn instances(&self) -> usize {
        MAX_CORE_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_TABLES
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growths_of_several_memories_share_one_sum() {
        let mut limiter = Limiter::new(100);
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(!limiter.memory_growing(0, 41, None).unwrap());
        assert_eq!(limiter.denied().map(|(code, _)| code), Some("memory-limit"));
        assert!(limiter.memory_growing(0, 40, None).unwrap());
        assert!(!limiter.memory_growing(60, 61, None).unwrap());
    }

    #[test]
    fn a_growth_that_failed_gives_its_share_back() {
        let mut limiter = Limiter::new(100);
        assert!(limiter.memory_growing(0, 90, None).unwrap());
        limiter.memory_grow_failed(wasmtime::Error::msg("no")).unwrap();
        assert!(limiter.memory_growing(0, 100, None).unwrap());
    }
}
