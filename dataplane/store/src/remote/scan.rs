//! Reading everything: all records, tunnels first, or only their marks.
//!
//! A scan takes its time while others write. It has each record that was there all the while; of one that
//! comes, changes or goes meanwhile it may have any state, or several, so whoever reads keeps the one with the
//! higher mark, and follows the stream from the position that was noted before the scan began.

use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use lns_cluster::journal::Mark;
use redis::{Pipeline, Value, cmd};
use tracing::error;

use crate::error::{Error, Reason};
use crate::record::{Key, Record, Space};
use crate::remote::dial::{Answer, Connection, Dialer};
use crate::remote::functions;
use crate::remote::server::{Origin, Server};

/// Keys that a server looks at for one page, about.
const PAGE: u32 = 1_000;

/// Octets of a record in which its mark is.
const HEAD: usize = 33;

/// All records, page by page.
#[derive(Debug)]
pub struct Load(Scan);

/// All marks, page by page.
#[derive(Debug)]
pub struct Digest(Scan);

#[derive(Debug)]
pub(super) struct Scan {
    connection: Connection,
    space: Space,
    origin: Origin,
    call: Duration,
    /// The stream's last entry before the scan began.
    position: Mark,
    stage: Stage,
    cursor: u64,
    damaged: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    Tunnels,
    Others,
    Over,
}

impl Load {
    pub(crate) async fn begin(dialer: &Dialer, server: &Server) -> Result<Self, Error> {
        Scan::begin(dialer, server).await.map(Self)
    }

    /// The stream's position before the scan began: who follows from here misses nothing.
    pub const fn position(&self) -> Mark {
        self.0.position
    }

    /// Which data the server has that is read.
    pub(crate) const fn origin(&self) -> &Origin {
        &self.0.origin
    }

    /// Records that have no mark in front, so far: nobody of us has written them. They are left out, and
    /// logged.
    pub const fn damaged(&self) -> u64 {
        self.0.damaged
    }

    /// The next records; all tunnels come before all others. `None`: that was all.
    ///
    /// # Errors
    /// The connection broke: begin anew.
    pub async fn page(&mut self) -> Result<Option<Vec<Record>>, Error> {
        while let Some(keys) = self.0.keys().await? {
            if keys.is_empty() {
                continue;
            }
            let mut read = cmd("MGET");
            read.arg(self.0.names(&keys));
            let values = self.0.ask(&read).await?;
            let values: Vec<Option<Bytes>> = self.0.parsed(values)?;
            let mut records = Vec::with_capacity(keys.len());
            for (key, value) in keys.into_iter().zip(values) {
                // What is gone by now is told by the stream.
                let Some(value) = value else { continue };
                match functions::record(&value) {
                    Some((mark, blob)) => records.push(Record { key, mark, blob }),
                    None => self.0.report(&key),
                }
            }
            return Ok(Some(records));
        }
        Ok(None)
    }
}

impl Digest {
    pub(crate) async fn begin(dialer: &Dialer, server: &Server) -> Result<Self, Error> {
        Scan::begin(dialer, server).await.map(Self)
    }

    /// The next marks. `None`: that was all.
    ///
    /// # Errors
    /// The connection broke: begin anew.
    pub async fn page(&mut self) -> Result<Option<Vec<(Key, Mark)>>, Error> {
        while let Some(keys) = self.0.keys().await? {
            if keys.is_empty() {
                continue;
            }
            let mut read = Pipeline::new();
            for name in self.0.names(&keys) {
                read.cmd("GETRANGE").arg(name).arg(0).arg(HEAD);
            }
            let heads = self.0.ask_all(&read).await?;
            let mut marks = Vec::with_capacity(keys.len());
            for (key, head) in keys.into_iter().zip(heads) {
                let head = functions::answer(head, &self.0.connection.address)?;
                let head: Bytes = self.0.parsed(head)?;
                match functions::record(&head) {
                    Some((mark, _)) => marks.push((key, mark)),
                    // It is gone by now.
                    None if head.is_empty() => {}
                    None => self.0.report(&key),
                }
            }
            return Ok(Some(marks));
        }
        Ok(None)
    }
}

impl Scan {
    pub(super) async fn begin(dialer: &Dialer, server: &Server) -> Result<Self, Error> {
        let mut connection = dialer.open_more(server).await.map_err(away)?;
        let (space, call) = (dialer.config.space.clone(), dialer.config.timing.call);
        let position = position(&mut connection, &space, call).await?;
        Ok(Self {
            connection,
            space,
            origin: server.origin.clone(),
            call,
            position,
            stage: Stage::Tunnels,
            cursor: 0,
            damaged: 0,
        })
    }

