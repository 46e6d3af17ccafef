//! What a LAC has already settled with a subscriber (RFC 2661, 4.4.5).

/// The proxy AVPs of an Incoming-Call-Connected.
#[derive(Clone, Copy, Debug)]
pub struct Proxy<'a> {
    /// The LCP that the LAC negotiated, if both of its AVPs came.
    pub lcp: Option<ProxyLcp<'a>>,
    /// The authentication that the LAC overheard.
    pub authentication: Option<ProxyAuth<'a>>,
}

/// The last Configure-Requests of both sides, each from its first option on.
#[derive(Clone, Copy, Debug)]
pub struct ProxyLcp<'a> {
    /// What the LAC sent to the subscriber, in our place: Last Sent LCP CONFREQ.
    pub last_sent: &'a [u8],
    /// What the subscriber sent: Last Received LCP CONFREQ.
    pub last_received: &'a [u8],
}

/// The Proxy Authen AVPs. The response may be a password, so `Debug` shows nothing of it.
#[derive(Clone, Copy)]
pub struct ProxyAuth<'a> {
    /// Proxy Authen Type.
    pub kind: ProxyAuthKind,
    /// Proxy Authen Name.
    pub name: &'a [u8],
    /// Proxy Authen Challenge; empty where the method has none.
    pub challenge: &'a [u8],
    /// Proxy Authen ID.
    pub id: u8,
    /// Proxy Authen Response.
    pub response: &'a [u8],
}

impl core::fmt::Debug for ProxyAuth<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ProxyAuth")
            .field("kind", &self.kind)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// How the LAC talked to the subscriber (RFC 2661, 4.4.5, Proxy Authen Type).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ProxyAuthKind {
    /// 1: name and password as text.
    Text,
    /// 2: CHAP.
    Chap,
    /// 3: PAP.
    Pap,
    /// 4: not at all.
    None,
    /// 5: MS-CHAP, version 1.
    MsChapV1,
    /// Anything else.
    Other(u16),
}

impl From<u16> for ProxyAuthKind {
    fn from(kind: u16) -> Self {
        match kind {
            1 => Self::Text,
            2 => Self::Chap,
            3 => Self::Pap,
            4 => Self::None,
            5 => Self::MsChapV1,
            other => Self::Other(other),
        }
    }
}
