//! Interface, addresses and routes by rtnetlink.

use core::net::{IpAddr, Ipv4Addr};
use std::collections::{BTreeMap, BTreeSet};

use futures::TryStreamExt as _;
use ipnet::Ipv4Net;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::LinkAttribute;
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use rtnetlink::{AddressMessageBuilder, Handle, LinkUnspec, RouteMessageBuilder};
use tokio::task::JoinHandle;

use super::{HostError, Plan};

/// Whose routes these are, in `ip route` and for routing daemons: a number that iproute2 names
/// nothing else. Shown as `proto 171`.
const PROTOCOL: u8 = 171;

/// What fits a subscriber's link at most; smaller links are the workers' affair (ICMP).
const MTU: u32 = 1500;

/// The subscribers' interface and what is set on it.
#[derive(Debug)]
pub(super) struct Links {
    handle: Handle,
    /// Answers the handle; ends with it.
    connection: JoinHandle<()>,
    index: u32,
    gateways: BTreeSet<Ipv4Addr>,
    routes: BTreeMap<Ipv4Net, Ipv4Addr>,
}

impl Links {
    /// Finds the interface.
    pub(super) async fn open(interface: &str) -> Result<Self, HostError> {
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(|error| HostError::Netlink {
                doing: "open a netlink socket".to_owned(),
                cause: error.to_string(),
            })?;
        let connection = tokio::spawn(connection);
        let index = index_of(&handle, interface)
            .await?
            .ok_or_else(|| HostError::NoInterface(interface.to_owned()))?;
        Ok(Self {
            handle,
            connection,
            index,
            gateways: BTreeSet::new(),
            routes: BTreeMap::new(),
        })
    }

    /// The interface that leads to the core: `named`, which must exist, or the default route's.
    pub(super) async fn core_interface(&self, named: Option<&str>) -> Result<String, HostError> {
        let Some(name) = named else {
            return default_interface(&self.handle, Some(self.index)).await;
        };
        match index_of(&self.handle, name).await? {
            Some(_) => Ok(name.to_owned()),
            None => Err(HostError::NoInterface(name.to_owned())),
        }
    }

    /// Sets MTU and brings the interface up.
    pub(super) async fn up(&self) -> Result<(), HostError> {
        let message = LinkUnspec::new_with_index(self.index).mtu(MTU).up().build();
        done(
            "bring the subscribers' interface up",
            self.handle.link().set(message).execute().await,
        )
    }

    /// Whether all that `plan` routes to subscribers is free: it takes no address and no route from
    /// another interface.
    pub(super) async fn check(&self, plan: &Plan) -> Result<(), HostError> {
        let gateways = plan.gateways.iter().copied().map(Ipv4Net::from);
        let wanted: Vec<Ipv4Net> = plan.subscribers.keys().copied().chain(gateways).collect();
        let given = |address: &Ipv4Addr| {
            let mut excluded = plan.excluded.iter();
            !excluded.any(|excluded| excluded.contains(address))
        };
        let addresses = self.addresses().await?.into_iter();
        for (address, index) in addresses.filter(|(address, _)| given(address)) {
            let Some(wanted) = wanted.iter().find(|prefix| prefix.contains(&address)) else {
                continue;
            };
            return self
                .taken(*wanted, &format!("the address {address}"), index)
                .await;
        }
        for (prefix, index) in self.main_routes().await? {
            if plan.subscribers.contains_key(&prefix) {
                return self
                    .taken(prefix, &format!("the route to {prefix}"), index)
                    .await;
            }
        }
        Ok(())
    }

    async fn taken(&self, wanted: Ipv4Net, what: &str, index: u32) -> Result<(), HostError> {
        let name = name_of(&self.handle, index).await?;
        let by = format!(
            "{what} of {}",
            name.as_deref().unwrap_or("another interface")
        );
        Err(HostError::Taken { wanted, by })
    }

