//! The machine of an incoming call (RFC 2661, 7.4), on the LNS's side and on the LAC's.
//!
//! A call has no queue, no timer and no heap: its messages go through the tunnel's channel, its time is
//! kept by the node (see [`CALL_SETUP`](crate::limits::CALL_SETUP)). The states of 7.4 before the LAC
//! has sent its ICRQ are the LAC's own affair and not here.

use lns_wire::id::{PeerSessionId, SessionId};
use lns_wire::l2tp::{Accm, CallErrors, Icrp, Icrq, Message, MessageType};

use crate::reason::CdnReason;

/// One call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Call {
    local: SessionId,
    peer: PeerSessionId,
    state: CallState,
}

/// Where a call is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum CallState {
    /// LAC: the ICRQ is sent, the ICRP is not here.
    WaitReply,
    /// LNS: the ICRP is sent, the ICCN is not here.
    WaitConnect,
    /// Data flows.
    Established,
    /// It has ended.
    Closed,
}

impl CallState {
    /// All, for tables.
    pub const ALL: [Self; 4] = [
        Self::WaitReply,
        Self::WaitConnect,
        Self::Established,
        Self::Closed,
    ];

    /// The RFC's word for it; also the value of a metric's label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::WaitReply => "wait-reply",
            Self::WaitConnect => "wait-connect",
            Self::Established => "established",
            Self::Closed => "closed",
        }
    }
}

/// What the node does after a message of a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CallAction {
    /// LNS: the ICCN came, the call is up.
    Connected,
    /// LAC: the ICRP came; the ICCN is to be sent, the call is up.
    Replied,
    /// The peer has ended the call.
    Closed,
    /// The message has no place here: the call is closed, and a CDN is to be sent.
    Refused(CdnReason),
    /// The line's errors.
    Errors(CallErrors),
    /// The line's character maps.
    LinkInfo(Accm),
    /// Nothing: the call has ended already.
    Ignored,
}

/// What the table says of a message in a state.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum CallStep {
    /// ICCN where it is waited for.
    Connect,
    /// ICRP where it is waited for.
    Reply,
    /// CDN.
    Clear,
    /// WEN.
    Errors,
    /// SLI.
    LinkInfo,
    /// Not allowed: CDN, clean up.
    Refuse,
    /// Too late to matter.
    Ignore,
}

/// The table of RFC 2661, 7.4.1 and 7.4.2, with WEN and SLI, which the RFC allows once a call is up.
/// Messages of the tunnel never come here; they would be refused.
pub const fn call_step(state: CallState, kind: MessageType) -> CallStep {
    match (state, kind) {
        (CallState::Closed, _) => CallStep::Ignore,
        (_, MessageType::Cdn) => CallStep::Clear,
        (CallState::WaitConnect, MessageType::Iccn) => CallStep::Connect,
        (CallState::WaitReply, MessageType::Icrp) => CallStep::Reply,
        (CallState::Established, MessageType::Wen) => CallStep::Errors,
        (CallState::Established, MessageType::Sli) => CallStep::LinkInfo,
        (
            CallState::WaitReply | CallState::WaitConnect | CallState::Established,
            MessageType::Sccrq
            | MessageType::Sccrp
            | MessageType::Scccn
            | MessageType::StopCcn
            | MessageType::Hello
            | MessageType::Ocrq
            | MessageType::Ocrp
            | MessageType::Occn
            | MessageType::Icrq
            | MessageType::Icrp
            | MessageType::Iccn
            | MessageType::Wen
            | MessageType::Sli,
        ) => CallStep::Refuse,
    }
}

impl Call {
    /// LNS: takes the call that `icrq` announces; [`Call::icrp`] is to be sent.
    pub const fn answer(local: SessionId, icrq: &Icrq<'_>) -> Self {
        Self {
            local,
            peer: icrq.assigned_session,
            state: CallState::WaitConnect,
        }
    }

    /// LNS: a call that another node has answered, and that was so far then.
    pub const fn restore(local: SessionId, peer: PeerSessionId, state: CallState) -> Self {
        Self { local, peer, state }
    }

