//! Where a store is and how it is spoken with (`store.redis` in a manifest).

use core::fmt;
use core::time::Duration;
use std::path::PathBuf;

use lns_crypto::Secret;
use thiserror::Error;

use crate::record::Space;

/// The port of Redis, where a URL has none.
const REDIS_PORT: u16 = 6379;

/// The port of a Sentinel, where its address has none.
const SENTINEL_PORT: u16 = 26379;

/// Everything that a connection needs to know.
#[derive(Debug)]
pub struct Config {
    /// Where the server is, or who knows.
    pub target: Target,
    /// Who we are there.
    pub credentials: Option<Credentials>,
    /// Certificates of the authorities that servers are believed on, PEM; `None`: those of the system.
    pub authorities: Option<Vec<u8>>,
    /// Whose records.
    pub space: Space,
    /// What is demanded of the server.
    pub durability: Durability,
    /// About how many changes the stream keeps. Who is further behind loads everything.
    pub stream_entries: u32,
    /// How long what may take.
    pub timing: Timing,
}

/// Where the server is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Target {
    /// There.
    Server(Endpoint),
    /// Where the Sentinels say.
    Sentinel {
        /// The name of the master in their configuration.
        master: Box<str>,
        /// The Sentinels.
        sentinels: Vec<Address>,
        /// How the server and the Sentinels are spoken with: of an [`Endpoint`], all but where it is.
        tls: bool,
        /// The number of the database.
        database: u32,
    },
}

/// A server and how it is spoken with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Endpoint {
    /// Where it is.
    pub address: Address,
    /// Over TLS?
    pub tls: bool,
    /// The number of the database.
    pub database: u32,
}

/// Where something listens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Address {
    /// On this port of this host.
    Tcp {
        /// A name or an address.
        host: Box<str>,
        /// The port.
        port: u16,
    },
    /// On this socket of this machine.
    Unix(PathBuf),
}

/// Who we are for a server.
#[derive(Debug, PartialEq)]
pub struct Credentials {
    /// The user of the server's ACL; `None`: its default user.
    pub user: Option<Box<str>>,
    /// The password.
    pub password: Secret,
}

/// What is demanded of a server (`store.redis.durability`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Durability {
    /// It must take no write that has reached no replica for longer than its `min-replicas-max-lag`.
    Replicated,
    /// It may be alone.
    Single,
}

/// How long what may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timing {
    /// Until a connection stands, with all checks.
    pub connect: Duration,
    /// Until a question is answered.
    pub call: Duration,
    /// From one look at the server, and at the Sentinels, to the next. Who follows hears as often that there is
    /// nothing new.
    pub watch: Duration,
    /// Between two attempts to connect, at most.
    pub patience: Duration,
}

/// Why a text is no URL of a store. Texts of an address have the last two.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum UrlError {
    /// Not a URL of ours.
    #[error(
        "a store is redis://HOST:PORT, rediss://HOST:PORT (TLS) or unix:///PATH; behind HOST:PORT may stand /DATABASE"
    )]
    Form,
    /// With user or password.
    #[error(
        "user and password do not belong into the URL, where everybody reads them: set store.redis.credentialsSecretRef"
    )]
    Credentials,
    /// With parameters.
    #[error("the URL has parameters (?), of which none are known")]
    Parameters,
    /// What is no number of a database.
    #[error("the path of the URL is the number of a database")]
    Database,
    /// What is no host and port.
    #[error("an address is HOST, HOST:PORT or [IPV6]:PORT")]
    Address,
}

impl Default for Timing {
    /// As a cluster has it: its routers and lines are patient for seconds.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            call: Duration::from_secs(1),
            watch: Duration::from_secs(1),
            patience: Duration::from_secs(2),
        }
    }
}

