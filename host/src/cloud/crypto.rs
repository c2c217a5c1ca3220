//! The one place that chooses a TLS provider.

/// Makes ring the process's TLS provider. Idempotent; binary and tests call it before anything that may open a TLS connection
/// ([`super::Services::new`] does it itself).
pub fn install_crypto() {
    // An error says that a provider is installed already, which is what was wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
