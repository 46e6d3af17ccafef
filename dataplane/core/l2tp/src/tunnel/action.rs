//! The table of RFC 2661, 7.2.1: what a message does in a state.

use lns_wire::l2tp::MessageType;

/// Where a control connection is. The RFC's idle is a tunnel that does not exist.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum TunnelState {
    /// Our SCCRQ is sent, the SCCRP is not here.
    WaitCtlReply,
    /// Our SCCRP is sent, the SCCCN is not here.
    WaitCtlConn,
    /// Calls may come.
    Established,
    /// Our `StopCCN` is not acknowledged.
    Stopping,
    /// The peer's `StopCCN` came: if it comes again, it is acknowledged again (RFC 2661, 5.7).
    Lingering,
    /// Over.
    Closed,
}

impl TunnelState {
    /// All, for tables.
    pub const ALL: [Self; 6] = [
        Self::WaitCtlReply,
        Self::WaitCtlConn,
        Self::Established,
        Self::Stopping,
        Self::Lingering,
        Self::Closed,
    ];

    /// Whether it is up or may come up.
    pub const fn is_open(self) -> bool {
        match self {
            Self::WaitCtlReply | Self::WaitCtlConn | Self::Established => true,
            Self::Stopping | Self::Lingering | Self::Closed => false,
        }
    }

    /// The RFC's word for it, or ours where it has none; also the value of a metric's label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::WaitCtlReply => "wait-ctl-reply",
            Self::WaitCtlConn => "wait-ctl-conn",
            Self::Established => "established",
            Self::Stopping => "stopping",
            Self::Lingering => "lingering",
            Self::Closed => "closed",
        }
    }
}

/// What is done with a message that came in its order.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Action {
    /// SCCRP: check it, send the SCCCN, be established.
    Connect,
    /// SCCCN: check it, be established.
    Complete,
    /// `StopCCN`: clean up, and linger.
    Stop,
    /// HELLO: being acknowledged is all it wants.
    Acknowledge,
    /// A message of a call, for the node.
    Deliver,
    /// Not allowed: `StopCCN` with result 7, clean up.
    FsmError,
    /// Too late to matter; acknowledged all the same.
    Ignore,
}

/// The table, exhaustive.
///
/// Two additions to the RFC's: a `StopCCN` ends a tunnel of ours that is stopping too, for the peer then
/// waits for nothing; and a HELLO or a call before the tunnel is up is as wrong as an SCCRQ.
pub const fn action(state: TunnelState, kind: MessageType) -> Action {
    use MessageType as M;
    use TunnelState as S;
    match (state, kind) {
        (S::WaitCtlReply | S::WaitCtlConn | S::Established | S::Stopping, M::StopCcn) => {
            Action::Stop
        }
        (S::Stopping | S::Lingering | S::Closed, _) => Action::Ignore,
        (S::WaitCtlReply, M::Sccrp) => Action::Connect,
        (S::WaitCtlConn, M::Scccn) => Action::Complete,
        (S::Established, M::Hello) => Action::Acknowledge,
        (
            S::Established,
            M::Ocrq | M::Ocrp | M::Occn | M::Icrq | M::Icrp | M::Iccn | M::Cdn | M::Wen | M::Sli,
        ) => Action::Deliver,
        (S::Established, M::Sccrq | M::Sccrp | M::Scccn)
        | (S::WaitCtlReply, M::Sccrq | M::Scccn)
        | (S::WaitCtlConn, M::Sccrq | M::Sccrp)
        | (
            S::WaitCtlReply | S::WaitCtlConn,
            M::Hello
            | M::Ocrq
            | M::Ocrp
            | M::Occn
            | M::Icrq
            | M::Icrp
            | M::Iccn
            | M::Cdn
            | M::Wen
            | M::Sli,
        ) => Action::FsmError,
    }
}