    /// The IPv4 addresses of the other interfaces.
    async fn addresses(&self) -> Result<Vec<(Ipv4Addr, u32)>, HostError> {
        let mut answers = self.handle.address().get().execute();
        let mut found = Vec::new();
        while let Some(message) = answers
            .try_next()
            .await
            .map_err(|error| refused("read the addresses", &error))?
        {
            let index = message.header.index;
            let addresses = message.attributes.iter().filter_map(|attribute| {
                if let AddressAttribute::Local(IpAddr::V4(address)) = attribute {
                    Some((*address, index))
                } else {
                    None
                }
            });
            found.extend(addresses.filter(|(_, index)| *index != self.index));
        }
        Ok(found)
    }

    /// The IPv4 routes of the main table that lead to other interfaces.
    async fn main_routes(&self) -> Result<Vec<(Ipv4Net, u32)>, HostError> {
        let mut answers = self
            .handle
            .route()
            .get(RouteMessageBuilder::<Ipv4Addr>::new().build())
            .execute();
        let mut found = Vec::new();
        while let Some(route) = answers
            .try_next()
            .await
            .map_err(|error| refused("read the routes", &error))?
        {
            found.extend(main_route(&route).filter(|(_, index)| *index != self.index));
        }
        Ok(found)
    }

    /// Makes addresses and routes those of `plan`. Addresses come before the routes that name them
    /// as a source, and go after them.
    pub(super) async fn set(&mut self, plan: &Plan) -> Result<(), HostError> {
        for address in plan.gateways.difference(&self.gateways.clone()) {
            let request = self
                .handle
                .address()
                .add(self.index, IpAddr::V4(*address), 32)
                .replace();
            done(
                &format!("add the address {address}"),
                request.execute().await,
            )?;
            self.gateways.insert(*address);
        }
        for (prefix, source) in &plan.subscribers {
            self.add(*prefix, *source).await?;
        }
        self.remove_beside(plan).await
    }

    /// Routes a prefix to the interface.
    pub(super) async fn add(&mut self, prefix: Ipv4Net, source: Ipv4Addr) -> Result<(), HostError> {
        let ours = self.routes.get(&prefix);
        if ours == Some(&source) {
            return Ok(());
        }
        let request = self.handle.route().add(self.route(prefix, source));
        // Only a route of our own is ever replaced.
        let request = if ours.is_some() {
            request.replace()
        } else {
            request
        };
        done(
            &format!("add the route to {prefix}"),
            request.execute().await,
        )?;
        self.routes.insert(prefix, source);
        Ok(())
    }

    /// Takes a route back, if it is one of ours.
    pub(super) async fn remove(&mut self, prefix: Ipv4Net) -> Result<(), HostError> {
        let Some(source) = self.routes.get(&prefix) else {
            return Ok(());
        };
        let request = self.handle.route().del(self.route(prefix, *source));
        done(
            &format!("remove the route to {prefix}"),
            request.execute().await,
        )?;
        self.routes.remove(&prefix);
        Ok(())
    }

    async fn remove_beside(&mut self, plan: &Plan) -> Result<(), HostError> {
        let beside = self.routes.keys().copied();
        let beside: Vec<Ipv4Net> = beside
            .filter(|prefix| !plan.subscribers.contains_key(prefix))
            .collect();
        for prefix in beside {
            self.remove(prefix).await?;
        }
        for address in self.gateways.clone().difference(&plan.gateways) {
            let request = self.handle.address().del(self.address(*address));
            done(
                &format!("remove the address {address}"),
                request.execute().await,
            )?;
            self.gateways.remove(address);
        }
        Ok(())
    }

    fn address(&self, address: Ipv4Addr) -> AddressMessage {
        AddressMessageBuilder::<Ipv4Addr>::new()
            .index(self.index)
            .address(address, 32)
            .build()
    }

