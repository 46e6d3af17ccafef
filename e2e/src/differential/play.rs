//! Plays a script against one server and writes down what came of each step.
//!
//! Nothing waits for silence. Beside the script's tunnel there is a second one, from another port: when
//! the server acknowledges a HELLO there that was sent after the step, it has handled the step, and what
//! it has not answered by then it does not answer.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, ensure};
use lns_crypto::{Secret, l2tp};
use lns_wire::l2tp::{Attribute, MessageType};
use lns_wire::ppp::{Code, Protocol, emit_option};

use super::control::Control;
use super::line::Line;
use super::script::{Act, Frame, Script};
use super::subscriber;
use crate::manifest::TUNNEL_SECRET;
use crate::net::{LAC, Namespace, OTHER_LAC, VIP};

/// Scripts that are played at once.
const AT_ONCE: usize = 8;
/// How often the server may answer an answer of ours within one step.
const ROUNDS: usize = 16;
/// The identifier of the last question of each script.
const LAST_ID: u8 = 200;

/// What came of one step.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Observation {
    /// The step as it was written.
    pub(super) step: String,
    /// What the server did.
    pub(super) result: String,
}

/// Plays all `scripts` from inside `lac`, several at once, and gives the observations in their order.
pub(super) fn play_all(lac: &Namespace, scripts: &[&Script]) -> Result<Vec<Vec<Observation>>> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let work = || -> Result<()> {
            loop {
                let place = next.fetch_add(1, Ordering::Relaxed);
                let Some(script) = scripts.get(place) else {
                    return Ok(());
                };
                let played = lac.enter(|| play(script, place))?;
                let played = played.with_context(|| script.name.clone())?;
                let mut done = done.lock().map_err(|_| anyhow::anyhow!("poisoned"))?;
                done.push((place, played));
            }
        };
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| match worker.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            })
    })?;
    let mut done = done.into_inner().map_err(|_| anyhow::anyhow!("poisoned"))?;
    done.sort_by_key(|(place, _)| *place);
    Ok(done.into_iter().map(|(_, played)| played).collect())
}

/// Whether a server takes tunnels yet.
pub(super) fn is_ready(lac: &Namespace) -> Result<bool> {
    lac.enter(|| Ok(Player::new(false, 0)?.is_some()))?
}

fn play(script: &Script, place: usize) -> Result<Vec<Observation>> {
    let place = u16::try_from(place)?;
    let player = Player::new(script.secret, place)?;
    let mut player = player.context("the second tunnel does not come up")?;
    let mut course = Vec::new();
    for step in &script.steps {
        if let Some(result) = player.act(&step.act)? {
            course.push(Observation {
                step: step.text.clone(),
                result,
            });
        }
        if player.lost {
            return Ok(course);
        }
    }
    course.extend(player.look()?);
    player.close()?;
    Ok(course)
}

/// A script's tunnel, and the one beside it.
struct Player {
    line: Line,
    beside: Line,
    secret: bool,
    /// The server answers nobody any more.
    lost: bool,
}

impl Player {
    /// Brings up the tunnel beside; `None` when the server does not answer.
    fn new(secret: bool, place: u16) -> Result<Option<Self>> {
        let lns = SocketAddr::from((VIP, 1701));
        let from = |address: Ipv4Addr| SocketAddr::from((address, 0));
        let mut player = Self {
            line: Line::new(from(if secret { LAC } else { OTHER_LAC }), lns, 100 + place)?,
            beside: Line::new(from(OTHER_LAC), lns, 1000 + place)?,
            secret,
            lost: false,
        };
        let beside = &mut player.beside;
        beside.send(&Control::plain(MessageType::Sccrq, &[]))?;
        if !beside.insist(|line| line.named().0)? {
            return Ok(None);
        }
        beside.send(&Control::plain(MessageType::Scccn, &[]))?;
        Ok(beside.ping()?.then_some(player))
    }

