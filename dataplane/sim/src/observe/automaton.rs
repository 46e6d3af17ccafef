//! I13: LCP and IPCP behave as the table of RFC 1661, 4.1 says, as far as the line shows it.
//!
//! Each session's two automata are followed from outside: what comes is the event, what the node says
//! at once is the action, and both together give the state. A state is only assumed once it was seen to
//! be entered. What RFC 1661, 5 wants discarded in silence is no event: an answer to another request,
//! options that cannot be read.

use std::collections::BTreeMap;

use lns_tables::path::PathUpdate;
use lns_wire::ppp::{Code, Frame, Options, Packet, Protocol};

use super::calls::succession::Kept;
use super::{Finding, Invariant, Key};

/// The states that the line shows, by the RFC's numbers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum State {
    /// Not seen yet, or where nothing can be told.
    #[default]
    Unknown,
    /// 4: a Terminate-Request of ours is under way.
    Closing,
    /// 5: we have acknowledged one, or begun to terminate for a reject.
    Stopping,
    /// 6.
    ReqSent,
    /// 7.
    AckRcvd,
    /// 8.
    AckSent,
    /// 9.
    Opened,
}

/// One automaton.
#[derive(Debug, Default)]
struct Layer {
    state: State,
    /// Our last Configure-Request: identifier and options.
    request: Option<(u8, Box<[u8]>)>,
    /// It was answered already.
    answered: bool,
}

/// The two of a session.
#[derive(Debug, Default)]
struct Session {
    lcp: Layer,
    ipcp: Layer,
    has_address: bool,
    /// It was up when the node before ended, and nothing has come from the subscriber since.
    survives: bool,
}

/// A packet of LCP, IPCP or an authentication protocol.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Said {
    protocol: Protocol,
    code: Code,
    id: u8,
    data: Box<[u8]>,
}

impl Said {
    fn parse(frame: &[u8]) -> Option<Self> {
        let frame = Frame::parse(frame).ok()?;
        let packet = Packet::parse(frame.information).ok()?;
        Some(Self {
            protocol: frame.protocol,
            code: packet.code,
            id: packet.id,
            data: packet.data.into(),
        })
    }
}

/// All sessions.
#[derive(Debug, Default)]
pub(super) struct Automata {
    sessions: BTreeMap<Key, Session>,
    input: Option<(Key, Option<Said>)>,
    outputs: Vec<(Key, Said)>,
}

impl Automata {
    /// A frame is about to be given to the node.
    pub(super) fn receives(&mut self, key: Key, frame: &[u8]) {
        self.input = Some((key, Said::parse(frame)));
    }

    /// The node said something to a subscriber.
    pub(super) fn sends(&mut self, key: Key, frame: &[u8]) {
        if let Some(said) = Said::parse(frame) {
            self.outputs.push((key, said));
        }
    }

    pub(super) fn path(&mut self, update: &PathUpdate) {
        match *update {
            PathUpdate::SetSession { path, .. } => {
                let session = self
                    .sessions
                    .entry((path.tunnel, path.session))
                    .or_default();
                session.has_address = path.address.is_some();
            }
            PathUpdate::ClearSession {
                tunnel, session, ..
            } => {
                self.sessions.remove(&(tunnel, session));
            }
            PathUpdate::SetPolicies { .. }
            | PathUpdate::SetTunnel { .. }
            | PathUpdate::ClearTunnel { .. }
            | PathUpdate::SetRoute { .. }
            | PathUpdate::ClearRoute { .. }
            | PathUpdate::ReportSession { .. }
            | PathUpdate::ReportTunnel { .. } => {}
        }
    }

    /// Nothing comes of the last input: the process has ended.
    pub(super) fn forget_input(&mut self) {
        self.input = None;
        self.outputs.clear();
    }

    /// Another node goes on. Where IP passes both layers are open, and the subscriber has nothing to do;
    /// where it does not, nothing is known.
    pub(super) fn succeed(&mut self, kept: impl Iterator<Item = Kept>) {
        let of = |kept: Kept| {
            let layer = || Layer {
                state: if kept.has_address {
                    State::Opened
                } else {
                    State::Unknown
                },
                ..Layer::default()
            };
            Session {
                lcp: layer(),
                ipcp: layer(),
                has_address: kept.has_address,
                survives: kept.has_address,
            }
        };
        self.sessions = kept.map(|kept| (kept.key, of(kept))).collect();
    }

