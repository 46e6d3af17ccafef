//! The option negotiation automaton: ten states, sixteen events (RFC 1661, 4.1), written down once as
//! the table that the RFC prints. LCP and every NCP run on it.
//!
//! The RFC's three footnotes are options, and none is taken: `r` (a restart when opened twice), `p`
//! (waiting passively after a timeout), `x` (counting crossed connections).

mod rows;

use core::fmt;

/// Where a negotiation is (RFC 1661, 4.2).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum State {
    /// The layer below is down, nobody wants this one up.
    Initial,
    /// The layer below is down, this one is wanted.
    Starting,
    /// The layer below is up, nobody wants this one.
    Closed,
    /// It was finished by the peer or for lack of an answer.
    Stopped,
    /// We asked for the end.
    Closing,
    /// The end was asked for by the peer, or forced on us.
    Stopping,
    /// We asked for options.
    ReqSent,
    /// Our options were taken.
    AckRcvd,
    /// We took the peer's.
    AckSent,
    /// Both.
    Opened,
}

impl State {
    /// The states in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::Initial,
        Self::Starting,
        Self::Closed,
        Self::Stopped,
        Self::Closing,
        Self::Stopping,
        Self::ReqSent,
        Self::AckRcvd,
        Self::AckSent,
        Self::Opened,
    ];

    /// The RFC's word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Initial => "Initial",
            Self::Starting => "Starting",
            Self::Closed => "Closed",
            Self::Stopped => "Stopped",
            Self::Closing => "Closing",
            Self::Stopping => "Stopping",
            Self::ReqSent => "Req-Sent",
            Self::AckRcvd => "Ack-Rcvd",
            Self::AckSent => "Ack-Sent",
            Self::Opened => "Opened",
        }
    }

    /// Whether an answer to a Configure- or Terminate-Request is being waited for, so that the
    /// restart timer runs (RFC 1661, 4.2).
    pub const fn is_timed(self) -> bool {
        match self {
            Self::Initial | Self::Starting | Self::Closed | Self::Stopped | Self::Opened => false,
            Self::Closing | Self::Stopping | Self::ReqSent | Self::AckRcvd | Self::AckSent => true,
        }
    }

    /// The number in the RFC's table.
    const fn digit(self) -> char {
        match self {
            Self::Initial => '0',
            Self::Starting => '1',
            Self::Closed => '2',
            Self::Stopped => '3',
            Self::Closing => '4',
            Self::Stopping => '5',
            Self::ReqSent => '6',
            Self::AckRcvd => '7',
            Self::AckSent => '8',
            Self::Opened => '9',
        }
    }
}

/// What can happen to a negotiation (RFC 1661, 4.3).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Event {
    /// The layer below came up.
    Up,
    /// The layer below went down.
    Down,
    /// Somebody wants this layer.
    Open,
    /// Nobody wants it any more.
    Close,
    /// The restart timer ran out and there are tries left: TO+.
    TimeoutRetry,
    /// The restart timer ran out for the last time: TO-.
    TimeoutFinal,
    /// A Configure-Request that can be taken: RCR+.
    RequestGood,
    /// One that cannot: RCR-.
    RequestBad,
    /// A Configure-Ack: RCA.
    Ack,
    /// A Configure-Nak or -Reject: RCN.
    NakOrReject,
    /// A Terminate-Request: RTR.
    TerminateRequest,
    /// A Terminate-Ack: RTA.
    TerminateAck,
    /// A code that we do not know: RUC.
    UnknownCode,
    /// A Code- or Protocol-Reject that we can live with: RXJ+.
    RejectHarmless,
    /// One that we cannot: RXJ-.
    RejectFatal,
    /// An Echo- or Discard-Request, or an Echo-Reply: RXR.
    Echo,
}

impl Event {
    /// The events in the order of the RFC's table.
    pub const ALL: [Self; 16] = [
        Self::Up,
        Self::Down,
        Self::Open,
        Self::Close,
        Self::TimeoutRetry,
        Self::TimeoutFinal,
        Self::RequestGood,
        Self::RequestBad,
        Self::Ack,
        Self::NakOrReject,
        Self::TerminateRequest,
        Self::TerminateAck,
        Self::UnknownCode,
        Self::RejectHarmless,
        Self::RejectFatal,
        Self::Echo,
    ];

