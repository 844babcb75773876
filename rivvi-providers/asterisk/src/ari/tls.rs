//! TLS, for `https` servers.

use std::sync::Arc;

/// TLS with the certificates of the system.
///
/// The cryptography is named, because a host may carry a second one (that of the AWS SDK), and rustls refuses to choose.
///
/// # Errors
/// If the cryptography cannot do what rustls takes for safe.
pub(crate) fn tls() -> Result<Arc<rustls::ClientConfig>, String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