    /// Judges the last input by what came of it.
    pub(super) fn settled(&mut self) -> Finding {
        let input = self.input.take();
        let outputs = core::mem::take(&mut self.outputs);
        let mut keys: Vec<Key> = outputs.iter().map(|(key, _)| *key).collect();
        keys.extend(input.as_ref().map(|(key, _)| *key));
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            // One that has ended says its last and is judged no more.
            let Some(session) = self.sessions.get_mut(&key) else {
                continue;
            };
            let said: Vec<&Said> = outputs
                .iter()
                .filter(|(of, _)| *of == key)
                .map(|(_, said)| said)
                .collect();
            let heard = input.as_ref().filter(|(of, _)| *of == key);
            let heard = heard.and_then(|(_, said)| said.as_ref());
            session.survives &= heard.is_none();
            let invariant = if session.survives {
                Invariant::Survival
            } else {
                Invariant::Automaton
            };
            session.step(heard, &said).map_err(|what| {
                let heard = heard.map(|it| (it.protocol, it.code, it.id));
                let said: Vec<_> = said
                    .iter()
                    .map(|it| (it.protocol, it.code, it.id))
                    .collect();
                let what = format!("{key:?}: {what}; heard {heard:?}, said {said:?}");
                (invariant, what)
            })?;
        }
        self.outputs = outputs;
        self.outputs.clear();
        Ok(())
    }
}

impl Session {
    fn step(&mut self, heard: Option<&Said>, said: &[&Said]) -> Result<(), String> {
        let of = |protocol: Protocol| -> Vec<&Said> {
            said.iter()
                .copied()
                .filter(|it| it.protocol == protocol)
                .collect()
        };
        let heard_of = |protocol| heard.filter(|it| it.protocol == protocol);
        if self.lcp.state == State::Unknown && said.iter().any(|it| it.protocol != Protocol::LCP) {
            // LCP was taken over from the LAC.
            self.lcp.state = State::Opened;
        }
        let was_open = self.lcp.state == State::Opened;
        self.lcp
            .step(heard_of(Protocol::LCP), &of(Protocol::LCP))
            .map_err(|it| format!("LCP {it}"))?;
        let is_open = matches!(self.lcp.state, State::Opened | State::Unknown);
        if !is_open || !was_open {
            self.ipcp = Layer::default();
        }
        if !is_open && said.iter().any(|it| it.protocol != Protocol::LCP) && !was_open {
            return Err(format!("LCP is {:?}, and others speak", self.lcp.state));
        }
        if is_open {
            self.ipcp
                .step(heard_of(Protocol::IPCP), &of(Protocol::IPCP))
                .map_err(|it| format!("IPCP {it}"))?;
        }
        let ipcp_open = matches!(self.ipcp.state, State::Opened | State::Unknown);
        if self.has_address && !(is_open && ipcp_open) {
            let (lcp, ipcp) = (self.lcp.state, self.ipcp.state);
            return Err(format!("IP passes while LCP is {lcp:?} and IPCP {ipcp:?}"));
        }
        if self.ipcp.state == State::Opened && !self.has_address {
            return Err("IPCP is open, and no IP passes".to_owned());
        }
        Ok(())
    }
}

impl Layer {
    /// One event and what the node said at once; without an event, what it said by itself.
    fn step(&mut self, heard: Option<&Said>, said: &[&Said]) -> Result<(), String> {
        let before = self.state;
        let requests = said
            .iter()
            .filter(|it| it.code == Code::CONFIGURE_REQUEST)
            .count();
        let terminates = said.iter().any(|it| it.code == Code::TERMINATE_REQUEST);
        // Giving up and closing may come of anything.
        if terminates {
            self.state = State::Closing;
        } else if let Some(heard) = heard {
            self.hear(heard, said, requests)
                .map_err(|it| format!("in {before:?}: {it}"))?;
        } else if requests > 0 {
            self.ask_by_itself(requests)
                .map_err(|it| format!("in {before:?}: {it}"))?;
        }
        let last = said
            .iter()
            .rev()
            .find(|it| it.code == Code::CONFIGURE_REQUEST);
        if let Some(request) = last {
            self.request = Some((request.id, request.data.clone()));
            self.answered = false;
        }
        Ok(())
    }

