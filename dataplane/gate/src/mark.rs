//! How the kernel tells apart what the process's sockets send: by their mark (`SO_MARK`).
//!
//! The T bit of L2TP does not do: PPP negotiation has none, and needs the master's authority all the
//! same. Both values leave those bits alone that the usual cluster networks test: kube-proxy
//! `0xc000`, Calico `0xffff_0000`, Cilium `0x0f00` and above, the AWS CNI `0x80`.

use std::io;
use std::os::fd::AsFd;

use nix::sys::socket::{setsockopt, sockopt};

/// What a socket is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mark {
    /// The master's word: L2TP control, PPP negotiation, RADIUS, dynamic authorization.
    Control,
    /// Subscribers' packets, and answers to LCP echo.
    Data,
}

impl Mark {
    /// The value of `SO_MARK`.
    pub const fn value(self) -> u32 {
        match self {
            Self::Control => 0x61,
            Self::Data => 0x62,
        }
    }

    /// Marks what `socket` sends from now on. Needs `CAP_NET_ADMIN`.
    ///
    /// Copies of a socket share its mark; `lns-datapath` gives single packets another one.
    /// A packet that the gate drops makes the send fail with `EPERM`.
    pub fn set(self, socket: &impl AsFd) -> io::Result<()> {
        setsockopt(socket, sockopt::Mark, &self.value())?;
        Ok(())
    }
}