    /// Does one step; `None` where there is nothing to see.
    fn act(&mut self, act: &Act) -> Result<Option<String>> {
        let before = self.line.acknowledged();
        let result = match act {
            Act::Mute => {
                self.line.subscriber.mute = true;
                return Ok(None);
            }
            Act::Authentication(wanted) => {
                self.line.subscriber.wanted = Some(*wanted);
                return Ok(None);
            }
            Act::Tunnel => self.tunnel()?,
            Act::Call => self.call()?,
            Act::Lcp => self.lcp()?,
            Act::Login { name, password } => self.login(name, password)?,
            Act::Ipcp => self.ipcp()?,
            Act::Await(words) => self.wait(words)?,
            Act::Send(control) => {
                let control = self.proven(control);
                self.line.send(&control)?;
                self.seen()?
            }
            Act::Again => {
                self.line.again()?;
                self.seen()?
            }
            Act::Ppp(frame) => {
                self.line.send_frame(frame)?;
                self.seen()?
            }
        };
        if self.lost {
            return Ok(Some("the server answers nobody any more".into()));
        }
        let acknowledged = self.line.acknowledged() != before;
        Ok(Some(match (result.is_empty(), acknowledged) {
            (true, true) => "acknowledged".into(),
            (true, false) => "silence".into(),
            (false, _) => result,
        }))
    }

    /// Whether the tunnel and the call still live, found out by using them. A call that the LNS has ended
    /// is not tried: how long l2tpns still knows it is a matter of its timers.
    fn look(&mut self) -> Result<[Observation; 2]> {
        let (tunnel, session) = self.line.named();
        let session = session && !self.line.over;
        let mut data = Vec::new();
        emit_option(&mut data, 1, &1400_u16.to_be_bytes());
        let mut frame = request(Protocol::LCP, data);
        frame.id = Some(LAST_ID);
        let lcp = Act::Ppp(frame);
        let in_call = if session { self.act(&lcp)? } else { None };
        self.line.second_call();
        let call = Act::Send(Control::plain(MessageType::Icrq, &[]));
        let another = if tunnel { self.act(&call)? } else { None };
        let last = |step: &str, result: Option<String>, none: &str| Observation {
            step: step.into(),
            result: result.unwrap_or_else(|| none.into()),
        };
        Ok([
            last("LCP at last", in_call, "there is no call"),
            last("ICRQ at last", another, "there is no tunnel"),
        ])
    }

    /// Takes leave of the server, so that it has nothing to wait for.
    fn close(mut self) -> Result<()> {
        for line in [&mut self.line, &mut self.beside] {
            if line.named().0 {
                line.send(&Control::plain(MessageType::StopCcn, &[]))?;
                line.drain()?;
            }
        }
        Ok(())
    }

    fn tunnel(&mut self) -> Result<String> {
        let challenge = self.secret.then_some(Attribute::Challenge(&[7; 16]));
        let request = Control::plain(MessageType::Sccrq, challenge.as_slice());
        self.line.send(&request)?;
        if !self
            .line
            .until(|line| line.named().0 || heard(line, "StopCCN"))?
        {
            return self.seen();
        }
        let connected = self.proven(&Control::plain(MessageType::Scccn, &[]));
        self.line.send(&connected)?;
        self.fine(|line, _| line.named().0)
    }

    fn call(&mut self) -> Result<String> {
        self.line.send(&Control::plain(MessageType::Icrq, &[]))?;
        let over = |line: &Line| line.named().1 || heard(line, "CDN") || heard(line, "StopCCN");
        if !self.line.until(over)? || !self.line.named().1 {
            return self.seen();
        }
        self.line.send(&Control::plain(MessageType::Iccn, &[]))?;
        self.fine(|_, labels| !labels.contains("CDN"))
    }

    fn lcp(&mut self) -> Result<String> {
        let mut data = Vec::new();
        emit_option(&mut data, 1, &1492_u16.to_be_bytes());
        emit_option(&mut data, 5, &[1, 2, 3, 4]);
        self.line.send_frame(&request(Protocol::LCP, data))?;
        let open =
            |line: &Line| heard(line, "LCP Configure-Ack") && line.subscriber.acknowledging.0;
        self.line.until(open)?;
        self.fine(|line, labels| {
            labels == "LCP Configure-Ack 1 5" && line.subscriber.acknowledging.0
        })
    }