    /// A timer fired, or the layer was opened.
    fn ask_by_itself(&mut self, requests: usize) -> Result<(), String> {
        self.state = match self.state {
            State::Unknown | State::ReqSent | State::AckRcvd => State::ReqSent,
            State::AckSent => State::AckSent,
            State::Opened => return Err("a Configure-Request for nothing".to_owned()),
            State::Closing | State::Stopping => {
                return Err("a Configure-Request while it ends".to_owned());
            }
        };
        if requests > 1 {
            return Err(format!("{requests} Configure-Requests at once"));
        }
        Ok(())
    }

    fn hear(&mut self, heard: &Said, said: &[&Said], requests: usize) -> Result<(), String> {
        match heard.code {
            Code::CONFIGURE_REQUEST => self.hear_request(heard, said, requests),
            Code::CONFIGURE_ACK => self.hear_ack(heard, requests),
            Code::CONFIGURE_NAK | Code::CONFIGURE_REJECT => self.hear_nak(heard, requests),
            Code::TERMINATE_REQUEST => {
                let answers = said.iter().filter(|it| it.code == Code::TERMINATE_ACK);
                let ids: Vec<u8> = answers.map(|it| it.id).collect();
                if self.state != State::Unknown && ids != [heard.id] {
                    return Err(format!(
                        "a Terminate-Request {} is answered {ids:?}",
                        heard.id
                    ));
                }
                self.state = match self.state {
                    State::Opened => State::Stopping,
                    State::ReqSent | State::AckRcvd | State::AckSent => State::ReqSent,
                    other @ (State::Unknown | State::Closing | State::Stopping) => other,
                };
                Ok(())
            }
            Code::TERMINATE_ACK => {
                let wanted = usize::from(self.state == State::Opened);
                if self.state != State::Unknown && requests != wanted {
                    return Err(format!(
                        "a Terminate-Ack brings {requests} Configure-Requests"
                    ));
                }
                self.state = match self.state {
                    State::AckRcvd | State::Opened => State::ReqSent,
                    State::Closing | State::Stopping => State::Unknown,
                    other @ (State::Unknown | State::ReqSent | State::AckSent) => other,
                };
                Ok(())
            }
            Code::CODE_REJECT | Code::PROTOCOL_REJECT => {
                // RXJ+ takes what came before it back; RXJ- ends it.
                self.state = match self.state {
                    _ if is_fatal(heard) => State::Unknown,
                    State::AckRcvd if heard.code == Code::CODE_REJECT => State::ReqSent,
                    other => other,
                };
                Ok(())
            }
            Code::ECHO_REQUEST if heard.protocol == Protocol::LCP => self.hear_echo(heard, said),
            _ => Ok(()),
        }
    }

    fn hear_request(
        &mut self,
        heard: &Said,
        said: &[&Said],
        requests: usize,
    ) -> Result<(), String> {
        if Options::parse(&heard.data).is_err() {
            return Ok(());
        }
        let is_answer = |it: &&&Said| {
            let answers = [
                Code::CONFIGURE_ACK,
                Code::CONFIGURE_NAK,
                Code::CONFIGURE_REJECT,
            ];
            answers.contains(&it.code)
        };
        let answers: Vec<&Said> = said.iter().filter(is_answer).copied().collect();
        if self.state == State::Unknown {
            self.first_request(&answers, requests);
            return Ok(());
        }
        if matches!(self.state, State::Closing | State::Stopping) {
            return if answers.is_empty() && requests == 0 {
                Ok(())
            } else {
                Err("a Configure-Request is answered while it ends".to_owned())
            };
        }
        let [answer] = answers[..] else {
            return Err(format!("a Configure-Request has {} answers", answers.len()));
        };
        if answer.id != heard.id {
            return Err(format!(
                "request {} is answered with {}",
                heard.id, answer.id
            ));
        }
        let good = answer.code == Code::CONFIGURE_ACK;
        if good && answer.data != heard.data {
            return Err("other options are acknowledged than were asked for".to_owned());
        }
        let wanted = usize::from(self.state == State::Opened);
        if requests != wanted {
            return Err(format!(
                "a Configure-Request brings {requests} of ours, not {wanted}"
            ));
        }
        self.state = match (self.state, good) {
            (State::AckRcvd, true) => State::Opened,
            (State::AckRcvd, false) => State::AckRcvd,
            (_, true) => State::AckSent,
            (_, false) => State::ReqSent,
        };
        Ok(())
    }

