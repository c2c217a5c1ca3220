//! What the operator says about services, in one TOML file:
//!
//! ```toml
//! [services.digitalocean]
//! base_url = "https://api.digitalocean.com"
//! # Where the bearer token comes from. Tokens themselves never stand in this file.
//! credential_env = "DIGITALOCEAN_TOKEN"        # or: credential_file = "/run/secrets/digitalocean"
//! # (a file is read again while the service refuses what it held, so that a new token needs no restart)
//! # At most so many requests in any 61 seconds, and in any 3,610 seconds.
//! per_minute = 240
//! per_hour = 4900
//! # Where the id of the credential's account is read: an id means something only within one account. Without it, another
//! # account behind the credential goes unnoticed.
//! identity = { path = "/v2/account", pointers = ["/account/team/uuid", "/account/uuid"] }
//! # Where hosts of one database reach the service at different addresses, each by a gateway of its own: what all of them call it.
//! # origin = "digitalocean"
//!
//! # The most that any step may be granted; what isn't listed is denied.
//! [[services.digitalocean.allow]]
//! methods = ["GET", "POST", "DELETE"]
//! path_prefixes = ["/v2/droplets"]
//!
//! [[services.digitalocean.allow]]
//! methods = ["GET"]
//! path_prefixes = ["/v2/actions", "/v2/account"]
//! ```

use std::{collections::BTreeMap, io, path::PathBuf};

use serde::Deserialize;

use super::{Grant, IdentityProbe, Secret};

pub const DIGITALOCEAN: &str = "digitalocean";
const DIGITALOCEAN_URL: &str = "https://api.digitalocean.com";
/// DigitalOcean allows 250 a minute and 5,000 an hour per token; the rest is for the clocks' sake and for people who look.
const DIGITALOCEAN_PER_MINUTE: u32 = 240;
const DIGITALOCEAN_PER_HOUR: u32 = 4_900;

/// A named upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceConfig {
    /// What steps call it: `[a-z0-9-]{1,64}`.
    pub name: String,
    /// `https`, or `http` on loopback; without user, query or fragment. Request paths are appended to its path.
    pub base_url: String,
    /// Sent as a bearer token; none for a service that needs none.
    pub credential: Option<Secret>,
    /// Where it came from, when that is a file: read again while the service refuses what it held.
    pub credential_file: Option<PathBuf>,
    /// The most that any step may be granted. Only grants that name this service count.
    pub allow: Vec<Grant>,
    /// Requests in any 61 seconds, at least 1.
    pub per_minute: u32,
    /// Requests in any 3,610 seconds, at least 1.
    pub per_hour: u32,
    /// How the account behind the credential is read. None: a change of it isn't noticed.
    pub identity: Option<IdentityProbe>,
    /// What stands for the base URL's origin in the identity, where the same service comes back at another address.
    pub origin: Option<String>,
}

impl ServiceConfig {
    /// The service `digitalocean` with what droplets, snapshots, tags and the inventory need.
    pub fn digitalocean(credential: Option<Secret>) -> Self {
        let grant = |methods: &[&str], path_prefixes: &[&str]| Grant {
            service: DIGITALOCEAN.to_owned(),
            methods: methods.iter().map(|method| (*method).to_owned()).collect(),
            path_prefixes: path_prefixes.iter().map(|prefix| (*prefix).to_owned()).collect(),
        };
        ServiceConfig {
            name: DIGITALOCEAN.to_owned(),
            base_url: DIGITALOCEAN_URL.to_owned(),
            credential,
            credential_file: None,
            allow: vec![
                grant(&["GET", "POST", "DELETE"], &["/v2/droplets", "/v2/tags"]),
                grant(&["GET", "DELETE"], &["/v2/snapshots"]),
                grant(
                    &["GET"],
                    &[
                        "/v2/account",
                        "/v2/actions",
                        "/v2/images",
                        "/v2/regions",
                        "/v2/sizes",
                        "/v2/vpcs",
                    ],
                ),
            ],
            per_minute: DIGITALOCEAN_PER_MINUTE,
            per_hour: DIGITALOCEAN_PER_HOUR,
            identity: Some(IdentityProbe {
                path: "/v2/account".to_owned(),
                pointers: vec!["/account/team/uuid".to_owned(), "/account/uuid".to_owned()],
            }),
            origin: None,
        }
    }