impl Endpoint {
    /// The server of a URL.
    ///
    /// # Errors
    /// It is none, or has what does not belong there.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let url = redis::parse_redis_url(url).ok_or(UrlError::Form)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlError::Credentials);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(UrlError::Parameters);
        }
        let tls = match url.scheme() {
            "redis" => false,
            "rediss" => true,
            "unix" if url.path().len() > 1 => {
                return Ok(Self {
                    address: Address::Unix(url.path().into()),
                    tls: false,
                    database: 0,
                });
            }
            _ => return Err(UrlError::Form),
        };
        let host = url.host_str().filter(|host| !host.is_empty());
        Ok(Self {
            address: Address::Tcp {
                host: unbracketed(host.ok_or(UrlError::Form)?).into(),
                port: url.port().unwrap_or(REDIS_PORT),
            },
            tls,
            database: match url.path().trim_matches('/') {
                "" => 0,
                number => number.parse().map_err(|_| UrlError::Database)?,
            },
        })
    }
}

impl Address {
    /// A Sentinel's: a host, with or without a port.
    ///
    /// # Errors
    /// It is none.
    pub fn sentinel(text: &str) -> Result<Self, UrlError> {
        // An address of version 6 without brackets has more than one colon.
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                (host, port.parse().map_err(|_| UrlError::Address)?)
            }
            _ => (text, SENTINEL_PORT),
        };
        let host = unbracketed(host);
        let is_host = |octet: u8| octet.is_ascii_alphanumeric() || b"-._:".contains(&octet);
        if host.is_empty() || port == 0 || !host.bytes().all(is_host) {
            return Err(UrlError::Address);
        }
        let host = host.into();
        Ok(Self::Tcp { host, port })
    }
}

fn unbracketed(host: &str) -> &str {
    let inside = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    inside.unwrap_or(host)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Address {
        let host = host.into();
        Address::Tcp { host, port }
    }

    #[test]
    fn a_url_names_a_server() {
        for (url, address, tls, database) in [
            ("redis://redis", tcp("redis", 6379), false, 0),
            (
                "redis://redis.isp.svc:7000/",
                tcp("redis.isp.svc", 7000),
                false,
                0,
            ),
            ("rediss://10.0.0.1/3", tcp("10.0.0.1", 6379), true, 3),
            ("rediss://[2001:db8::1]:1", tcp("2001:db8::1", 1), true, 0),
            (
                "unix:///run/redis.sock",
                Address::Unix("/run/redis.sock".into()),
                false,
                0,
            ),
        ] {
            let endpoint = Endpoint {
                address,
                tls,
                database,
            };
            assert_eq!(Endpoint::parse(url), Ok(endpoint), "{url}");
        }
    }

    #[test]
    fn what_does_not_belong_into_a_url_is_refused() {
        for (url, error) in [
            ("", UrlError::Form),
            ("redis", UrlError::Form),
            ("http://redis", UrlError::Form),
            ("redis://", UrlError::Form),
            ("unix://", UrlError::Form),
            ("redis://:secret@redis", UrlError::Credentials),
            ("redis://lns@redis", UrlError::Credentials),
            ("redis://redis?db=1", UrlError::Parameters),
            ("rediss://redis#insecure", UrlError::Parameters),
            ("redis://redis/one", UrlError::Database),
            ("redis://redis/1/2", UrlError::Database),
        ] {
            assert_eq!(Endpoint::parse(url), Err(error), "{url}");
        }
    }

    #[test]
    fn a_sentinel_is_a_host_with_or_without_a_port() {
        for (text, address) in [
            ("sentinel", tcp("sentinel", 26379)),
            ("10.0.0.1:5000", tcp("10.0.0.1", 5000)),
            ("[2001:db8::1]:5000", tcp("2001:db8::1", 5000)),
            ("2001:db8::1", tcp("2001:db8::1", 26379)),
        ] {
            assert_eq!(Address::sentinel(text), Ok(address), "{text}");
        }
        for text in ["", ":1", "a:", "a:0", "a:65536", "a:b", "redis://a", "a b"] {
            assert_eq!(Address::sentinel(text), Err(UrlError::Address), "{text}");
        }
        assert_eq!(tcp("2001:db8::1", 1).to_string(), "[2001:db8::1]:1");
    }

    #[test]
    fn debug_output_shows_no_password() {
        let credentials = Credentials {
            user: Some("lns".into()),
            password: Secret::new(*b"hunter2"),
        };
        assert!(!format!("{credentials:?}").contains("hunter2"));
    }
}
