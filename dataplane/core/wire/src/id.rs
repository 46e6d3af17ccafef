//! The four ids of an L2TP session, each its own type so that ours and the peer's cannot be swapped
//! (RFC 2661, 3.1 and 4.4.3: "Assigned Tunnel ID", "Assigned Session ID").

use core::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(pub u16);

        impl $name {
            /// The id before one is assigned; never given to anything.
            pub const NONE: Self = Self(0);

            /// Whether this is no assigned id.
            pub const fn is_none(self) -> bool {
                self.0 == 0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// A tunnel id that we assigned: what a peer writes into the header of what it sends us.
    TunnelId
}
id! {
    /// A session id that we assigned.
    SessionId
}
id! {
    /// A tunnel id that the peer assigned: what we write into the header of what we send.
    PeerTunnelId
}
id! {
    /// A session id that the peer assigned.
    PeerSessionId
}