    /// Reads the services of a TOML file. `variable` looks up an environment variable.
    pub fn from_toml(
        text: &str,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Vec<ServiceConfig>, ConfigError> {
        let file: File = toml::from_str(text).map_err(Box::new)?;
        file.services
            .into_iter()
            .map(|(name, entry)| entry.into_config(name, &variable))
            .collect()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("the services file isn't valid: {0}")]
    Syntax(#[from] Box<toml::de::Error>),
    #[error("service {service}: the environment variable {variable} is missing or empty")]
    VariableMissing { service: String, variable: String },
    #[error("service {service}: the credential file {} can't be read", path.display())]
    CredentialFile {
        service: String,
        path: PathBuf,
        source: io::Error,
    },
    #[error("service {service}: give credential_env or credential_file, not both")]
    TwoCredentials { service: String },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    services: BTreeMap<String, Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    base_url: String,
    credential_env: Option<String>,
    credential_file: Option<PathBuf>,
    per_minute: u32,
    per_hour: u32,
    identity: Option<IdentityProbe>,
    origin: Option<String>,
    #[serde(default)]
    allow: Vec<Allow>,
}

/// A [`Grant`] whose service is the table that it stands in.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Allow {
    methods: Vec<String>,
    path_prefixes: Vec<String>,
}

impl Entry {
    fn into_config(
        self,
        name: String,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<ServiceConfig, ConfigError> {
        let credential_file = self.credential_file.clone();
        let credential = match (self.credential_env, self.credential_file) {
            (None, None) => None,
            (Some(_), Some(_)) => return Err(ConfigError::TwoCredentials { service: name }),
            (Some(key), None) => match variable(&key)
                .map(Secret::new)
                .filter(|secret| !secret.is_empty())
            {
                Some(secret) => Some(secret),
                None => {
                    return Err(ConfigError::VariableMissing {
                        service: name,
                        variable: key,
                    });
                }
            },
            (None, Some(path)) => match std::fs::read_to_string(&path) {
                Ok(text) => Some(Secret::new(text)),
                Err(source) => {
                    return Err(ConfigError::CredentialFile {
                        service: name,
                        path,
                        source,
                    });
                }
            },
        };
        let allow = self.allow.into_iter().map(|allow| Grant {
            service: name.clone(),
            methods: allow.methods,
            path_prefixes: allow.path_prefixes,
        });
        Ok(ServiceConfig {
            allow: allow.collect(),
            name,
            base_url: self.base_url,
            credential,
            credential_file,
            per_minute: self.per_minute,
            per_hour: self.per_hour,
            identity: self.identity,
            origin: self.origin,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the module's documentation.
    fn example() -> String {
        include_str!("config.rs")
            .lines()
            .map_while(|line| line.strip_prefix("//!"))
            .map(|line| line.strip_prefix(' ').unwrap_or(line))
            .skip_while(|line| *line != "```toml")
            .skip(1)
            .take_while(|line| *line != "```")
            .map(|line| format!("{line}\n"))
            .collect()
    }

    #[test]
    fn the_documented_example_is_read() {
        let token = |key: &str| (key == "DIGITALOCEAN_TOKEN").then(|| "t0k\n".to_owned());
        let services = ServiceConfig::from_toml(&example(), token).unwrap();
        let grant = |methods: &[&str], prefixes: &[&str]| Grant {
            service: DIGITALOCEAN.to_owned(),
            methods: methods.iter().map(|m| (*m).to_owned()).collect(),
            path_prefixes: prefixes.iter().map(|p| (*p).to_owned()).collect(),
        };
        let expected = ServiceConfig {
            allow: vec![
                grant(&["GET", "POST", "DELETE"], &["/v2/droplets"]),
                grant(&["GET"], &["/v2/actions", "/v2/account"]),
            ],
            ..ServiceConfig::digitalocean(Some(Secret::new("t0k")))
        };
        assert_eq!(services, [expected]);
    }

    #[test]
    fn a_service_at_several_addresses_may_have_one_name() {
        let named = example().replace("# origin", "origin");
        let services = ServiceConfig::from_toml(&named, |_| Some("t".to_owned())).unwrap();
        assert_eq!(services[0].origin.as_deref(), Some("digitalocean"));
    }

    #[test]
    fn a_missing_token_and_a_misspelt_key_are_named() {
        let missing = ServiceConfig::from_toml(&example(), |_| None).unwrap_err();
        assert_eq!(
            missing.to_string(),
            "service digitalocean: the environment variable DIGITALOCEAN_TOKEN is missing or empty"
        );
        let misspelt = example().replace("per_hour", "per_hours");
        let error = ServiceConfig::from_toml(&misspelt, |_| Some("t".to_owned())).unwrap_err();
        assert!(error.to_string().contains("per_hours"), "{error}");
        let token_in_file = example().replace("credential_env", "credential");
        assert!(ServiceConfig::from_toml(&token_in_file, |_| None).is_err());
    }
}
