//! URLs of servers, clusters and sentinels.

use fred::types::config::Config;

use crate::error::RedisError;

/// The configuration that a URL describes. Errors repeat no part of it.
pub(crate) fn parse(url: &str) -> Result<Config, RedisError> {
    let (scheme, rest) = url.split_once("://").ok_or(SCHEME)?;
    let (plain, tls) = match scheme {
        "redis" | "redis-cluster" | "redis-sentinel" => (scheme.to_owned(), false),
        "rediss" | "rediss-cluster" | "rediss-sentinel" => (scheme.replacen("rediss", "redis", 1), true),
        _ => return Err(SCHEME),
    };
    let mut config = Config::from_url(&format!("{plain}://{rest}")).map_err(|_| match scheme {
        "redis-sentinel" | "rediss-sentinel" => SENTINEL,
        _ => ADDRESS,
    })?;
    // A server that is away at first is one that comes back.
    config.fail_fast = false;
    if tls {
        secure(&mut config)?;
    }
    Ok(config)
}

const SCHEME: RedisError = RedisError::Config(
    "the URL must begin with redis://, redis-cluster:// or redis-sentinel://, or with rediss for TLS",
);
const ADDRESS: RedisError = RedisError::Config(
    "the URL must be redis://[[user:]password@]host[:port][/database], with ?node=host:port for more nodes of a \
     cluster, and special characters of the password as %XX",
);
const SENTINEL: RedisError = RedisError::Config(
    "the URL must be redis-sentinel://[[user:]password@]host[:port]?sentinelServiceName=name, with &node=host:port \
     for more sentinels",
);

/// Uses TLS with the certificates of the system.
///
/// The cryptography is named, because a host may carry a second one (that of the AWS SDK), and rustls refuses to
/// choose.
#[cfg(feature = "tls")]
fn secure(config: &mut Config) -> Result<(), RedisError> {
    use std::sync::Arc;

    use fred::types::config::{TlsConfig, TlsConnector, TlsHostMapping};

    const NO_TLS: RedisError =
        RedisError::Config("TLS cannot be set up: the system has no usable certificates");
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(NO_TLS);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| NO_TLS)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // Nodes of a cluster tell addresses, while certificates are about names.
    let hostnames =
        if config.server.is_clustered() { TlsHostMapping::DefaultHost } else { TlsHostMapping::None };
    config.tls = Some(TlsConfig { connector: TlsConnector::from(client), hostnames });
    Ok(())
}

#[cfg(not(feature = "tls"))]
fn secure(_: &mut Config) -> Result<(), RedisError> {
    Err(RedisError::Config("rediss:// needs the feature `tls` of rivvi-storage-redis"))
}

#[cfg(test)]
mod tests {
    use fred::types::config::ServerConfig;

    use super::*;

    #[test]
    fn every_kind_of_server_has_its_scheme() {
        let server = |url| parse(url).unwrap().server;
        assert!(matches!(server("redis://host"), ServerConfig::Centralized { .. }));
        assert!(
            matches!(server("redis-cluster://a:1?node=b:2"), ServerConfig::Clustered { hosts, .. } if hosts.len() == 2)
        );
        let sentinel = server("redis-sentinel://user:pass@a?sentinelServiceName=rivvi&node=b:26379");
        assert!(matches!(sentinel, ServerConfig::Sentinel { service_name, .. } if service_name == "rivvi"));
        let config = parse("redis://user:p%40ss@host:7000/3").unwrap();
        assert_eq!((config.username.as_deref(), config.password.as_deref()), (Some("user"), Some("p@ss")));
        assert_eq!(config.database, Some(3));
    }

    #[cfg(feature = "tls")]
    #[test]
    fn an_s_means_tls() {
        for url in ["rediss://host", "rediss-cluster://a:1", "rediss-sentinel://a?sentinelServiceName=b"] {
            assert!(parse(url).unwrap().uses_tls());
        }
        assert!(!parse("redis://host").unwrap().uses_tls());
    }

    #[test]
    fn errors_repeat_no_secret() {
        for url in [
            "http://u:s3cret@h",
            "s3cret",
            "redis://u:s3cret@",
            "redis://u:s3cret@h:x",
            "redis-sentinel://u:s3cret@h",
        ] {
            assert!(!parse(url).unwrap_err().to_string().contains("s3cret"), "{url}");
        }
    }
}
