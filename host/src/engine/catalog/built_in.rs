//! What comes with the binary: the droplet steps and the definitions made of them.

use std::sync::Arc;

use crate::saga::Json;

/// Components by the name of their file, and definitions by their own name.
#[derive(Debug, Clone, Default)]
pub struct BuiltIn {
    pub components: Vec<(String, Arc<[u8]>)>,
    pub definitions: Vec<(String, Json)>,
}

macro_rules! embedded {
    ($($file:literal),* $(,)?) => {
        &[$(($file, include_bytes!(concat!("../../../../steps-wasm/components/", $file)))),*]
    };
}

const COMPONENTS: &[(&str, &[u8])] = embedded![
    "create-droplet.wasm",
    "wait-droplet-active.wasm",
    "register-droplet.wasm",
    "destroy-droplet.wasm",
    "create-droplet-snapshot.wasm",
];

const DEFINITIONS: [(&str, &str); 3] = [
    (
        "provision_droplet",
        include_str!("definitions/provision_droplet.json"),
    ),
    (
        "destroy_droplet",
        include_str!("definitions/destroy_droplet.json"),
    ),
    (
        "snapshot_droplet",
        include_str!("definitions/snapshot_droplet.json"),
    ),
];

impl BuiltIn {
    /// The components and definitions of this binary.
    pub fn shipped() -> BuiltIn {
        BuiltIn {
            components: COMPONENTS
                .iter()
                .map(|(file, bytes)| ((*file).to_owned(), Arc::from(*bytes)))
                .collect(),
            definitions: DEFINITIONS
                .iter()
                .map(|(name, body)| {
                    let body = Json::parse(body).expect("a test reads every shipped definition");
                    ((*name).to_owned(), body)
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engine::catalog::{Definition, Pointer};

    fn shipped(name: &str) -> Definition {
        let shipped = BuiltIn::shipped();
        let (_, body) = shipped
            .definitions
            .iter()
            .find(|(known, _)| known == name)
            .unwrap();
        Definition::parse(&body.to_value(), &Pointer::root()).unwrap()
    }

    #[test]
    fn the_shipped_definitions_are_read_and_name_their_steps() {
        for (name, steps) in [
            (
                "provision_droplet",
                &[
                    "create create-droplet#stable",
                    "wait wait-droplet-active#stable",
                    "register register-droplet#stable",
                ][..],
            ),
            ("destroy_droplet", &["destroy destroy-droplet#stable"]),
            ("snapshot_droplet", &["snapshot create-droplet-snapshot#stable"]),
        ] {
            let found: Vec<String> = shipped(name)
                .steps
                .iter()
                .map(|step| format!("{} {}", step.name, step.component))
                .collect();
            assert_eq!(found, steps, "{name}");
        }
    }

    #[test]
    fn the_inputs_of_a_droplet_are_checked_by_name() {
        let schema = shipped("provision_droplet").inputs_schema.unwrap();
        let good = json!({
            "droplet_name": "web-1.example", "droplet_region": "fra1", "droplet_size": "s-1vcpu-1gb",
            "droplet_image": "debian-12-x64", "droplet_tags": ["web", "env:prod"],
            "droplet_ssh_keys": [289794, "3b:16:e4:bf:8b:00:8b:b8:59:8c:a9:d3:f0:19:fa:45"]
        });
        assert_eq!(schema.check(&good), []);
        for (key, value) in [
            ("droplet_name", json!("under_score")),
            ("droplet_name", json!("-a")),
            ("droplet_name", json!("a..b")),
            ("droplet_name", json!("a".repeat(256))),
            ("droplet_region", json!("")),
            ("droplet_size", json!(1)),
            ("droplet_image", json!(0)),
            ("droplet_image", json!(["debian"])),
            ("droplet_tags", json!("web")),
            ("droplet_tags", json!(["a b"])),
            ("droplet_ssh_keys", json!([null])),
            ("dropletname", json!("typo")),
        ] {
            let mut bad = good.clone();
            bad[key] = value.clone();
            let violations = schema.check(&bad);
            assert_eq!(
                violations
                    .first()
                    .and_then(|found| found.path.first().cloned())
                    .as_deref(),
                Some(key),
                "{value}"
            );
        }
    }
}
