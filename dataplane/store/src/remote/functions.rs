//! The function library, its commands, and what its answers mean (rules S2 and S3).

use bytes::Bytes;
use lns_cluster::journal::{Change, Mark, Write};
use lns_cluster::{Epoch, Identity};
use redis::{Cmd, ServerError, Value, cmd};

use crate::config::Config;
use crate::error::{Beat, Error, Fenced, Reason, Refusal};
use crate::record::{Key, Space};
use crate::remote::Claim;
use crate::remote::dial::Answer;

/// The library.
const SOURCE: &str = include_str!("functions.lua");

/// What the user of a server's ACL needs, as ACL SETUSER takes it; `+select` only for another database than 0.
pub const ACL: &str = "~{lns:* +info +select +fcall +function|load +hmget +hset +getrange +set +del +exists +mget +scan +xadd +xread +xrange +xinfo|stream +time +wait";

/// Its version: of the line `local VERSION` there.
pub(crate) const VERSION: u64 = 3;

/// Asks for the version of the library that is loaded.
pub(crate) fn version() -> Cmd {
    fcall("lns_version", &[])
}

/// Loads the library in place of what is there.
pub(crate) fn load() -> Cmd {
    let mut command = cmd("FUNCTION");
    command.arg("LOAD").arg("REPLACE").arg(SOURCE);
    command
}

/// Records that one call stores: what a call costs beside them is little then, and none holds up others for longer
/// than a fraction of a millisecond.
const TOGETHER: usize = 32;

/// Changes in their order, as few commands as may be; and how many of them each makes.
pub(crate) fn writes(config: &Config, holder: &Identity, all: &[Write<Key>]) -> Vec<(Cmd, usize)> {
    let is_put = |write: &Write<Key>| matches!(write.change, Change::Put(_));
    let runs =
        all.chunk_by(|one, next| is_put(one) && is_put(next) && one.mark.epoch == next.mark.epoch);
    let parts = runs.flat_map(|run| run.chunks(TOGETHER));
    let commands = parts.map(|part| match part {
        [alone] => (write(config, holder, alone), 1),
        many => (put_all(config, holder, many), many.len()),
    });
    commands.collect()
}

/// Changes of one mastership that say something of their records.
fn put_all(config: &Config, holder: &Identity, puts: &[Write<Key>]) -> Cmd {
    let space = &config.space;
    let records = puts.iter().map(|put| space.record(&put.key));
    let keys: Vec<String> = [fence(space), stream(space)]
        .into_iter()
        .chain(records)
        .collect();
    let epoch = puts.first().map_or(Epoch::NONE, |put| put.mark.epoch);
    let mut command = fcall("lns_put_all", &keys);
    command
        .arg(epoch.number())
        .arg(holder.to_string())
        .arg(config.stream_entries);
    for put in puts {
        command.arg(put.mark.seq).arg(put.key.as_str());
        match &put.change {
            Change::Put(octets) => command.arg(&octets[..]),
            Change::Forget => command.arg(""),
        };
    }
    command
}

/// A change of a record.
fn write(config: &Config, holder: &Identity, write: &Write<Key>) -> Cmd {
    let (space, mark) = (&config.space, write.mark);
    let keys = [fence(space), space.record(&write.key), stream(space)];
    let name = match write.change {
        Change::Put(_) => "lns_put",
        Change::Forget => "lns_forget",
    };
    let mut command = fcall(name, &keys);
    command
        .arg(mark.epoch.number())
        .arg(mark.seq)
        .arg(holder.to_string())
        .arg(write.key.as_str())
        .arg(config.stream_entries);
    if let Change::Put(octets) = &write.change {
        command.arg(&octets[..]);
    }
    command
}

/// A mastership.
pub(crate) fn claim(config: &Config, claim: &Claim) -> Cmd {
    let space = &config.space;
    let mut command = fcall("lns_claim", &[fence(space), stream(space)]);
    let seen = claim.seen.as_ref().map_or("", |beat| &*beat.0);
    command
        .arg(claim.mark.epoch.number())
        .arg(claim.mark.seq)
        .arg(claim.holder.to_string())
        .arg(&*claim.owner)
        .arg(seen)
        .arg(config.stream_entries)
        .arg(&claim.roster[..]);
    command
}

/// A sign of life of the master; a write which is in the order of all writes.
pub(crate) fn beat(space: &Space, epoch: Epoch, holder: &Identity) -> Cmd {
    let mut command = fcall("lns_beat", &[fence(space)]);
    command.arg(epoch.number()).arg(holder.to_string());
    command
}

/// The end of keys, if they are this owner's.
pub(crate) fn erase(space: &Space, owner: &str, names: &[String]) -> Cmd {
    let keys: Vec<String> = core::iter::once(fence(space))
        .chain(names.iter().cloned())
        .collect();
    let mut command = fcall("lns_erase", &keys);
    command.arg(owner);
    command
}

