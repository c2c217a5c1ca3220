//! What a component says of itself: the JSON that `describe` answers.
//!
//! Unknown keys are kept in [`Manifest::json`] and mean nothing here, so that a manifest written for a later host loads.

use serde_json::Value;

use super::{
    fields::{Fields, Violation},
    limits::{is_key, tidy},
};
use crate::{
    cloud::Grant,
    saga::{CompensatePolicy, Failure, Json, JsonError, RunPolicy},
};

const MAX_TOTAL_MS: u64 = 30 * 86_400_000;
const MAX_BACKOFF_MS: u64 = 86_400_000;
const CALL_TIMEOUT_MS: (u64, u64) = (100, 600_000);
const MAX_ATTEMPTS: u64 = 1_000;
const MEMORY_BYTES: (u64, u64) = (64 << 10, 4 << 30);
const MAX_SUMMARY_BYTES: usize = 1_024;
const MAX_KEYS: usize = 256;
const MAX_GRANTS: usize = 32;
const METHODS: [&str; 6] = ["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"];

#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// `[a-z][a-z0-9-]{0,62}`
    pub name: String,
    pub version: semver::Version,
    pub summary: String,
    /// JSON Schemas, each an object.
    pub params_schema: Option<Json>,
    pub inputs_schema: Option<Json>,
    pub output_schema: Option<Json>,
    /// Context keys that it reads.
    pub reads: Vec<String>,
    /// Context keys that it may write; no others.
    pub writes: Vec<String>,
    pub compensation: Compensation,
    pub irreversible: bool,
    pub run: RunPolicy,
    pub compensate: CompensatePolicy,
    /// What it asks for; the operator approves.
    pub grants: Vec<Grant>,
    /// Memory that it asks for; the host has a ceiling of its own.
    pub memory_bytes: Option<u64>,
    /// As the component gave it.
    pub json: Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compensation {
    /// The default.
    Required,
    /// There is nothing to undo: `compensate` is never called.
    None,
}

/// Why a component has no manifest.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DescribeError {
    #[error("describe ended with {}: {}", .0.code, .0.message)]
    Trap(Failure),
    #[error("describe did not answer in time")]
    Timeout,
    #[error("what describe answered is no manifest: {0}")]
    Json(JsonError),
    #[error("the manifest breaks {} rules, first: {}", .0.len(), .0.first().map(ToString::to_string).unwrap_or_default())]
    Manifest(Vec<Violation>),
}

impl Manifest {
    /// All violations at once, never none of them.
    pub fn parse(json: &Json) -> Result<Manifest, Vec<Violation>> {
        let value = json.to_value();
        let Value::Object(object) = &value else {
            return Err(vec![Violation::new("", "an object")]);
        };
        let mut fields = Fields::root(object);
        let manifest = Manifest {
            name: fields
                .required_text("name", "[a-z][a-z0-9-]{0,62}", is_name)
                .unwrap_or_default(),
            version: version(&mut fields),
            summary: fields
                .text("summary", "at most 1024 bytes", |text| {
                    text.len() <= MAX_SUMMARY_BYTES
                })
                .map_or_else(String::new, |text| tidy(text, MAX_SUMMARY_BYTES)),
            params_schema: schema(&mut fields, "params_schema"),
            inputs_schema: schema(&mut fields, "inputs_schema"),
            output_schema: schema(&mut fields, "output_schema"),
            reads: keys(&mut fields, "reads"),
            writes: keys(&mut fields, "writes"),
            compensation: compensation(&mut fields),
            irreversible: fields.flag("irreversible").unwrap_or(false),
            run: run_policy(&mut fields),
            compensate: compensate_policy(&mut fields),
            grants: grants(&mut fields),
            memory_bytes: fields.object("limits").and_then(|limits| {
                fields
                    .inner("limits", limits)
                    .number("memory_bytes", MEMORY_BYTES)
            }),
            json: json.clone(),
        };
        fields.finish().map(|()| manifest)
    }
}

fn is_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn version(fields: &mut Fields<'_>) -> semver::Version {
    fields
        .required_text("version", "a semantic version, for example 1.2.3", |text| {
            text.len() <= 128 && semver::Version::parse(text).is_ok()
        })
        .and_then(|text| semver::Version::parse(&text).ok())
        .unwrap_or_else(|| semver::Version::new(0, 0, 0))
}

fn schema(fields: &mut Fields<'_>, name: &str) -> Option<Json> {
    let object = fields.object(name)?;
    let schema = Value::Object(object.clone());
    match jsonschema::validator_for(&schema) {
        Ok(_) => Some(Json::of(&schema)),
        Err(error) => {
            fields.violation(name, &format!("a JSON Schema ({error})"));
            None
        }
    }
}

