//! What a server says of itself (INFO), and whether it may keep records (rules S4 and S6).

use core::fmt;

use crate::config::{Address, Durability};
use crate::error::{Reason, UnsafeSetting};

/// A server that was found fit.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Server {
    /// Where it is.
    pub address: Address,
    /// Which of its lives this is, and which history of data it has.
    pub origin: Origin,
    /// Its version; of Valkey the version of Redis that it stands for.
    pub version: Version,
    /// How many replicas are connected.
    pub replicas: u32,
    /// A setting with which records would be lost. Nobody connects to a server that has one; it may get one
    /// later.
    pub unsafe_setting: Option<UnsafeSetting>,
}

/// Which data a server has. If it is another one than before, what was acknowledged may be lost: whoever is
/// master claims again and writes again what is missing (rule S4).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Origin {
    /// Of the process: another one after each start, which may have lost its last second.
    pub run_id: Box<str>,
    /// `master_replid`, of the data: another one after each failover.
    pub replid: Box<str>,
}

/// A version of Redis.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Version {
    /// The first number.
    pub major: u16,
    /// The second.
    pub minor: u16,
}

impl Version {
    /// The first with functions.
    const OLDEST: Self = Self { major: 7, minor: 0 };

    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split('.').map(str::parse);
        Some(Self {
            major: numbers.next()?.ok()?,
            minor: numbers.next()?.ok()?,
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The lines of INFO.
struct Info<'a>(&'a str);

impl<'a> Info<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        self.0
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
    }

    fn text(&self, name: &str) -> &'a str {
        self.get(name).unwrap_or_default()
    }
}

impl Server {
    /// The server at `address` that says `info` of itself.
    ///
    /// # Errors
    /// It is none to write to.
    pub(crate) fn parse(
        address: &Address,
        info: &str,
        durability: Durability,
    ) -> Result<Self, Reason> {
        let info = Info(info);
        let version = info.text("redis_version");
        let server = Self {
            address: address.clone(),
            origin: Origin {
                run_id: info.text("run_id").into(),
                replid: info.text("master_replid").into(),
            },
            version: Version::parse(version).unwrap_or(Version { major: 0, minor: 0 }),
            replicas: info.text("connected_slaves").parse().unwrap_or(0),
            unsafe_setting: unsafe_setting(&info, durability),
        };
        let address: Box<str> = address.to_string().into();
        if server.version < Version::OLDEST {
            let version = version.into();
            return Err(Reason::TooOld { address, version });
        }
        if info.text("loading") == "1" {
            return Err(Reason::Loading { address });
        }
        if info.text("cluster_enabled") == "1" {
            return Err(Reason::ClusterMode { address });
        }
        if info.text("role") != "master" {
            let role = info.text("role").replace("slave", "replica").into();
            return Err(Reason::NotMaster { address, role });
        }
        Ok(server)
    }

    /// Itself, if its settings keep records (rule S6).
    ///
    /// # Errors
    /// One of them does not.
    pub(crate) fn checked(self) -> Result<Self, Reason> {
        match self.unsafe_setting {
            None => Ok(self),
            Some(setting) => Err(Reason::Unsafe {
                address: self.address.to_string().into(),
                setting,
            }),
        }
    }
}

/// INFO shows all that CONFIG GET would, which not every user may run. That of good replicas is there only if
/// both settings that need them are above zero.
fn unsafe_setting(info: &Info<'_>, durability: Durability) -> Option<UnsafeSetting> {
    match info.text("maxmemory_policy") {
        "noeviction" => {}
        policy => return Some(UnsafeSetting::Eviction(policy.into())),
    }
    if info.text("aof_enabled") != "1" {
        return Some(UnsafeSetting::NoAppendOnly);
    }
    let stops = info.get("min_slaves_good_slaves").is_some();
    (durability == Durability::Replicated && !stops).then_some(UnsafeSetting::NoReplicas)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# Server\r\nredis_version:7.0.15\r\nrun_id:aa\r\n\r\n# Memory\r\n\
        maxmemory_policy:noeviction\r\n# Persistence\r\nloading:0\r\naof_enabled:1\r\n# Replication\r\n\
        role:master\r\nconnected_slaves:2\r\nmin_slaves_good_slaves:2\r\nmaster_replid:bb\r\n\
        master_replid2:00\r\n# Cluster\r\ncluster_enabled:0\r\n";

    fn parse(info: &str, durability: Durability) -> Result<Server, Reason> {
        let host = "redis".into();
        Server::parse(&Address::Tcp { host, port: 6379 }, info, durability)?.checked()
    }

    /// What is said of a server that differs in this.
    fn wrong(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from), "{from}");
        let parsed = parse(&GOOD.replace(from, to), Durability::Replicated);
        parsed.unwrap_err().to_string()
    }

    #[test]
    fn a_fit_server_says_which_data_it_has() {
        let server = parse(GOOD, Durability::Replicated).unwrap();
        let (run_id, replid) = ("aa".into(), "bb".into());
        assert_eq!(server.origin, Origin { run_id, replid });
        assert_eq!(
            (server.version.to_string(), server.replicas),
            ("7.0".to_owned(), 2)
        );
    }

    #[test]
    fn an_unfit_server_is_told_in_one_line_with_what_to_set() {
        let told = [
            wrong(":7.0.15", ":6.2.14"),
            wrong("redis_version:7.0.15", "x:y"),
            wrong("loading:0", "loading:1"),
            wrong("cluster_enabled:0", "cluster_enabled:1"),
            wrong("role:master", "role:slave"),
            wrong(":noeviction", ":allkeys-lru"),
            wrong("aof_enabled:1", "aof_enabled:0"),
            wrong("min_slaves_good_slaves:2\r\n", ""),
        ];
        let expected = [
            "store.redis: redis:6379 is version 6.2.14: 7.0 or newer is needed, which has functions",
            "store.redis: redis:6379 is version : 7.0 or newer is needed, which has functions",
            "store.redis: redis:6379 is loading its data",
            "store.redis: redis:6379 runs with cluster-enabled yes, and failover of a Redis Cluster is not followed: use a single server, or Sentinel",
            "store.redis: redis:6379 is a replica, not a master: set the address of the master, or store.redis.sentinel",
            "store.redis: redis:6379 would lose records: maxmemory-policy is allkeys-lru: set maxmemory-policy noeviction",
            "store.redis: redis:6379 would lose records: appendonly is no: set appendonly yes",
            "store.redis: redis:6379 would lose records: min-replicas-to-write or min-replicas-max-lag is 0: set min-replicas-to-write 1 or more, or store.redis.durability: Single",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_server_may_be_alone_where_that_is_configured() {
        let alone = GOOD.replace("min_slaves_good_slaves:2\r\n", "");
        assert!(parse(&alone, Durability::Single).is_ok());
    }
}
