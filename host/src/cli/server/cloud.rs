//! Which cloud a server's steps reach. Nothing reaches a real account by default: a token must be given for that.

use std::{fs, path::PathBuf};

use clap::Args;
use reqwest::Url;

use super::digitalocean_at;
use crate::{
    cli::{client::is_loopback, failure::CliError, simulate::SIMULATED_TOKEN},
    cloud::{Secret, ServiceConfig},
};

#[derive(Debug, Args)]
#[command(next_help_heading = "Cloud")]
pub struct CloudArgs {
    /// Services that steps may use, instead of DigitalOcean by its token: a TOML file (see README)
    #[arg(long, env = "ARCADIA_SERVICES", value_name = "FILE", conflicts_with = "cloud")]
    services: Option<PathBuf>,
    /// A simulated DigitalOcean on this machine, by its URL, instead of the real one
    #[arg(long, env = "ARCADIA_CLOUD", value_name = "URL")]
    cloud: Option<String>,
}

/// The token of a real account stands in this variable, or nowhere.
pub const TOKEN_VARIABLE: &str = "DIGITALOCEAN_TOKEN";

impl CloudArgs {
    /// The services; `variable` looks up an environment variable.
    pub fn services(
        &self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Vec<ServiceConfig>, CliError> {
        if let Some(file) = &self.services {
            let text = fs::read_to_string(file).map_err(CliError::reading(file))?;
            return ServiceConfig::from_toml(&text, variable)
                .map_err(|error| CliError::usage(error.to_string(), format!("see {}", file.display())));
        }
        if let Some(url) = &self.cloud {
            let local = Url::parse(url).is_ok_and(|url| is_loopback(&url));
            if !local {
                return Err(CliError::usage(
                    format!("{url:?} is no URL of this machine: --cloud is for simulators"),
                    "for other providers write a services file",
                ));
            }
            return Ok(vec![digitalocean_at(url.trim_end_matches('/'), SIMULATED_TOKEN)]);
        }
        Ok(real_digitalocean(variable).into_iter().collect())
    }
}

/// DigitalOcean itself, when a token is there.
pub fn real_digitalocean(variable: impl Fn(&str) -> Option<String>) -> Option<ServiceConfig> {
    let token = Secret::new(variable(TOKEN_VARIABLE)?);
    (!token.is_empty()).then(|| ServiceConfig::digitalocean(Some(token)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(services: Option<PathBuf>, cloud: Option<&str>) -> CloudArgs {
        CloudArgs {
            services,
            cloud: cloud.map(str::to_owned),
        }
    }

    fn with_token(name: &str) -> Option<String> {
        (name == TOKEN_VARIABLE).then(|| "dop_v1_real".to_owned())
    }

    #[test]
    fn without_a_token_no_service_is_configured() {
        assert_eq!(args(None, None).services(|_| None).unwrap(), []);
        assert_eq!(args(None, None).services(|_| Some(" \n".into())).unwrap(), []);
    }

    #[test]
    fn a_simulator_never_gets_the_real_token() {
        let services = args(None, Some("http://127.0.0.1:9000/"))
            .services(with_token)
            .unwrap();
        assert_eq!(
            services,
            [digitalocean_at("http://127.0.0.1:9000", SIMULATED_TOKEN)]
        );
        let elsewhere = args(None, Some("https://api.digitalocean.com"));
        assert!(elsewhere.services(with_token).is_err());
    }

    #[test]
    fn a_token_in_the_environment_is_for_digitalocean_itself() {
        let services = args(None, None).services(with_token).unwrap();
        assert_eq!(
            services,
            [ServiceConfig::digitalocean(Some(Secret::new("dop_v1_real")))]
        );
    }
}