fn keys(fields: &mut Fields<'_>, name: &str) -> Vec<String> {
    let Some(context) = fields.object("context") else {
        return Vec::new();
    };
    let writing = name == "writes";
    let expected = if writing {
        "[A-Za-z0-9_.-]{1,128}, not beginning with __"
    } else {
        "[A-Za-z0-9_.-]{1,128}"
    };
    fields
        .inner("context", context)
        .texts(name, MAX_KEYS, expected, |key| {
            is_key(key) && !(writing && key.starts_with("__"))
        })
}

fn compensation(fields: &mut Fields<'_>) -> Compensation {
    let word = fields.text("compensation", "\"required\" or \"none\"", |text| {
        matches!(text, "required" | "none")
    });
    match word.as_deref() {
        Some("none") => Compensation::None,
        _ => Compensation::Required,
    }
}

fn run_policy(fields: &mut Fields<'_>) -> RunPolicy {
    let mut policy = RunPolicy::default();
    if let Some(object) = fields.object("run") {
        let mut run = fields.inner("run", object);
        if let Some(attempts) = run.number("max_attempts", (1, MAX_ATTEMPTS)) {
            policy.max_attempts = u32::try_from(attempts).expect("at most 1000");
        }
        run.set("total_ms", (100, MAX_TOTAL_MS), &mut policy.total_ms);
        run.set("call_timeout_ms", CALL_TIMEOUT_MS, &mut policy.call_timeout_ms);
        backoff(&mut run, &mut policy.backoff_base_ms, &mut policy.backoff_max_ms);
    }
    policy
}

fn compensate_policy(fields: &mut Fields<'_>) -> CompensatePolicy {
    let mut policy = CompensatePolicy::default();
    if let Some(object) = fields.object("compensate") {
        let mut compensate = fields.inner("compensate", object);
        compensate.set("total_ms", (100, MAX_TOTAL_MS), &mut policy.total_ms);
        compensate.set("call_timeout_ms", CALL_TIMEOUT_MS, &mut policy.call_timeout_ms);
        backoff(
            &mut compensate,
            &mut policy.backoff_base_ms,
            &mut policy.backoff_max_ms,
        );
    }
    policy
}

/// A base over the default cap lifts the cap; a cap that is named must fit the base.
fn backoff(fields: &mut Fields<'_>, base_ms: &mut u64, max_ms: &mut u64) {
    fields.set("backoff_base_ms", (1, MAX_BACKOFF_MS), base_ms);
    match fields.number("backoff_max_ms", (1, MAX_BACKOFF_MS)) {
        Some(cap_ms) if cap_ms < *base_ms => {
            fields.violation("backoff_max_ms", "at least backoff_base_ms");
        }
        Some(cap_ms) => *max_ms = cap_ms,
        None => *max_ms = (*max_ms).max(*base_ms),
    }
}