    fn login(&mut self, name: &str, password: &str) -> Result<String> {
        let pap = |line: &Line| {
            let demanded = line.subscriber.demanded;
            demanded == Some(lns_wire::ppp::lcp::AuthenticationProtocol::Pap)
        };
        self.line
            .until(|line| pap(line) || line.subscriber.challenge.is_some())?;
        if let Some(frame) = subscriber::login(&mut self.line.subscriber, name, password) {
            self.line.send_frame(&frame)?;
        }
        self.line.until(|line| {
            let ends = ["PAP", "CHAP Success", "CHAP Failure", "CDN", "StopCCN"];
            ends.iter().any(|label| heard(line, label))
        })?;
        self.seen()
    }

    fn ipcp(&mut self) -> Result<String> {
        for _ in 0..2 {
            let mut data = Vec::new();
            emit_option(&mut data, 3, &self.line.subscriber.address);
            self.line.heard.retain(|heard| heard.unasked);
            self.line.send_frame(&request(Protocol::IPCP, data))?;
            self.line
                .until(|line| line.heard.iter().any(|heard| !heard.unasked))?;
            if !heard(&self.line, "IPCP Configure-Nak") {
                break;
            }
        }
        self.line.until(|line| line.subscriber.acknowledging.1)?;
        self.fine(|_, labels| labels == "IPCP Configure-Ack 3")
    }

    fn wait(&mut self, words: &str) -> Result<String> {
        let there = self.line.until(|line| heard(line, words))?;
        let place = self
            .line
            .heard
            .iter()
            .position(|heard| heard.label.starts_with(words));
        let found = place.map(|place| self.line.heard.remove(place).label);
        self.settle()?;
        self.line.heard.retain(|heard| heard.unasked);
        ensure!(there == found.is_some(), "an answer was lost");
        Ok(found.unwrap_or_else(|| "nothing".into()))
    }

    /// Adds the proof that the LNS asked for, where a script does not say something else.
    fn proven(&self, control: &Control) -> Control {
        match self.line.challenge() {
            Some(challenge) if self.secret && control.is_plain(MessageType::Scccn) => {
                let secret = Secret::new(TUNNEL_SECRET.as_bytes());
                let response = l2tp::challenge_response(3, &secret, challenge);
                Control::plain(
                    MessageType::Scccn,
                    &[Attribute::ChallengeResponse(response)],
                )
            }
            _ => control.clone(),
        }
    }

    /// `as it should be`, or what came.
    fn fine(&mut self, is_fine: impl Fn(&Line, &str) -> bool) -> Result<String> {
        let labels = self.seen()?;
        Ok(if is_fine(&self.line, &labels) && !self.lost {
            "as it should be".into()
        } else {
            labels
        })
    }

    /// What came in answer to what was sent, once the server has handled it.
    fn seen(&mut self) -> Result<String> {
        self.settle()?;
        let answers = self.line.heard.iter().filter(|heard| !heard.unasked);
        let labels: Vec<_> = answers.map(|heard| heard.label.as_str()).collect();
        let labels = labels.join(", ");
        self.line.heard.retain(|heard| heard.unasked);
        Ok(labels)
    }

    /// Returns when the server has handled all that was sent, also in answer to its answers.
    fn settle(&mut self) -> Result<()> {
        for _ in 0..ROUNDS {
            let sent = self.line.sent();
            if !self.beside.ping()? {
                self.lost = true;
                return Ok(());
            }
            self.line.drain()?;
            if self.line.sent() == sent {
                return Ok(());
            }
        }
        Ok(())
    }
}

fn heard(line: &Line, label: &str) -> bool {
    line.heard
        .iter()
        .any(|heard| heard.label.starts_with(label))
}

fn request(protocol: Protocol, data: Vec<u8>) -> Frame {
    Frame {
        protocol: protocol.0,
        code: Some(Code::CONFIGURE_REQUEST.0),
        data,
        ..Frame::default()
    }
}