    /// The request that was heard first: it tells the state if ours goes out by it.
    fn first_request(&mut self, answers: &[&Said], requests: usize) {
        if let (1, [answer]) = (requests, answers) {
            self.state = match answer.code {
                Code::CONFIGURE_ACK => State::AckSent,
                _ => State::ReqSent,
            };
        }
    }

    /// Whether an answer is one to our last request, and the first one.
    fn is_answer(&self, heard: &Said) -> bool {
        let request = self.request.as_ref();
        request.is_some_and(|(id, _)| *id == heard.id) && !self.answered
    }

    fn hear_ack(&mut self, heard: &Said, requests: usize) -> Result<(), String> {
        if requests > 0 && self.state != State::Unknown {
            return Err(format!(
                "a Configure-Ack brings {requests} Configure-Requests"
            ));
        }
        let is_equal = self
            .request
            .as_ref()
            .is_some_and(|(_, data)| *data == heard.data);
        if self.is_answer(heard) && is_equal {
            self.answered = true;
            self.state = match self.state {
                State::ReqSent => State::AckRcvd,
                State::AckSent => State::Opened,
                other => other,
            };
        }
        Ok(())
    }

    fn hear_nak(&mut self, heard: &Said, requests: usize) -> Result<(), String> {
        let negotiates = matches!(self.state, State::ReqSent | State::AckSent);
        // What cannot be read, or rejects what was not asked for, is discarded.
        let is_read = Options::parse(&heard.data).is_ok();
        let may_ask = negotiates && self.is_answer(heard) && is_read;
        if requests > usize::from(may_ask) && self.state != State::Unknown {
            return Err(format!(
                "{:?} brings {requests} Configure-Requests",
                heard.code
            ));
        }
        let must_ask = may_ask && heard.code == Code::CONFIGURE_NAK;
        if must_ask && requests != 1 {
            return Err("a Configure-Nak brings no Configure-Request".to_owned());
        }
        Ok(())
    }

    fn hear_echo(&self, heard: &Said, said: &[&Said]) -> Result<(), String> {
        let answers = said.iter().filter(|it| it.code == Code::ECHO_REPLY);
        let ids: Vec<u8> = answers.map(|it| it.id).collect();
        // Our own magic number, or none at all, is discarded.
        let magic = heard.data.get(..4);
        let ours = self.request.as_ref().map(|(_, data)| data);
        let is_ours = magic.is_none_or(|magic| {
            ours.is_none_or(|ours| ours.windows(4).any(|octets| octets == magic))
        });
        match (self.state, &ids[..]) {
            (State::Unknown, _) | (_, []) if self.state != State::Opened => Ok(()),
            (State::Opened, [id]) if *id == heard.id => Ok(()),
            (State::Opened, []) if is_ours => Ok(()),
            (State::Opened, _) => Err(format!("echo {} is answered {ids:?}", heard.id)),
            (_, _) => Err("an echo is answered before LCP is open".to_owned()),
        }
    }
}

/// Whether a reject is of something that a layer cannot do without.
fn is_fatal(reject: &Said) -> bool {
    let first = reject.data.first().copied().unwrap_or_default();
    match reject.code {
        Code::CODE_REJECT => (1..=7).contains(&first),
        _ => reject.data.starts_with(&Protocol::LCP.0.to_be_bytes()),
    }
}