fn grants(fields: &mut Fields<'_>) -> Vec<Grant> {
    fields.objects("http", MAX_GRANTS, |grant| Grant {
        service: grant
            .required_text("service", "[a-z][a-z0-9-]{0,62}", is_name)
            .unwrap_or_default(),
        methods: grant.required_texts("methods", METHODS.len(), "an HTTP method in capitals", |method| {
            METHODS.contains(&method)
        }),
        path_prefixes: grant.required_texts(
            "path_prefixes",
            MAX_KEYS,
            "an absolute path without query, \"..\" and control characters",
            |path| {
                path.starts_with('/')
                    && path.len() <= 512
                    && !path.split('/').any(|part| part == "..")
                    && path
                        .bytes()
                        .all(|b| b.is_ascii_graphic() && b != b'?' && b != b'#')
            },
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(text: &str) -> Vec<(String, String)> {
        Manifest::parse(&Json::parse(text).unwrap())
            .expect_err("it was taken")
            .into_iter()
            .map(|violation| (violation.pointer, violation.expected))
            .collect()
    }

    #[test]
    fn a_name_and_a_version_are_enough() {
        let json = Json::trusted(r#"{"name":"noop","version":"0.1.0","later":{"unknown":[1]}}"#);
        assert_eq!(
            Manifest::parse(&json).unwrap(),
            Manifest {
                name: "noop".to_owned(),
                version: semver::Version::new(0, 1, 0),
                summary: String::new(),
                params_schema: None,
                inputs_schema: None,
                output_schema: None,
                reads: Vec::new(),
                writes: Vec::new(),
                compensation: Compensation::Required,
                irreversible: false,
                run: RunPolicy::default(),
                compensate: CompensatePolicy::default(),
                grants: Vec::new(),
                memory_bytes: None,
                json,
            }
        );
    }

    #[test]
    fn everything_that_it_says_is_read() {
        let manifest = Manifest::parse(&Json::trusted(
            r#"{"name":"a-1","version":"1.0.0-rc.1","summary":"s","params_schema":{"type":"object"},
                "context":{"reads":["__inputs__","x"],"writes":["y"]},"compensation":"none","irreversible":true,
                "run":{"max_attempts":7,"backoff_base_ms":120000,"later":1},
                "compensate":{"total_ms":1000,"backoff_max_ms":2000},
                "http":[{"service":"cloud","methods":["GET","POST"],"path_prefixes":["/v2/droplets"]}],
                "limits":{"memory_bytes":1048576}}"#,
        ))
        .unwrap();
        assert_eq!(manifest.params_schema.unwrap().as_str(), r#"{"type":"object"}"#);
        assert_eq!(manifest.reads, ["__inputs__", "x"]);
        assert_eq!(manifest.writes, ["y"]);
        assert_eq!(manifest.compensation, Compensation::None);
        assert!(manifest.irreversible);
        assert_eq!(
            manifest.run,
            RunPolicy {
                max_attempts: 7,
                backoff_base_ms: 120_000,
                backoff_max_ms: 120_000,
                ..RunPolicy::default()
            }
        );
        assert_eq!(
            manifest.compensate,
            CompensatePolicy {
                total_ms: 1_000,
                backoff_max_ms: 2_000,
                ..CompensatePolicy::default()
            }
        );
        assert_eq!(manifest.grants[0].methods, ["GET", "POST"]);
        assert_eq!(manifest.memory_bytes, Some(1_048_576));
    }

    #[test]
    fn every_violation_names_its_place_and_what_is_expected() {
        for (text, pointer, expected) in [
            ("[]", "", "an object"),
            (r#"{"version":"1.0.0"}"#, "/name", "[a-z]"),
            (r#"{"name":"a","version":"1"}"#, "/version", "semantic version"),
            (
                r#"{"name":"a","version":"1.0.0","params_schema":true}"#,
                "/params_schema",
                "an object",
            ),
            (
                r#"{"name":"a","version":"1.0.0","inputs_schema":{"type":"none"}}"#,
                "/inputs_schema",
                "a JSON Schema",
            ),
            (
                r#"{"name":"a","version":"1.0.0","context":{"writes":["ok","__x"]}}"#,
                "/context/writes/1",
                "not beginning with __",
            ),
            (
                r#"{"name":"a","version":"1.0.0","context":{"reads":{}}}"#,
                "/context/reads",
                "a list",
            ),
            (
                r#"{"name":"a","version":"1.0.0","compensation":"maybe"}"#,
                "/compensation",
                "required",
            ),
            (
                r#"{"name":"a","version":"1.0.0","irreversible":1}"#,
                "/irreversible",
                "true or false",
            ),
            (
                r#"{"name":"a","version":"1.0.0","run":{"call_timeout_ms":99}}"#,
                "/run/call_timeout_ms",
                "from 100 to 600000",
            ),
            (
                r#"{"name":"a","version":"1.0.0","run":{"total_ms":2592000001}}"#,
                "/run/total_ms",
                "to 2592000000",
            ),
            (
                r#"{"name":"a","version":"1.0.0","run":{"max_attempts":1001}}"#,
                "/run/max_attempts",
                "to 1000",
            ),
            (
                r#"{"name":"a","version":"1.0.0","compensate":{"backoff_base_ms":10,"backoff_max_ms":9}}"#,
                "/compensate/backoff_max_ms",
                "at least",
            ),
            (
                r#"{"name":"a","version":"1.0.0","http":[{"service":"c","methods":["get"],"path_prefixes":["/"]}]}"#,
                "/http/0/methods/0",
                "capitals",
            ),
            (
                r#"{"name":"a","version":"1.0.0","http":[{"service":"c","methods":["GET"],"path_prefixes":["/a/../b"]}]}"#,
                "/http/0/path_prefixes/0",
                "absolute path",
            ),
            (
                r#"{"name":"a","version":"1.0.0","limits":{"memory_bytes":1}}"#,
                "/limits/memory_bytes",
                "a whole number",
            ),
        ] {
            let found = broken(text);
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert_eq!(found[0].0, pointer, "{text}");
            assert!(found[0].1.contains(expected), "{text}: {found:?}");
        }
    }
}
