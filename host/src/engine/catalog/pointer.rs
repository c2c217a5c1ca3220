//! A position in a request body (JSON Pointer, RFC 6901), and what is wrong there.

use std::fmt;

use crate::engine::Problem;

/// `""` is the whole body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pointer(String);

impl Pointer {
    pub fn root() -> Pointer {
        Pointer::default()
    }

    /// The member or item `key` of what this points at.
    pub fn at(&self, key: impl fmt::Display) -> Pointer {
        let key = key.to_string().replace('~', "~0").replace('/', "~1");
        Pointer(format!("{}/{key}", self.0))
    }

    /// `below`: a pointer that begins at what this points at.
    pub fn join(&self, below: &str) -> Pointer {
        Pointer(format!("{}{below}", self.0))
    }

    pub fn problem(&self, code: &'static str, message: impl Into<String>) -> Problem {
        Problem {
            pointer: self.0.clone(),
            code,
            message: message.into(),
        }
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
