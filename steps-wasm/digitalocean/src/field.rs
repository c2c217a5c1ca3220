//! Fields of an answer, read leniently: a wrong type is as good as absent.

use serde_json::Value;

pub(crate) fn text(object: &Value, name: &str) -> Option<String> {
    object.get(name)?.as_str().map(str::to_owned)
}

/// An id, which some endpoints write as a number and others as a string.
pub(crate) fn id(object: &Value, name: &str) -> Option<i64> {
    let value = object.get(name)?;
    value
        .as_i64()
        .or_else(|| value.as_str()?.parse().ok())
        .filter(|id| *id > 0)
}

pub(crate) fn list<'a>(object: &'a Value, name: &str) -> &'a [Value] {
    object
        .get(name)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The texts of a list; none when the list itself is absent or null, which is not the same as empty.
pub(crate) fn texts(object: &Value, name: &str) -> Option<Vec<String>> {
    let items = object.get(name)?.as_array()?;
    Some(
        items
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
    )
}