    fn route(&self, prefix: Ipv4Net, source: Ipv4Addr) -> RouteMessage {
        RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(prefix.network(), prefix.prefix_len())
            .output_interface(self.index)
            .pref_source(source)
            .protocol(RouteProtocol::from(PROTOCOL))
            .scope(RouteScope::Link)
            .build()
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// The interface of the default route, other than this one.
pub(super) async fn default_interface(
    handle: &Handle,
    except: Option<u32>,
) -> Result<String, HostError> {
    let every = RouteMessageBuilder::<Ipv4Addr>::new().build();
    let mut routes = handle.route().get(every).execute();
    let mut best: Option<(u32, u32)> = None;
    while let Some(route) = routes
        .try_next()
        .await
        .map_err(|error| refused("read the routes", &error))?
    {
        if let Some(candidate) = default_route(&route).filter(|(_, index)| Some(*index) != except) {
            best = Some(best.map_or(candidate, |best| best.min(candidate)));
        }
    }
    let (_, index) = best.ok_or(HostError::NoDefaultRoute)?;
    name_of(handle, index)
        .await?
        .ok_or(HostError::NoDefaultRoute)
}

/// Metric and interface of a default route of the main table.
fn default_route(route: &RouteMessage) -> Option<(u32, u32)> {
    let header = &route.header;
    if header.destination_prefix_length != 0
        || header.table != RouteHeader::RT_TABLE_MAIN
        || header.kind != RouteType::Unicast
    {
        return None;
    }
    let metric = route.attributes.iter().find_map(|attribute| {
        if let RouteAttribute::Priority(metric) = attribute {
            Some(*metric)
        } else {
            None
        }
    });
    let index = route.attributes.iter().find_map(|attribute| {
        if let RouteAttribute::Oif(index) = attribute {
            Some(*index)
        } else {
            None
        }
    })?;
    Some((metric.unwrap_or(0), index))
}

/// Destination and interface of a route of the main table.
fn main_route(route: &RouteMessage) -> Option<(Ipv4Net, u32)> {
    if route.header.table != RouteHeader::RT_TABLE_MAIN {
        return None;
    }
    let destination = route.attributes.iter().find_map(|attribute| {
        if let RouteAttribute::Destination(RouteAddress::Inet(address)) = attribute {
            Some(*address)
        } else {
            None
        }
    })?;
    let index = route.attributes.iter().find_map(|attribute| {
        if let RouteAttribute::Oif(index) = attribute {
            Some(*index)
        } else {
            None
        }
    })?;
    let prefix = Ipv4Net::new(destination, route.header.destination_prefix_length).ok()?;
    Some((prefix, index))
}

/// The interface's index; `None`: there is none of that name.
pub(super) async fn index_of(handle: &Handle, name: &str) -> Result<Option<u32>, HostError> {
    let links = handle
        .link()
        .get()
        .match_name(name)
        .execute()
        .try_next()
        .await;
    match links {
        Ok(link) => Ok(link.map(|link| link.header.index)),
        Err(error) if is_no_device(&error) => Ok(None),
        Err(error) => Err(refused("read the interfaces", &error)),
    }
}

pub(super) async fn name_of(handle: &Handle, index: u32) -> Result<Option<String>, HostError> {
    let link = handle
        .link()
        .get()
        .match_index(index)
        .execute()
        .try_next()
        .await;
    let link = link.map_err(|error| refused("read the interfaces", &error))?;
    Ok(link.and_then(|link| {
        link.attributes.into_iter().find_map(|attribute| {
            if let LinkAttribute::IfName(name) = attribute {
                Some(name)
            } else {
                None
            }
        })
    }))
}

fn is_no_device(error: &rtnetlink::Error) -> bool {
    let rtnetlink::Error::NetlinkError(message) = error else {
        return false;
    };
    matches!(
        message.to_io().raw_os_error(),
        Some(nix::libc::ENODEV | nix::libc::ENXIO)
    )
}

fn done(doing: &str, result: Result<(), rtnetlink::Error>) -> Result<(), HostError> {
    result.map_err(|error| refused(doing, &error))
}

pub(super) fn refused(doing: &str, error: &rtnetlink::Error) -> HostError {
    let cause = if let rtnetlink::Error::NetlinkError(message) = error {
        message.to_io().to_string()
    } else {
        error.to_string()
    };
    HostError::Netlink {
        doing: doing.to_owned(),
        cause,
    }
}
