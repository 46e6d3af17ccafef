//! By which interfaces a member speaks with the world: those that a gate watches (spec/cluster.md, 7.1).
//!
//! They are the interface to the core, the one to the LACs, and those that routes lead to now: to the LACs'
//! prefixes, to RADIUS servers and to clients of dynamic authorization. Other interfaces of the machine,
//! those of pods for one, are none of ours. A route that moves later to an interface that is none of
//! these is not looked for: what leaves there has passed the gate's hooks of IP, and not the one more that
//! an interface has.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::collections::BTreeSet;

use futures::TryStreamExt as _;
use ipnet::{IpNet, Ipv4Net};
use rtnetlink::packet_route::route::{RouteAttribute, RouteMessage};
use rtnetlink::{Handle, RouteMessageBuilder};

use super::link::{default_interface, index_of, name_of, refused};
use super::{HostError, INTERFACE};

/// The interface of the machine's own addresses: nothing leaves there.
const LOOPBACK: &str = "lo";

/// Begins what is routed in the internet of IPv6 (RFC 4291, section 2.4).
const GLOBAL: Ipv6Addr = Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 1);

/// Whom a member speaks with.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Ways {
    /// The interface to the core; `None`: by the default route.
    pub(crate) core: Option<String>,
    /// The interface to the LACs; `None`: by the routes to them.
    pub(crate) access: Option<String>,
    /// Who else is spoken with.
    pub(crate) others: BTreeSet<IpNet>,
}

impl Ways {
    /// The interfaces, all of which exist. The network namespace is that of the process.
    ///
    /// # Errors
    /// One that is named is not there, or none leads to the core.
    pub(crate) async fn interfaces(&self) -> Result<BTreeSet<String>, HostError> {
        let opened = rtnetlink::new_connection();
        let (connection, handle, _) = opened.map_err(|error| HostError::Netlink {
            doing: "open a netlink socket".to_owned(),
            cause: error.to_string(),
        })?;
        let connection = tokio::spawn(connection);
        let found = self.found(&handle).await;
        connection.abort();
        found
    }

    async fn found(&self, handle: &Handle) -> Result<BTreeSet<String>, HostError> {
        let ours = index_of(handle, INTERFACE).await?;
        let mut found = BTreeSet::new();
        match &self.core {
            None => found.insert(default_interface(handle, ours).await?),
            Some(core) => match index_of(handle, core).await? {
                Some(_) => found.insert(core.clone()),
                None => return Err(HostError::NoInterface(core.clone())),
            },
        };
        if let Some(access) = &self.access {
            if index_of(handle, access).await?.is_none() {
                return Err(HostError::NoAccess(access.clone()));
            }
            found.insert(access.clone());
        }
        for prefix in &self.others {
            found.extend(way(handle, *prefix).await?);
        }
        found.retain(|name| name != LOOPBACK && name != INTERFACE);
        Ok(found)
    }
}

/// The interface by which this machine sends to a prefix now; `None`: it does not.
async fn way(handle: &Handle, prefix: IpNet) -> Result<Option<String>, HostError> {
    if prefix == IpNet::V4(Ipv4Net::default()) {
        return match default_interface(handle, None).await {
            Ok(name) => Ok(Some(name)),
            Err(HostError::NoDefaultRoute) => Ok(None),
            Err(error) => Err(error),
        };
    }
    let question = question(host_of(prefix));
    let answer = handle.route().get(question).execute().try_next().await;
    match answer {
        Ok(route) => match route.as_ref().and_then(interface_of) {
            Some(index) => name_of(handle, index).await,
            None => Ok(None),
        },
        // There is no route, or one that leads nowhere.
        Err(rtnetlink::Error::NetlinkError(_)) => Ok(None),
        Err(error) => Err(refused("read the routes", &error)),
    }
}

/// An address of a host in a prefix.
fn host_of(prefix: IpNet) -> IpAddr {
    let first = prefix.hosts().next();
    match prefix {
        IpNet::V6(all) if all.prefix_len() == 0 => IpAddr::V6(GLOBAL),
        IpNet::V4(_) | IpNet::V6(_) => first.unwrap_or_else(|| prefix.network()),
    }
}

fn question(to: IpAddr) -> RouteMessage {
    match to {
        IpAddr::V4(to) => RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(to, 32)
            .build(),
        IpAddr::V6(to) => RouteMessageBuilder::<Ipv6Addr>::new()
            .destination_prefix(to, 128)
            .build(),
    }
}

fn interface_of(route: &RouteMessage) -> Option<u32> {
    route.attributes.iter().find_map(|attribute| {
        if let RouteAttribute::Oif(index) = attribute {
            Some(*index)
        } else {
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_looked_for_by_one_of_its_hosts() {
        for (prefix, host) in [
            ("198.51.100.0/24", "198.51.100.1"),
            ("10.0.0.5/32", "10.0.0.5"),
            ("10.0.0.4/31", "10.0.0.4"),
            ("2001:db8::/32", "2001:db8::"),
            ("2001:db8::5/128", "2001:db8::5"),
            ("::/0", "2000::1"),
        ] {
            let prefix: IpNet = prefix.parse().unwrap();
            assert_eq!(host_of(prefix).to_string(), host, "{prefix}");
        }
    }

    #[tokio::test]
    async fn an_interface_that_is_named_and_not_there_is_told_by_its_field() {
        let ways = |core: &str, access: Option<&str>| Ways {
            core: Some(core.to_owned()),
            access: access.map(str::to_owned),
            others: BTreeSet::from(["127.0.0.2/32".parse().unwrap()]),
        };
        let told = ways("no-such-if", None).interfaces().await.unwrap_err();
        assert!(
            told.to_string().starts_with("spec.core.interface: "),
            "{told}"
        );
        let told = ways(LOOPBACK, Some("no-such-if")).interfaces().await;
        let told = told.unwrap_err().to_string();
        assert!(
            told.starts_with("spec.datapath.accessInterface: "),
            "{told}"
        );
        // What goes to this machine itself leaves by no interface.
        let found = ways(LOOPBACK, None).interfaces().await.unwrap();
        assert_eq!(found, BTreeSet::new());
    }
}
