//! What the host shows to a service, as it is now: a credential from a file is read again while the service refuses it.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
};

use reqwest::header::HeaderValue;

use super::Secret;

/// What goes out with one request, and is taken out of its answer.
#[derive(Debug, Default)]
pub(super) struct Credential {
    pub secret: Option<Secret>,
    pub header: Option<HeaderValue>,
}

impl Credential {
    /// `None`: it is empty, or has a character that can't stand in a header.
    pub fn new(secret: Secret) -> Option<Credential> {
        if secret.is_empty() {
            return None;
        }
        let mut header = HeaderValue::from_str(&format!("Bearer {}", secret.reveal())).ok()?;
        header.set_sensitive(true);
        Some(Credential {
            secret: Some(secret),
            header: Some(header),
        })
    }
}

#[derive(Debug)]
pub(super) struct Credentials {
    now: RwLock<Arc<Credential>>,
    file: Option<PathBuf>,
}

impl Credentials {
    pub fn new(credential: Credential, file: Option<PathBuf>) -> Credentials {
        Credentials {
            now: RwLock::new(Arc::new(credential)),
            file,
        }
    }

    pub fn now(&self) -> Arc<Credential> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes what the file holds now. One that can't be used leaves the old one in place.
    pub fn read_again(&self, service: &str) {
        let Some(file) = &self.file else { return };
        let told = match std::fs::read_to_string(file) {
            Ok(text) => Credential::new(Secret::new(text)),
            Err(error) => {
                tracing::warn!(service, file = %file.display(), %error, "the credential file can't be read");
                return;
            }
        };
        match told {
            Some(credential) if credential.secret == self.now().secret => {}
            Some(credential) => {
                tracing::info!(service, file = %file.display(), "the credential is another one now");
                *self.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(credential);
            }
            None => {
                tracing::warn!(service, file = %file.display(), "the credential file holds nothing that can be sent")
            }
        }
    }
}