    /// The name in the RFC's table.
    const fn label(self) -> &'static str {
        match self {
            Self::Up => "Up",
            Self::Down => "Down",
            Self::Open => "Open",
            Self::Close => "Close",
            Self::TimeoutRetry => "TO+",
            Self::TimeoutFinal => "TO-",
            Self::RequestGood => "RCR+",
            Self::RequestBad => "RCR-",
            Self::Ack => "RCA",
            Self::NakOrReject => "RCN",
            Self::TerminateRequest => "RTR",
            Self::TerminateAck => "RTA",
            Self::UnknownCode => "RUC",
            Self::RejectHarmless => "RXJ+",
            Self::RejectFatal => "RXJ-",
            Self::Echo => "RXR",
        }
    }
}

/// What a transition makes us do (RFC 1661, 4.4).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Action {
    /// The layer above may start: tlu.
    ThisLayerUp,
    /// The layer above must stop: tld.
    ThisLayerDown,
    /// The layer below is needed: tls.
    ThisLayerStarted,
    /// The layer below is needed no more: tlf.
    ThisLayerFinished,
    /// The tries begin anew: irc.
    InitializeRestartCount,
    /// No try is left, but the timer runs once: zrc.
    ZeroRestartCount,
    /// scr.
    SendConfigureRequest,
    /// sca.
    SendConfigureAck,
    /// scn.
    SendConfigureNak,
    /// str.
    SendTerminateRequest,
    /// sta.
    SendTerminateAck,
    /// scj.
    SendCodeReject,
    /// ser.
    SendEchoReply,
}

impl Action {
    /// The name in the RFC's table.
    const fn label(self) -> &'static str {
        match self {
            Self::ThisLayerUp => "tlu",
            Self::ThisLayerDown => "tld",
            Self::ThisLayerStarted => "tls",
            Self::ThisLayerFinished => "tlf",
            Self::InitializeRestartCount => "irc",
            Self::ZeroRestartCount => "zrc",
            Self::SendConfigureRequest => "scr",
            Self::SendConfigureAck => "sca",
            Self::SendConfigureNak => "scn",
            Self::SendTerminateRequest => "str",
            Self::SendTerminateAck => "sta",
            Self::SendCodeReject => "scj",
            Self::SendEchoReply => "ser",
        }
    }
}

/// One cell of the table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Transition {
    /// What to do, in this order.
    pub actions: &'static [Action],
    /// Where the negotiation is then.
    pub next: State,
}

/// What `event` does in `state`; `None` where the RFC has a dash: it cannot happen there.
pub fn transition(state: State, event: Event) -> Option<Transition> {
    let [
        initial,
        starting,
        closed,
        stopped,
        closing,
        stopping,
        req_sent,
        ack_rcvd,
        ack_sent,
        opened,
    ] = *rows::row(event);
    match state {
        State::Initial => initial,
        State::Starting => starting,
        State::Closed => closed,
        State::Stopped => stopped,
        State::Closing => closing,
        State::Stopping => stopping,
        State::ReqSent => req_sent,
        State::AckRcvd => ack_rcvd,
        State::AckSent => ack_sent,
        State::Opened => opened,
    }
}

