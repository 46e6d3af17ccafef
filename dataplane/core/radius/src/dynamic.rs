//! Dynamic authorization (RFC 5176): who may ask, and what they share with us.

use std::sync::Arc;

use ipnet::IpNet;
use lns_wire::radius::AttributeList;

use crate::config::{Require, Secrets};

/// All that the server of dynamic authorization is configured with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Config {
    /// Who may ask; the first that matches the source address decides.
    pub clients: Vec<Client>,
    /// NAS-Identifier and NAS-IP-Address or NAS-IPv6-Address: a request that has one must have ours.
    pub identity: AttributeList,
}

/// One who may ask.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Client {
    /// Its name: the key over a reload, and a metric label.
    pub name: Arc<str>,
    /// Where its requests come from.
    pub from: Vec<IpNet>,
    /// What it shares with us.
    pub secrets: Secrets,
    /// Whether its requests must carry a Message-Authenticator.
    pub message_authenticator: Require,
}
