//! The rows of the RFC 1661 table, one for each event; a cell for each state, in the order of
//! [`State::ALL`]. Actions have the RFC's three letters here, so that both can be laid side by side.

use super::{Action, Event, State, Transition};

pub(super) type Row = [Option<Transition>; 10];

pub(super) const fn row(event: Event) -> &'static Row {
    match event {
        Event::Up => &UP,
        Event::Down => &DOWN,
        Event::Open => &OPEN,
        Event::Close => &CLOSE,
        Event::TimeoutRetry => &TIMEOUT_RETRY,
        Event::TimeoutFinal => &TIMEOUT_FINAL,
        Event::RequestGood => &REQUEST_GOOD,
        Event::RequestBad => &REQUEST_BAD,
        Event::Ack => &ACK,
        Event::NakOrReject => &NAK_OR_REJECT,
        Event::TerminateRequest => &TERMINATE_REQUEST,
        Event::TerminateAck => &TERMINATE_ACK,
        Event::UnknownCode => &UNKNOWN_CODE,
        Event::RejectHarmless => &REJECT_HARMLESS,
        Event::RejectFatal => &REJECT_FATAL,
        Event::Echo => &ECHO,
    }
}

const fn to(next: State, actions: &'static [Action]) -> Transition {
    Transition { actions, next }
}

const TLU: Action = Action::ThisLayerUp;
const TLD: Action = Action::ThisLayerDown;
const TLS: Action = Action::ThisLayerStarted;
const TLF: Action = Action::ThisLayerFinished;
const IRC: Action = Action::InitializeRestartCount;
const ZRC: Action = Action::ZeroRestartCount;
const SCR: Action = Action::SendConfigureRequest;
const SCA: Action = Action::SendConfigureAck;
const SCN: Action = Action::SendConfigureNak;
const STR: Action = Action::SendTerminateRequest;
const STA: Action = Action::SendTerminateAck;
const SCJ: Action = Action::SendCodeReject;
const SER: Action = Action::SendEchoReply;

static UP: Row = [
    Some(to(State::Closed, &[])),
    Some(to(State::ReqSent, &[IRC, SCR])),
    None,
    None,
    None,
    None,
    None,
    None,
    None,
    None,
];

static DOWN: Row = [
    None,
    None,
    Some(to(State::Initial, &[])),
    Some(to(State::Starting, &[TLS])),
    Some(to(State::Initial, &[])),
    Some(to(State::Starting, &[])),
    Some(to(State::Starting, &[])),
    Some(to(State::Starting, &[])),
    Some(to(State::Starting, &[])),
    Some(to(State::Starting, &[TLD])),
];

static OPEN: Row = [
    Some(to(State::Starting, &[TLS])),
    Some(to(State::Starting, &[])),
    Some(to(State::ReqSent, &[IRC, SCR])),
    Some(to(State::Stopped, &[])),
    Some(to(State::Stopping, &[])),
    Some(to(State::Stopping, &[])),
    Some(to(State::ReqSent, &[])),
    Some(to(State::AckRcvd, &[])),
    Some(to(State::AckSent, &[])),
    Some(to(State::Opened, &[])),
];

static CLOSE: Row = [
    Some(to(State::Initial, &[])),
    Some(to(State::Initial, &[TLF])),
    Some(to(State::Closed, &[])),
    Some(to(State::Closed, &[])),
    Some(to(State::Closing, &[])),
    Some(to(State::Closing, &[])),
    Some(to(State::Closing, &[IRC, STR])),
    Some(to(State::Closing, &[IRC, STR])),
    Some(to(State::Closing, &[IRC, STR])),
    Some(to(State::Closing, &[TLD, IRC, STR])),
];

static TIMEOUT_RETRY: Row = [
    None,
    None,
    None,
    None,
    Some(to(State::Closing, &[STR])),
    Some(to(State::Stopping, &[STR])),
    Some(to(State::ReqSent, &[SCR])),
    Some(to(State::ReqSent, &[SCR])),
    Some(to(State::AckSent, &[SCR])),
    None,
];

static TIMEOUT_FINAL: Row = [
    None,
    None,
    None,
    None,
    Some(to(State::Closed, &[TLF])),
    Some(to(State::Stopped, &[TLF])),
    Some(to(State::Stopped, &[TLF])),
    Some(to(State::Stopped, &[TLF])),
    Some(to(State::Stopped, &[TLF])),
    None,
];

