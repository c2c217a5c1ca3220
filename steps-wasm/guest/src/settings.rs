//! A step's parameters, laid over the saga's inputs.

use serde_json::Value;

use crate::Host;

/// Values by name: the step's parameters first, then the saga's inputs.
pub struct Settings {
    params: Value,
    inputs: Value,
}

impl Settings {
    pub fn of(host: &dyn Host) -> Settings {
        Settings {
            params: host.params(),
            inputs: host.inputs(),
        }
    }

    /// The value of this name; a null counts as absent.
    pub fn value(&self, name: &str) -> Option<&Value> {
        let present = |from: &'_ Value| from.get(name).is_some_and(|value| !value.is_null());
        if present(&self.params) {
            self.params.get(name)
        } else {
            self.inputs.get(name).filter(|v| !v.is_null())
        }
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.value(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    }

    /// How long to wait between two looks at something that is on its way. 5 s unless told otherwise.
    pub fn poll_interval_ms(&self) -> u64 {
        self.number("poll_interval_ms", 5_000)
    }

    /// How often to look before giving up. 96 unless told otherwise: with the default interval, 8 minutes.
    pub fn max_polls(&self) -> u64 {
        self.number("max_polls", 96)
    }

    /// How long a listing may lag behind a request whose answer was lost. 60 s unless told otherwise.
    pub fn settle_ms(&self) -> u64 {
        self.number("settle_ms", 60_000)
    }

    /// The wait before an absence that proves nothing yet is looked at again. 10 s unless told otherwise.
    pub fn absence_recheck_ms(&self) -> u64 {
        self.number("absence_recheck_ms", 10_000)
    }

    fn number(&self, name: &str, default: u64) -> u64 {
        self.value(name).and_then(Value::as_u64).unwrap_or(default)
    }
}