    /// The next keys; a page may be empty. `None`: that was all.
    pub(super) async fn keys(&mut self) -> Result<Option<Vec<Key>>, Error> {
        let pattern = match self.stage {
            Stage::Tunnels => "t/*",
            Stage::Others => "*/*",
            Stage::Over => return Ok(None),
        };
        let mut scan = cmd("SCAN");
        scan.arg(self.cursor)
            .arg("MATCH")
            .arg(self.space.name(pattern))
            .arg("COUNT")
            .arg(PAGE);
        let page = self.ask(&scan).await?;
        let (cursor, names): (u64, Vec<Bytes>) = self.parsed(page)?;
        let wants_tunnels = self.stage == Stage::Tunnels;
        let names = names
            .iter()
            .filter_map(|name| core::str::from_utf8(name).ok());
        let keys = names.filter_map(|name| self.space.key(name));
        let keys = keys
            .filter(|key| key.is_tunnel() == wants_tunnels)
            .collect();
        self.cursor = cursor;
        if cursor == 0 {
            self.stage = if wants_tunnels {
                Stage::Others
            } else {
                Stage::Over
            };
        }
        Ok(Some(keys))
    }

    pub(super) fn names(&self, keys: &[Key]) -> Vec<String> {
        keys.iter().map(|key| self.space.record(key)).collect()
    }

    async fn ask(&mut self, command: &redis::Cmd) -> Result<Value, Error> {
        let answer = self.connection.ask(command, Some(self.call)).await;
        functions::answer(answer.map_err(away)?, &self.connection.address)
    }

    async fn ask_all(&mut self, questions: &Pipeline) -> Result<Vec<Answer>, Error> {
        let answers = self.connection.ask_all(questions, self.call).await;
        answers.map_err(away)
    }

    fn parsed<T: redis::FromRedisValue>(&self, value: Value) -> Result<T, Error> {
        parsed(value, &self.connection)
    }

    fn report(&mut self, key: &Key) {
        self.damaged = self.damaged.saturating_add(1);
        error!(%key, "a record in the store is none: it is left out");
    }
}

/// The id of the last entry that the stream has had.
pub(crate) async fn position(
    connection: &mut Connection,
    space: &Space,
    limit: Duration,
) -> Result<Mark, Error> {
    Ok(stream(connection, space, limit).await?.last)
}

/// What the server says of the stream.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StreamInfo {
    pub(crate) last: Mark,
    /// Entries that were in it and are not any more.
    pub(crate) trimmed: u64,
}

pub(crate) async fn stream(
    connection: &mut Connection,
    space: &Space,
    limit: Duration,
) -> Result<StreamInfo, Error> {
    let mut question = cmd("XINFO");
    question.arg("STREAM").arg(functions::stream(space));
    let answer = connection.ask(&question, Some(limit)).await.map_err(away)?;
    let answer = match answer {
        // There is none yet.
        Err(error) if error.details() == Some("no such key") => {
            return Ok(StreamInfo::default());
        }
        answer => functions::answer(answer, &connection.address)?,
    };
    stream_info(answer).map_err(|_| strange(connection, "what is no description of a stream"))
}

/// What XINFO STREAM answers.
///
/// # Errors
/// It is none of that: nobody knows.
pub(crate) fn stream_info(answer: Value) -> Result<StreamInfo, Error> {
    let fields: Vec<(String, Value)> =
        redis::from_redis_value(answer).map_err(|_| Error::Unknown)?;
    let number = |value| redis::from_redis_value::<u64>(value).map_err(|_| Error::Unknown);
    let mut info = StreamInfo::default();
    let (mut added, mut there) = (0_u64, 0_u64);
    for (name, value) in fields {
        match name.as_str() {
            "last-generated-id" => {
                let id: String = redis::from_redis_value(value).map_err(|_| Error::Unknown)?;
                info.last = id.parse().map_err(|()| Error::Unknown)?;
            }
            "entries-added" => added = number(value)?,
            "length" => there = number(value)?,
            _ => {}
        }
    }
    info.trimmed = added.saturating_sub(there);
    Ok(info)
}

pub(crate) fn parsed<T: redis::FromRedisValue>(
    value: Value,
    connection: &Connection,
) -> Result<T, Error> {
    redis::from_redis_value(value).map_err(|error| strange(connection, &error.to_string()))
}

pub(crate) fn strange(connection: &Connection, text: &str) -> Error {
    away(Reason::Strange {
        address: connection.address.clone(),
        text: text.into(),
    })
}

/// Nothing was changed by what failed: these only read.
pub(crate) fn away(reason: Reason) -> Error {
    Error::Away(Arc::new(reason))
}
