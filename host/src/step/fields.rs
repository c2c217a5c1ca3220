//! Reading a manifest field by field: every violation is noted with its place, and reading goes on.

use serde_json::{Map, Value};

/// A rule that a manifest breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: expected {expected}")]
pub struct Violation {
    /// JSON Pointer (RFC 6901).
    pub pointer: String,
    pub expected: String,
}

impl Violation {
    pub(super) fn new(pointer: impl Into<String>, expected: impl Into<String>) -> Violation {
        Violation {
            pointer: pointer.into(),
            expected: expected.into(),
        }
    }
}

/// One object of a manifest. Null counts as absent.
pub(super) struct Fields<'a> {
    object: &'a Map<String, Value>,
    pointer: String,
    violations: Violations<'a>,
}

/// Those of an inner object go to its outermost one.
enum Violations<'a> {
    Own(Vec<Violation>),
    Outer(&'a mut Vec<Violation>),
}

impl<'a> Fields<'a> {
    pub(super) fn root(object: &'a Map<String, Value>) -> Fields<'a> {
        Fields {
            object,
            pointer: String::new(),
            violations: Violations::Own(Vec::new()),
        }
    }

    /// An object that [`Fields::object`] gave, or an item of a list.
    pub(super) fn inner<'b>(&'b mut self, name: &str, object: &'b Map<String, Value>) -> Fields<'b> {
        Fields {
            object,
            pointer: self.at(name),
            violations: Violations::Outer(self.violations.list()),
        }
    }

    pub(super) fn finish(self) -> Result<(), Vec<Violation>> {
        match self.violations {
            Violations::Own(violations) if !violations.is_empty() => Err(violations),
            Violations::Own(_) | Violations::Outer(_) => Ok(()),
        }
    }

    pub(super) fn violation(&mut self, name: &str, expected: &str) {
        let violation = Violation::new(self.at(name), expected);
        let list = self.violations.list();
        if !list.contains(&violation) {
            list.push(violation);
        }
    }

    pub(super) fn text(&mut self, name: &str, expected: &str, fits: impl Fn(&str) -> bool) -> Option<String> {
        match self.value(name)? {
            Value::String(text) if fits(text) => Some(text.clone()),
            _ => {
                self.violation(name, &format!("a string: {expected}"));
                None
            }
        }
    }

    pub(super) fn required_text(
        &mut self,
        name: &str,
        expected: &str,
        fits: impl Fn(&str) -> bool,
    ) -> Option<String> {
        if self.value(name).is_none() {
            self.violation(name, &format!("a string: {expected}"));
        }
        self.text(name, expected, fits)
    }

    pub(super) fn texts(
        &mut self,
        name: &str,
        most: usize,
        expected: &str,
        fits: impl Fn(&str) -> bool,
    ) -> Vec<String> {
        let mut texts = Vec::new();
        for (index, item) in self.list(name, most).iter().enumerate() {
            match item {
                Value::String(text) if fits(text) => texts.push(text.clone()),
                _ => self.violation(&format!("{name}/{index}"), &format!("a string: {expected}")),
            }
        }
        texts
    }

    /// At least one.
    pub(super) fn required_texts(
        &mut self,
        name: &str,
        most: usize,
        expected: &str,
        fits: impl Fn(&str) -> bool,
    ) -> Vec<String> {
        match self.value(name) {
            None => self.violation(name, "a list with at least one item"),
            Some(Value::Array(items)) if items.is_empty() => {
                self.violation(name, "a list with at least one item");
            }
            Some(_) => {}
        }
        self.texts(name, most, expected, fits)
    }

    pub(super) fn objects<T>(
        &mut self,
        name: &str,
        most: usize,
        read: impl Fn(&mut Fields<'_>) -> T,
    ) -> Vec<T> {
        let mut read_items = Vec::new();
        for (index, item) in self.list(name, most).iter().enumerate() {
            let place = format!("{name}/{index}");
            match item {
                Value::Object(object) => read_items.push(read(&mut self.inner(&place, object))),
                _ => self.violation(&place, "an object"),
            }
        }
        read_items
    }

    pub(super) fn object(&mut self, name: &str) -> Option<&'a Map<String, Value>> {
        match self.value(name)? {
            Value::Object(object) => Some(object),
            _ => {
                self.violation(name, "an object");
                None
            }
        }
    }

    pub(super) fn flag(&mut self, name: &str) -> Option<bool> {
        match self.value(name)? {
            Value::Bool(flag) => Some(*flag),
            _ => {
                self.violation(name, "true or false");
                None
            }
        }
    }

    pub(super) fn number(&mut self, name: &str, (least, most): (u64, u64)) -> Option<u64> {
        match self.value(name)?.as_u64() {
            Some(number) if (least..=most).contains(&number) => Some(number),
            _ => {
                self.violation(name, &format!("a whole number from {least} to {most}"));
                None
            }
        }
    }

    /// Leaves the default where there is nothing valid.
    pub(super) fn set(&mut self, name: &str, bounds: (u64, u64), target: &mut u64) {
        if let Some(number) = self.number(name, bounds) {
            *target = number;
        }
    }

    fn list(&mut self, name: &str, most: usize) -> &'a [Value] {
        match self.value(name) {
            None => &[],
            Some(Value::Array(items)) if items.len() <= most => items,
            Some(_) => {
                self.violation(name, &format!("a list of at most {most} items"));
                &[]
            }
        }
    }

    fn value(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    fn at(&self, name: &str) -> String {
        format!("{}/{name}", self.pointer)
    }
}

impl Violations<'_> {
    fn list(&mut self) -> &mut Vec<Violation> {
        match self {
            Violations::Own(list) => list,
            Violations::Outer(list) => list,
        }
    }
}