    /// LAC: a call whose ICRQ, with `local` as its Assigned Session ID, is to be sent.
    pub const fn offer(local: SessionId) -> Self {
        Self {
            local,
            peer: PeerSessionId::NONE,
            state: CallState::WaitReply,
        }
    }

    /// What a message of this call asks for. After [`CallAction::Refused`] the call is closed.
    pub fn handle(&mut self, message: &Message<'_>) -> CallAction {
        match (call_step(self.state, message.kind()), message) {
            (CallStep::Connect, _) => {
                self.state = CallState::Established;
                CallAction::Connected
            }
            (CallStep::Reply, Message::Icrp(icrp)) => {
                self.peer = icrp.assigned_session;
                self.state = CallState::Established;
                CallAction::Replied
            }
            (CallStep::Clear, _) => {
                self.state = CallState::Closed;
                CallAction::Closed
            }
            (CallStep::Errors, Message::Wen(wen)) => CallAction::Errors(wen.errors),
            (CallStep::LinkInfo, Message::Sli(sli)) => CallAction::LinkInfo(sli.accm),
            (CallStep::Ignore, _) => CallAction::Ignored,
            (CallStep::Refuse | CallStep::Reply | CallStep::Errors | CallStep::LinkInfo, _) => {
                self.state = CallState::Closed;
                CallAction::Refused(CdnReason::Fsm)
            }
        }
    }

    /// We end the call: whether a CDN is to be sent, which is so unless it had ended already.
    pub fn close(&mut self) -> bool {
        let was_open = self.state != CallState::Closed;
        self.state = CallState::Closed;
        was_open
    }

    /// The ICRP that answers the ICRQ.
    pub const fn icrp(&self) -> Message<'static> {
        Message::Icrp(Icrp {
            assigned_session: PeerSessionId(self.local.0),
        })
    }

    /// Our id.
    pub const fn local(&self) -> SessionId {
        self.local
    }

    /// The peer's id; none while a LAC waits for the ICRP.
    pub const fn peer(&self) -> PeerSessionId {
        self.peer
    }

    /// Where it is.
    pub const fn state(&self) -> CallState {
        self.state
    }
}

#[cfg(test)]
mod tests {
    use lns_wire::l2tp::{Cdn, Iccn, Sli, Wen};

    use super::*;

    fn answered() -> Call {
        let icrq = Icrq {
            assigned_session: PeerSessionId(5),
            ..Icrq::default()
        };
        Call::answer(SessionId(9), &icrq)
    }

    #[test]
    fn an_incoming_call_goes_from_icrq_to_iccn_on_both_sides() {
        let mut lns = answered();
        let mut lac = Call::offer(SessionId(5));
        assert_eq!(lac.handle(&lns.icrp()), CallAction::Replied);
        assert_eq!(
            (lac.peer(), lns.peer()),
            (PeerSessionId(9), PeerSessionId(5))
        );
        assert_eq!(
            lns.handle(&Message::Iccn(Iccn::default())),
            CallAction::Connected
        );
        assert_eq!(
            (lac.state(), lns.state()),
            (CallState::Established, CallState::Established)
        );
        assert_eq!(
            lns.handle(&Message::Wen(Wen::default())),
            CallAction::Errors(CallErrors::default())
        );
        assert_eq!(
            lns.handle(&Message::Sli(Sli::default())),
            CallAction::LinkInfo(Accm::default())
        );
        assert_eq!(
            lns.handle(&Message::Cdn(Cdn::default())),
            CallAction::Closed
        );
        assert!(!lns.close(), "a CDN is not answered with a CDN");
    }

    #[test]
    fn a_message_in_the_wrong_state_closes_the_call_once() {
        let mut call = answered();
        assert_eq!(
            call.handle(&call.icrp()),
            CallAction::Refused(CdnReason::Fsm)
        );
        assert_eq!(
            call.handle(&Message::Iccn(Iccn::default())),
            CallAction::Ignored
        );
        let mut up = answered();
        up.handle(&Message::Iccn(Iccn::default()));
        let again = up.handle(&Message::Iccn(Iccn::default()));
        assert_eq!(again, CallAction::Refused(CdnReason::Fsm));
    }

    #[test]
    fn a_call_that_we_end_ends_once() {
        let mut call = answered();
        assert!(call.close());
        assert!(!call.close());
    }
}
