//! Which flows are asked for: of whom, and which of theirs.

use core::net::Ipv4Addr;
use std::sync::Arc;

use lns_l2sess::table::Flow as Record;
use lns_node::view::SessionFilter;

use super::super::Refusal;
use super::row::Ends;
use crate::cli::{FlowClass, Protocol, Remote, SessionName};

/// Which flows are wanted: all that is given must match.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    /// Whose they are; `None`: everybody's.
    pub(super) of: Option<Of>,
    pub(super) which: Which,
}

/// Whose flows are wanted.
#[derive(Clone, Debug)]
pub(super) struct Of {
    /// This session.
    pub(super) session: Option<SessionName>,
    /// Sessions that match this.
    pub(super) sessions: Arc<SessionFilter>,
}

/// Which flows of a session are wanted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Which {
    remote: Option<Remote>,
    protocol: Option<Protocol>,
    class: Option<FlowClass>,
}

impl Which {
    /// Whether a flow is wanted.
    pub(super) fn wants(&self, record: &Record) -> bool {
        self.protocol
            .is_none_or(|protocol| protocol.is(record.key.protocol()))
            && self
                .class
                .is_none_or(|class| record.state.class(record.key.is_tcp()) == class.of_flows())
            && self.remote.is_none_or(|remote| is_at(record, remote))
    }

    /// Whether every flow is.
    pub(super) fn is_everything(&self) -> bool {
        *self == Self::default()
    }
}

fn is_at(record: &Record, remote: Remote) -> bool {
    let [_, (address, port)] = Ends::new(record).ends;
    address == remote.address && (remote.port.is_none() || remote.port == port)
}

/// A filter as it is asked for, in words.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    pub(super) user: Option<String>,
    pub(super) session: Option<String>,
    pub(super) lac: Option<String>,
    pub(super) address: Option<Ipv4Addr>,
    pub(super) calling_number: Option<String>,
    pub(super) remote: Option<String>,
    pub(super) protocol: Option<String>,
    pub(super) class: Option<FlowClass>,
}

impl Asked {
    /// Reads the words.
    ///
    /// # Errors
    /// What is no session, no remote end, no protocol.
    pub(super) fn read(self) -> Result<Filter, Refusal> {
        let sessions = SessionFilter {
            user: self.user.map(|user| user.into_bytes().into()),
            lac: self.lac,
            address: self.address,
            calling_number: self.calling_number,
            ..SessionFilter::default()
        };
        let session = parsed(self.session)?;
        let is_everybody = session.is_none()
            && sessions.user.is_none()
            && sessions.lac.is_none()
            && sessions.address.is_none()
            && sessions.calling_number.is_none();
        Ok(Filter {
            of: (!is_everybody).then(|| Of {
                session,
                sessions: Arc::new(sessions),
            }),
            which: Which {
                remote: parsed(self.remote)?,
                protocol: parsed(self.protocol)?,
                class: self.class,
            },
        })
    }
}

fn parsed<T: core::str::FromStr<Err = String>>(text: Option<String>) -> Result<Option<T>, Refusal> {
    text.map(|text| text.parse().map_err(Refusal::bad))
        .transpose()
}

#[cfg(test)]
mod tests {
    use lns_l2sess::Direction;
    use lns_l2sess::key::Detail;

    use super::super::row::tests::record;
    use super::*;

    fn words(remote: &str, protocol: &str, class: Option<FlowClass>) -> Asked {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Asked {
            remote: text(remote),
            protocol: text(protocol),
            class,
            ..Asked::default()
        }
    }

    #[test]
    fn all_that_is_asked_for_must_match() {
        let web = record(
            Direction::Input,
            6,
            Detail::Ports {
                source: 40_000,
                destination: 443,
            },
        );
        let wants = |asked: Asked| asked.read().unwrap().which.wants(&web);
        assert!(wants(Asked::default()));
        for (remote, protocol, class, expected) in [
            ("203.0.113.7", "", None, true),
            ("203.0.113.7:443", "tcp", Some(FlowClass::Transient), true),
            ("203.0.113.7:444", "", None, false),
            ("203.0.113.8", "tcp", None, false),
            ("100.64.0.5", "", None, false),
            ("", "6", Some(FlowClass::Established), false),
            ("", "icmp", None, false),
        ] {
            assert_eq!(
                wants(words(remote, protocol, class)),
                expected,
                "{remote} {protocol} {class:?}"
            );
        }
    }

    #[test]
    fn a_flow_without_ports_is_at_no_port() {
        let tunnel = record(Direction::Output, 47, Detail::None);
        let wants = |remote| words(remote, "", None).read().unwrap().which.wants(&tunnel);
        assert!(wants("203.0.113.7") && !wants("203.0.113.7:443"));
    }

    #[test]
    fn everybody_is_meant_where_nobody_is_named() {
        assert!(words("203.0.113.7", "", None).read().unwrap().of.is_none());
        let of = |asked: Asked| asked.read().unwrap().of;
        let alice = Asked {
            user: Some("alice".to_owned()),
            ..Asked::default()
        };
        assert!(of(alice).is_some_and(|of| of.session.is_none() && of.sessions.user.is_some()));
        let one = Asked {
            session: Some("4711.12".to_owned()),
            ..Asked::default()
        };
        assert!(of(one).is_some_and(|of| of.session.is_some()));
    }

    #[test]
    fn words_that_mean_nothing_are_refused() {
        for asked in [
            words("host", "", None),
            words("", "http", None),
            Asked {
                session: Some("12".to_owned()),
                ..Asked::default()
            },
        ] {
            assert!(asked.read().is_err());
        }
    }
}
