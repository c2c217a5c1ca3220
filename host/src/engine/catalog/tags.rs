//! Tags that only the host puts on resources: nobody may ask for them, since adoption and deletion go by them.

use serde_json::Value;

use super::pointer::Pointer;
use crate::{engine::Problem, saga::id::is_reserved_tag};

/// Reserved tags in whatever stands under a key that ends with `tags`, at any depth of `value`.
pub fn reserved_tags(value: &Value, at: &Pointer, problems: &mut Vec<Problem>) {
    walk(value, at, false, problems);
}

fn walk(value: &Value, at: &Pointer, tags: bool, problems: &mut Vec<Problem>) {
    match value {
        Value::String(tag) if tags && is_reserved_tag(tag) => problems.push(at.problem(
            "reserved-tag",
            format!("the tag {tag:?} begins like the host's own, which nobody else may set"),
        )),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(item, &at.at(index), tags, problems);
            }
        }
        Value::Object(members) => {
            for (key, member) in members {
                let tags = tags || key.to_ascii_lowercase().ends_with("tags");
                walk(member, &at.at(key), tags, problems);
            }
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_reserved_tag_is_found_at_any_depth_and_in_any_case() {
        let mut problems = Vec::new();
        let body = json!({
            "droplet_tags": ["web", "Arcadia-R-abc"],
            "note": "arcadia-r-abc",
            "disks": [{"volumeTags": ["managed-by-arcadia-cloud"]}]
        });
        reserved_tags(&body, &Pointer::root().at("inputs"), &mut problems);
        let mut pointers: Vec<&str> = problems.iter().map(|problem| problem.pointer.as_str()).collect();
        pointers.sort_unstable();
        assert_eq!(
            pointers,
            ["/inputs/disks/0/volumeTags/0", "/inputs/droplet_tags/1"]
        );
    }
}