/// The whole table in the RFC's words, for people and for the test that compares it with the RFC's.
#[derive(Clone, Copy, Debug)]
pub struct Table;

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for event in Event::ALL {
            write!(f, "{:>5}|", event.label())?;
            for state in State::ALL {
                match transition(state, event) {
                    Some(transition) => write!(f, " {transition}")?,
                    None => f.write_str(" -")?,
                }
            }
            f.write_str("\n")?;
        }
        Ok(())
    }
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, action) in self.actions.iter().enumerate() {
            let separator = if at == 0 { "" } else { "," };
            write!(f, "{separator}{}", action.label())?;
        }
        let slash = if self.actions.is_empty() { "" } else { "/" };
        write!(f, "{slash}{}", self.next.digit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 1661, 4.1, in its layout: states 0 to 5, then 6 to 9; the letters are its footnotes.
    const RFC_1661: [&str; 2] = [
        "
     Up   |    2     irc,scr/6     -         -         -         -
     Down |    -         -         0       tls/1       0         1
     Open |  tls/1       1     irc,scr/6     3r        5r        5r
     Close|    0       tlf/0       2         2         4         4
      TO+ |    -         -         -         -       str/4     str/5
      TO- |    -         -         -         -       tlf/2     tlf/3
     RCR+ |    -         -       sta/2 irc,scr,sca/8   4         5
     RCR- |    -         -       sta/2 irc,scr,scn/6   4         5
     RCA  |    -         -       sta/2     sta/3       4         5
     RCN  |    -         -       sta/2     sta/3       4         5
     RTR  |    -         -       sta/2     sta/3     sta/4     sta/5
     RTA  |    -         -         2         3       tlf/2     tlf/3
     RUC  |    -         -       scj/2     scj/3     scj/4     scj/5
     RXJ+ |    -         -         2         3         4         5
     RXJ- |    -         -       tlf/2     tlf/3     tlf/2     tlf/3
     RXR  |    -         -         2         3         4         5
        ",
        "
     Up   |    -         -         -           -
     Down |    1         1         1         tld/1
     Open |    6         7         8           9r
     Close|irc,str/4 irc,str/4 irc,str/4 tld,irc,str/4
      TO+ |  scr/6     scr/6     scr/8         -
      TO- | tlf/3p    tlf/3p    tlf/3p         -
     RCR+ |  sca/8   sca,tlu/9   sca/8   tld,scr,sca/8
     RCR- |  scn/6     scn/7     scn/6   tld,scr,scn/6
     RCA  |  irc/7     scr/6x  irc,tlu/9   tld,scr/6x
     RCN  |irc,scr/6   scr/6x  irc,scr/8   tld,scr/6x
     RTR  |  sta/6     sta/6     sta/6   tld,zrc,sta/5
     RTA  |    6         6         8       tld,scr/6
     RUC  |  scj/6     scj/7     scj/8       scj/9
     RXJ+ |    6         6         8           9
     RXJ- |  tlf/3     tlf/3     tlf/3   tld,irc,str/5
     RXR  |    6         7         8         ser/9
        ",
    ];

    fn rows(half: &str) -> impl Iterator<Item = (String, Vec<String>)> {
        half.lines()
            .filter_map(|line| line.split_once('|'))
            .map(|(event, cells)| {
                let cell = |cell: &str| cell.trim_end_matches(['r', 'p', 'x']).to_owned();
                (
                    event.trim().to_owned(),
                    cells.split_whitespace().map(cell).collect(),
                )
            })
    }

    #[test]
    fn the_table_is_the_one_of_rfc_1661() {
        let [low, high] = RFC_1661;
        let printed = Table.to_string();
        let ours: Vec<_> = rows(&printed).collect();
        let theirs: Vec<_> = rows(low)
            .zip(rows(high))
            .map(|((event, mut cells), (same_event, more))| {
                assert_eq!(event, same_event);
                cells.extend(more);
                (event, cells)
            })
            .collect();
        assert_eq!(theirs.len(), Event::ALL.len());
        assert!(
            theirs
                .iter()
                .all(|(_, cells)| cells.len() == State::ALL.len())
        );
        assert_eq!(ours, theirs);
        insta::assert_snapshot!(printed);
    }

    #[test]
    fn the_restart_timer_runs_where_a_timeout_is_possible() {
        for state in State::ALL {
            assert_eq!(
                state.is_timed(),
                transition(state, Event::TimeoutRetry).is_some(),
                "{state:?}"
            );
            assert_eq!(
                state.is_timed(),
                transition(state, Event::TimeoutFinal).is_some(),
                "{state:?}"
            );
        }
    }
}
