//! What can go wrong, made to be read by an operator.

use core::fmt;
use core::net::IpAddr;
use std::io;

use crate::plan::PlanError;

/// The kernel refused something, or could not be asked.
#[derive(Debug)]
pub struct KernelError {
    doing: String,
    said: Option<String>,
    source: io::Error,
}

impl KernelError {
    pub(crate) fn new(doing: &str, source: io::Error) -> Self {
        Self {
            doing: doing.to_owned(),
            said: None,
            source,
        }
    }

    pub(crate) fn said(mut self, said: Option<String>) -> Self {
        self.said = said;
        self
    }

    pub(crate) fn number(&self) -> Option<i32> {
        self.source.raw_os_error()
    }
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.doing, self.source)?;
        match &self.said {
            Some(said) => write!(f, " ({said})"),
            None => Ok(()),
        }
    }
}

impl core::error::Error for KernelError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Why the gate is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// The plan contradicts itself.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Another process has this cluster's gate on this node.
    #[error(
        "the gate of {0} belongs to another process of this node that is still there: one lnsd per cluster and node"
    )]
    Taken(String),
    /// An address of the cluster is one of the node's own.
    #[error(
        "{address} is an address of {interface}: an address of the cluster moves between nodes and can be none of the node's own, which the gate would cut off; lnsd itself puts it on the loopback interface"
    )]
    NodesOwn {
        /// The cluster's.
        address: IpAddr,
        /// The interface that has it.
        interface: String,
    },
    /// A fenced interface does not exist.
    #[error("there is no interface {0}, which should be fenced: name one that exists")]
    NoInterface(String),
    /// The table is not there: somebody removed it.
    #[error("the gate of {0} is gone from nftables: the next hold makes it anew")]
    Gone(String),
    /// The kernel refused.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

impl GateError {
    /// Whether another plan would do, and nothing was changed for this one.
    pub(crate) const fn is_about_the_plan(&self) -> bool {
        match self {
            Self::Plan(_) | Self::NodesOwn { .. } | Self::NoInterface(_) => true,
            Self::Taken(_) | Self::Gone(_) | Self::Kernel(_) => false,
        }
    }
}
