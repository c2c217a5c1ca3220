//! HTTP clients for tests: loopback only, no proxy from the environment.

/// A client that any test can use at once, with TLS ready for those that never need it.
pub fn client() -> reqwest::Client {
    // The error says that another test was first, which is as good.
    let _already = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none());
    builder
        .build()
        .expect("a client without options that can be wrong")
}
