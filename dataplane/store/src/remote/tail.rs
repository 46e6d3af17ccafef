//! Following the stream: every change since a position, in order, or that there is a gap.

use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use lns_cluster::journal::Mark;
use redis::{Pipeline, Value, cmd};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::error::{Error, Reason};
use crate::record::{Entry, Event};
use crate::remote::backoff::Backoff;
use crate::remote::dial::{Connection, Dialer};
use crate::remote::functions;
use crate::remote::link::{LinkId, State, ended};
use crate::remote::scan::{away, parsed, strange, stream};

/// Entries that are read at once, at most.
const PAGE: u32 = 1_000;

/// An entry as the server gives it: its id, and names and values in turn.
type RawEntry = (String, Vec<Bytes>);

/// Follows the stream of a cluster, over any number of connections.
#[derive(Debug)]
pub struct Tail {
    dialer: Arc<Dialer>,
    state: watch::Receiver<State>,
    position: Mark,
    connection: Option<(LinkId, Connection)>,
    backoff: Backoff,
    /// What was told last of a server that is away.
    told: Option<Arc<Reason>>,
}

/// What following brings.
#[derive(Clone, Debug)]
pub enum Followed {
    /// The next changes, in order. None: there are none up to now, and nothing is missing.
    Entries(Vec<Entry>),
    /// Changes behind the position are no longer there: load everything, and follow from where that says.
    Gap,
    /// The server is away; follow on, and it is tried again.
    Away(Arc<Reason>),
}

impl Tail {
    pub(crate) fn new(dialer: Arc<Dialer>, state: watch::Receiver<State>, from: Mark) -> Self {
        Self {
            dialer,
            state,
            position: from,
            connection: None,
            backoff: Backoff::default(),
            told: None,
        }
    }

    /// The last change that was given out, or where it began.
    pub const fn position(&self) -> Mark {
        self.position
    }

    /// What comes next. It waits for it, but not for ever: where nothing comes, it says so about each
    /// [`Timing::watch`](crate::Timing::watch), and that the server is away it says once. Whoever drops it halfway
    /// has missed nothing.
    pub async fn next(&mut self) -> Followed {
        loop {
            let up = self.state.borrow_and_update().up();
            let link = match up {
                Err(reason) => match self.tell(reason).await {
                    Some(told) => return told,
                    None => continue,
                },
                Ok((link, server)) => {
                    let is_this = matches!(&self.connection, Some((id, _)) if *id == link);
                    if !is_this {
                        self.connection = None;
                        match self.dialer.open_more(&server).await {
                            Ok(connection) => self.connection = Some((link, connection)),
                            Err(reason) => return self.pause(reason).await,
                        }
                    }
                    link
                }
            };
            let mut state = self.state.clone();
            tokio::select! {
                read = self.read() => match read {
                    Ok(followed) => {
                        self.backoff.reset();
                        self.told = None;
                        return followed;
                    }
                    Err(error) => {
                        self.connection = None;
                        return self.pause(reason(error)).await;
                    }
                },
                _ = ended(&mut state, link) => {}
            }
        }
    }

    /// Tells that the server is away, or waits for a change of that.
    async fn tell(&mut self, reason: Arc<Reason>) -> Option<Followed> {
        self.connection = None;
        if *reason != Reason::Connecting && self.told.as_ref() != Some(&reason) {
            self.told = Some(Arc::clone(&reason));
            return Some(Followed::Away(reason));
        }
        if self.state.changed().await.is_err() {
            // There is nobody any more who would connect again. Not at once, so that nobody turns in circles.
            sleep(self.dialer.config.timing.watch).await;
            return Some(Followed::Away(Reason::Closed.into()));
        }
        None
    }

    async fn pause(&mut self, reason: Reason) -> Followed {
        sleep(self.backoff.next(self.dialer.config.timing.patience)).await;
        let reason = Arc::new(reason);
        self.told = Some(Arc::clone(&reason));
        Followed::Away(reason)
    }

    async fn read(&mut self) -> Result<Followed, Error> {
        let Some((_, connection)) = &mut self.connection else {
            return Ok(Followed::Entries(Vec::new()));
        };
        let config = &self.dialer.config;
        let (space, timing) = (&config.space, config.timing);
        let name = functions::stream(space);
        let block = timing.watch.max(Duration::from_millis(1));
        let mut read = cmd("XREAD");
        read.arg("COUNT").arg(PAGE);
        read.arg("BLOCK")
            .arg(u64::try_from(block.as_millis()).unwrap_or(u64::MAX));
        read.arg("STREAMS")
            .arg(&name)
            .arg(self.position.to_string());
        let mut first = cmd("XRANGE");
        first.arg(&name).arg("-").arg("+").arg("COUNT").arg(1);
        // In this order: what the stream begins with after the reading, it had not lost before.
        let mut questions = Pipeline::new();
        questions.add_command(read).add_command(first);
        let limit = block.saturating_add(timing.call);
        let answers = connection.ask_all(&questions, limit).await.map_err(away)?;
        let mut answers = answers
            .into_iter()
            .map(|answer| functions::answer(answer, &connection.address));
        let (read, first) = (answers.next(), answers.next());
        let read: Option<Vec<(String, Vec<RawEntry>)>> =
            parsed(read.unwrap_or(Ok(Value::Nil))?, connection)?;
        let first: Vec<RawEntry> = parsed(first.unwrap_or(Ok(Value::Nil))?, connection)?;
        if let Some((first, _)) = first.first()
            && mark(first, connection)? > self.position
        {
            // The entry at the position is gone. So may be others behind it, unless none was before it and the
            // stream has lost none.
            let lost = self.position != Mark::ZERO
                || stream(connection, space, timing.call).await?.trimmed > 0;
            if lost {
                return Ok(Followed::Gap);
            }
        }
        let entries = read
            .unwrap_or_default()
            .into_iter()
            .flat_map(|(_, entries)| entries);
        let entries: Result<Vec<_>, _> = entries.map(|raw| entry(raw, connection)).collect();
        let entries = entries?;
        if let Some(last) = entries.last() {
            self.position = last.mark;
        }
        Ok(Followed::Entries(entries))
    }
}

fn reason(error: Error) -> Reason {
    match error {
        Error::Away(reason) => Reason::clone(&reason),
        Error::Refused(refusal) => Reason::Strange {
            address: "the server".into(),
            text: refusal.to_string().into(),
        },
        Error::Unknown => Reason::Closed,
    }
}

fn mark(id: &str, connection: &Connection) -> Result<Mark, Error> {
    id.parse().map_err(|()| strange(connection, id))
}

fn entry((id, fields): RawEntry, connection: &Connection) -> Result<Entry, Error> {
    Ok(Entry {
        mark: mark(&id, connection)?,
        event: event(&fields).unwrap_or(Event::Unknown),
    })
}

fn event(fields: &[Bytes]) -> Option<Event> {
    let (first, name, rest) = match fields {
        [first, name, rest @ ..] => (first, core::str::from_utf8(name).ok()?, rest),
        _ => return None,
    };
    let [second, value] = rest else {
        let key = name.parse().ok()?;
        return (&first[..] == b"f" && rest.is_empty()).then_some(Event::Forget { key });
    };
    match (&first[..], &second[..]) {
        (b"k", b"v") => Some(Event::Put {
            key: name.parse().ok()?,
            blob: value.clone(),
        }),
        (b"c", b"r") => Some(Event::Claim {
            holder: name.parse().ok()?,
            roster: value.clone(),
        }),
        _ => None,
    }
}