static REQUEST_GOOD: Row = [
    None,
    None,
    Some(to(State::Closed, &[STA])),
    Some(to(State::AckSent, &[IRC, SCR, SCA])),
    Some(to(State::Closing, &[])),
    Some(to(State::Stopping, &[])),
    Some(to(State::AckSent, &[SCA])),
    Some(to(State::Opened, &[SCA, TLU])),
    Some(to(State::AckSent, &[SCA])),
    Some(to(State::AckSent, &[TLD, SCR, SCA])),
];

static REQUEST_BAD: Row = [
    None,
    None,
    Some(to(State::Closed, &[STA])),
    Some(to(State::ReqSent, &[IRC, SCR, SCN])),
    Some(to(State::Closing, &[])),
    Some(to(State::Stopping, &[])),
    Some(to(State::ReqSent, &[SCN])),
    Some(to(State::AckRcvd, &[SCN])),
    Some(to(State::ReqSent, &[SCN])),
    Some(to(State::ReqSent, &[TLD, SCR, SCN])),
];

static ACK: Row = [
    None,
    None,
    Some(to(State::Closed, &[STA])),
    Some(to(State::Stopped, &[STA])),
    Some(to(State::Closing, &[])),
    Some(to(State::Stopping, &[])),
    Some(to(State::AckRcvd, &[IRC])),
    Some(to(State::ReqSent, &[SCR])),
    Some(to(State::Opened, &[IRC, TLU])),
    Some(to(State::ReqSent, &[TLD, SCR])),
];

static NAK_OR_REJECT: Row = [
    None,
    None,
    Some(to(State::Closed, &[STA])),
    Some(to(State::Stopped, &[STA])),
    Some(to(State::Closing, &[])),
    Some(to(State::Stopping, &[])),
    Some(to(State::ReqSent, &[IRC, SCR])),
    Some(to(State::ReqSent, &[SCR])),
    Some(to(State::AckSent, &[IRC, SCR])),
    Some(to(State::ReqSent, &[TLD, SCR])),
];

static TERMINATE_REQUEST: Row = [
    None,
    None,
    Some(to(State::Closed, &[STA])),
    Some(to(State::Stopped, &[STA])),
    Some(to(State::Closing, &[STA])),
    Some(to(State::Stopping, &[STA])),
    Some(to(State::ReqSent, &[STA])),
    Some(to(State::ReqSent, &[STA])),
    Some(to(State::ReqSent, &[STA])),
    Some(to(State::Stopping, &[TLD, ZRC, STA])),
];

static TERMINATE_ACK: Row = [
    None,
    None,
    Some(to(State::Closed, &[])),
    Some(to(State::Stopped, &[])),
    Some(to(State::Closed, &[TLF])),
    Some(to(State::Stopped, &[TLF])),
    Some(to(State::ReqSent, &[])),
    Some(to(State::ReqSent, &[])),
    Some(to(State::AckSent, &[])),
    Some(to(State::ReqSent, &[TLD, SCR])),
];

static UNKNOWN_CODE: Row = [
    None,
    None,
    Some(to(State::Closed, &[SCJ])),
    Some(to(State::Stopped, &[SCJ])),
    Some(to(State::Closing, &[SCJ])),
    Some(to(State::Stopping, &[SCJ])),
    Some(to(State::ReqSent, &[SCJ])),
    Some(to(State::AckRcvd, &[SCJ])),
    Some(to(State::AckSent, &[SCJ])),
    Some(to(State::Opened, &[SCJ])),
];

static REJECT_HARMLESS: Row = [
    None,
    None,
    Some(to(State::Closed, &[])),
    Some(to(State::Stopped, &[])),
    Some(to(State::Closing, &[])),
    Some(to(State::Stopping, &[])),
    Some(to(State::ReqSent, &[])),
    Some(to(State::ReqSent, &[])),
    Some(to(State::AckSent, &[])),
    Some(to(State::Opened, &[])),
];

static REJECT_FATAL: Row = [
    None,
    None,
    Some(to(State::Closed, &[TLF])),
    Some(to(State::Stopped, &[TLF])),
    Some(to(State::Closed, &[TLF])),
    Some(to(State::Stopped, &[TLF])),
    Some(to(State::Stopped, &[TLF])),
    Some(to(State::Stopped, &[TLF])),
    Some(to(State::Stopped, &[TLF])),
    Some(to(State::Stopping, &[TLD, IRC, STR])),
];

static ECHO: Row = [
    None,
    None,
    Some(to(State::Closed, &[])),
    Some(to(State::Stopped, &[])),
    Some(to(State::Closing, &[])),
    Some(to(State::Stopping, &[])),
    Some(to(State::ReqSent, &[])),
    Some(to(State::AckRcvd, &[])),
    Some(to(State::AckSent, &[])),
    Some(to(State::Opened, &[SER])),
];