/// The name of the fence key.
pub(crate) fn fence(space: &Space) -> String {
    space.name("fence")
}

/// The name of the stream.
pub(crate) fn stream(space: &Space) -> String {
    space.name("stream")
}

fn fcall(name: &str, keys: &[String]) -> Cmd {
    let mut command = cmd("FCALL");
    command.arg(name).arg(keys.len()).arg(keys);
    command
}

/// A record as it is in Redis: its mark and its blob. `None`: it is none.
pub(crate) fn record(value: &[u8]) -> Option<(Mark, Bytes)> {
    let at = value.iter().position(|octet| *octet == b' ')?;
    let (head, rest) = value.split_at_checked(at)?;
    let mark = core::str::from_utf8(head).ok()?.parse().ok()?;
    Some((mark, Bytes::copy_from_slice(rest.get(1..)?)))
}

/// An answer, or what its error means.
pub(crate) fn answer(answer: Answer, address: &str) -> Result<Value, Error> {
    answer.map_err(|error| refusal(&error, address))
}

fn refusal(error: &ServerError, address: &str) -> Error {
    let detail = error.details().unwrap_or_default();
    let mark = || detail.parse().unwrap_or(Mark::ZERO);
    let refusal = match error.code() {
        "NOTHOLDER" => Refusal::NotHolder(fenced(detail)),
        "STALEEPOCH" => Refusal::StaleEpoch(fenced(detail)),
        "STALESEQ" => Refusal::StaleSeq { stored: mark() },
        "STALEID" => Refusal::StaleId { last: mark() },
        "OTHEROWNER" => {
            let (beat, owner) = detail.split_once(' ').unwrap_or((detail, ""));
            let (beat, owner) = (Beat(beat.into()), owner.into());
            Refusal::OtherOwner { owner, beat }
        }
        "NOREPLICAS" => Refusal::TooFewReplicas,
        "OOM" => Refusal::Full,
        code => return elsewhere(code, detail, address),
    };
    Error::Refused(refusal)
}

/// An error that says that this is not the server it should be; nothing was done.
fn elsewhere(code: &str, detail: &str, address: &str) -> Error {
    let address: Box<str> = address.into();
    let reason = match code {
        "READONLY" | "MASTERDOWN" => Reason::NotMaster {
            address,
            role: "replica".into(),
        },
        "LOADING" => Reason::Loading { address },
        "ERR" if detail.starts_with("Function not found") => Reason::Changed {
            address,
            why: "the function library is gone",
        },
        code => {
            let text = format!("{code} {detail}");
            return Error::Refused(Refusal::Other(text.into()));
        }
    };
    Error::Away(reason.into())
}

fn fenced(detail: &str) -> Fenced {
    let (epoch, holder) = detail.split_once(' ').unwrap_or((detail, ""));
    match epoch.parse().ok().and_then(Epoch::new) {
        Some(epoch) => Fenced {
            epoch: Some(epoch),
            holder: holder.into(),
        },
        None => Fenced::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_go_together_as_far_as_their_order_lets_them() {
        let write = |seq, change| Write {
            key: format!("s/1/{seq}").parse().unwrap(),
            mark: Mark::new(Epoch::new(1).unwrap(), seq).unwrap(),
            change,
        };
        let put = |seq| write(seq, Change::Put(Box::new([7])));
        let mut all: Vec<_> = (1..=40).map(put).collect();
        all.push(write(41, Change::Forget));
        all.push(write(42, Change::Forget));
        all.push(put(43));
        let second = core::time::Duration::from_secs(1);
        let config = Config {
            target: crate::Target::Server(crate::Endpoint::parse("redis://r").unwrap()),
            credentials: None,
            authorities: None,
            space: Space::new("isp", "edge").unwrap(),
            durability: crate::Durability::Single,
            stream_entries: 1,
            timing: crate::Timing {
                connect: second,
                call: second,
                watch: second,
                patience: second,
            },
        };
        let holder = "n1/1".parse().unwrap();
        let commands = writes(&config, &holder, &all);
        let counts: Vec<usize> = commands.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [32, 8, 1, 1, 1]);
    }

    #[test]
    fn the_version_is_that_of_the_library() {
        assert!(SOURCE.contains(&format!("\nlocal VERSION = {VERSION}\n")));
    }

    #[test]
    fn a_record_has_its_mark_in_front() {
        let mark = Mark::new(Epoch::new(7).unwrap(), 12).unwrap();
        for blob in [&b"1-2 \r\n\0"[..], b"", b" "] {
            let value = [b"7-12 ", blob].concat();
            assert_eq!(record(&value), Some((mark, Bytes::copy_from_slice(blob))));
        }
        for damaged in [&b""[..], b"7-12", b" 7-12", b"7 12", b"\xff-1 a"] {
            assert_eq!(record(damaged), None);
        }
    }
}
