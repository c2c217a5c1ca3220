//! What each operation needs: the one table. The OpenAPI document shows it, and the door asks it.
//!
//! | scope | may |
//! |---|---|
//! | `read` | look at everything but tokens; the bytes of components are no secret, since secrets belong to services |
//! | `run` | start sagas, and ask one to go back |
//! | `operate` | everything that changes what sagas do: verbs, channels, definitions, uploads (which wait for approval) |
//! | `admin` | tokens, and the approval of components |
//!
//! Each includes those before it.

use std::collections::HashMap;

use axum::http::Method;
use utoipa::openapi::OpenApi;

use crate::engine::Scope::{self, Admin, Operate, Read, Run};

const NEEDS: &[(&str, &str, Scope)] = &[
    ("GET", "/v1/components", Read),
    ("POST", "/v1/components", Operate),
    ("GET", "/v1/components/{digest}", Read),
    ("POST", "/v1/components/{digest}/approve", Admin),
    ("POST", "/v1/components/{digest}/retire", Admin),
    ("POST", "/v1/components/{digest}/revoke", Admin),
    ("GET", "/v1/components/{digest}/wasm", Read),
    ("GET", "/v1/components/{digest}/wit", Read),
    ("GET", "/v1/definitions", Read),
    ("GET", "/v1/definitions/{name}", Read),
    ("PUT", "/v1/definitions/{name}", Operate),
    ("GET", "/v1/droplets", Read),
    ("POST", "/v1/droplets", Run),
    ("DELETE", "/v1/droplets/{provider_id}", Run),
    ("POST", "/v1/droplets/{provider_id}/snapshots", Run),
    ("GET", "/v1/findings", Read),
    ("GET", "/v1/hosts", Read),
    ("GET", "/v1/inventory/resources", Read),
    ("GET", "/v1/inventory/resources/{id}", Read),
    ("GET", "/v1/inventory/resources/{id}/provisioned", Read),
    ("GET", "/v1/pauses", Read),
    ("GET", "/v1/sagas", Read),
    ("POST", "/v1/sagas", Run),
    ("POST", "/v1/sagas/batch", Run),
    ("POST", "/v1/sagas/repin", Operate),
    ("POST", "/v1/sagas/retry", Operate),
    ("GET", "/v1/sagas/{id}", Read),
    ("POST", "/v1/sagas/{id}/abandon", Operate),
    ("POST", "/v1/sagas/{id}/cancel", Run),
    ("GET", "/v1/sagas/{id}/context", Read),
    ("GET", "/v1/sagas/{id}/events", Read),
    ("GET", "/v1/sagas/{id}/logs", Read),
    ("POST", "/v1/sagas/pause", Operate),
    ("POST", "/v1/sagas/resume", Operate),
    ("POST", "/v1/sagas/{id}/pause", Operate),
    ("POST", "/v1/sagas/{id}/resume", Operate),
    ("GET", "/v1/sagas/{id}/requests", Read),
    ("POST", "/v1/sagas/{id}/repin", Operate),
    ("POST", "/v1/sagas/{id}/retry", Operate),
    ("POST", "/v1/sagas/{id}/rollback", Operate),
    ("POST", "/v1/sagas/{id}/skip", Operate),
    ("GET", "/v1/sagas/{id}/steps", Read),
    ("GET", "/v1/sagas/{id}/stream", Read),
    ("GET", "/v1/services", Read),
    ("POST", "/v1/services/{name}/pause", Operate),
    ("POST", "/v1/services/{name}/resume", Operate),
    ("GET", "/v1/steps", Read),
    ("PUT", "/v1/steps/{name}/channels/{channel}", Operate),
    ("GET", "/v1/stream", Read),
    ("GET", "/v1/tokens", Admin),
    ("POST", "/v1/tokens", Admin),
    ("DELETE", "/v1/tokens/{name}", Admin),
];

/// `path`: as the document has it. What the table forgot needs the most, until somebody adds its line.
pub(super) fn needed(method: &str, path: &str) -> Scope {
    let known = NEEDS
        .iter()
        .find(|(verb, template, _)| *verb == method && *template == path);
    known.map_or(Admin, |(_, _, scope)| *scope)
}

/// The table for the operations that there are.
pub(super) struct Needs(HashMap<String, Vec<(Method, Scope)>>);

impl Needs {
    pub fn of(document: &OpenApi) -> Needs {
        let mut needs: HashMap<String, Vec<(Method, Scope)>> = HashMap::new();
        for (path, item) in &document.paths.paths {
            let operations = [
                (Method::GET, &item.get),
                (Method::PUT, &item.put),
                (Method::POST, &item.post),
                (Method::DELETE, &item.delete),
            ];
            for (method, _) in operations.into_iter().filter(|(_, there)| there.is_some()) {
                let scope = needed(method.as_str(), path);
                needs.entry(path.clone()).or_default().push((method, scope));
            }
        }
        Needs(needs)
    }

    /// `None`: there is no such operation, and nothing to do but to say so.
    pub fn scope(&self, method: &Method, path: &str) -> Option<Scope> {
        let method = if method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        let operations = self.0.get(path)?;
        let known = operations.iter().find(|(verb, _)| verb == method);
        known.map(|(_, scope)| *scope)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::api::server::document;

    #[test]
    fn the_table_and_the_document_have_the_same_operations() {
        let document = document();
        let mut there = HashSet::new();
        for (path, operations) in Needs::of(&document).0 {
            for (method, _) in operations {
                there.insert((method.to_string(), path.clone()));
            }
        }
        there.retain(|(_, path)| path.starts_with("/v1/"));
        let table: HashSet<(String, String)> = NEEDS
            .iter()
            .map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned()))
            .collect();
        assert_eq!(table.len(), NEEDS.len(), "an operation stands in the table twice");
        let missing: Vec<_> = there.difference(&table).collect();
        assert!(
            missing.is_empty(),
            "without a scope in api/access.rs: {missing:?}"
        );
        let gone: Vec<_> = table.difference(&there).collect();
        assert!(gone.is_empty(), "no operation any more: {gone:?}");
    }
}
