//! Why there is no connection to a peer: for machines, and in words for a log.

use core::fmt;
use std::io;

use rustls::AlertDescription;

use crate::wire::{FrameError, Refused, RefusedFor, Unreadable};

/// Why a connection was not made, or has ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failed {
    /// Why.
    pub why: FailedFor,
    /// The same in words.
    pub words: String,
}

/// Why a connection was not made, or has ended.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum FailedFor {
    /// Nobody answers there, or somebody refuses.
    Unreachable,
    /// It took too long, or nothing has come for too long.
    Timeout,
    /// What is there does not speak our TLS.
    Tls,
    /// A certificate is not believed, by us or by the peer.
    Certificate,
    /// The peer has closed it.
    Closed,
    /// The peer has said goodbye because it leaves.
    Left,
    /// What came cannot be followed.
    Stream,
    /// We have refused the peer.
    Refused(RefusedFor),
    /// The peer has refused us.
    RefusedByPeer(RefusedFor),
    /// There is a better connection.
    Replaced,
    /// We leave.
    Leaving,
}

impl FailedFor {
    /// The value of a metric's label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Tls => "tls",
            Self::Certificate => "certificate",
            Self::Closed => "closed",
            Self::Left => "left",
            Self::Stream => "stream",
            Self::Refused(why) | Self::RefusedByPeer(why) => why.label(),
            Self::Replaced => "replaced",
            Self::Leaving => "leaving",
        }
    }
}

impl Failed {
    pub(crate) fn new(why: FailedFor, words: impl Into<String>) -> Self {
        Self {
            why,
            words: words.into(),
        }
    }

    /// By an error of a stream, secured or not.
    pub(crate) fn of(error: &io::Error) -> Self {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref());
        let why = match (tls, error.kind()) {
            (Some(error), _) => of_tls(error),
            (None, io::ErrorKind::TimedOut) => FailedFor::Timeout,
            (
                None,
                io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof,
            ) => FailedFor::Closed,
            (None, io::ErrorKind::InvalidData) => FailedFor::Tls,
            (None, _) => FailedFor::Unreachable,
        };
        Self::new(why, error.to_string())
    }

    pub(crate) fn timeout(what: &str) -> Self {
        Self::new(FailedFor::Timeout, what)
    }

    /// We refuse the peer.
    pub(crate) fn refused(refused: Refused) -> Self {
        Self::new(FailedFor::Refused(refused.why), refused.words)
    }

    /// The peer refuses us.
    pub(crate) fn refused_by_peer(refused: &Refused) -> Self {
        let words = format!("the peer says: {}", refused.words);
        Self::new(FailedFor::RefusedByPeer(refused.why), words)
    }
}

impl From<FrameError> for Failed {
    fn from(error: FrameError) -> Self {
        Self::new(FailedFor::Stream, error.to_string())
    }
}

impl From<Unreadable> for Failed {
    fn from(error: Unreadable) -> Self {
        Self::new(FailedFor::Stream, error.to_string())
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

/// Whether TLS failed for a certificate, ours or the peer's, or for something else.
fn of_tls(error: &rustls::Error) -> FailedFor {
    const ALERTS: [AlertDescription; 9] = [
        // A signature is wrong: that of an authority of the same name and another key, for instance.
        AlertDescription::DecryptError,
        AlertDescription::NoCertificate,
        AlertDescription::BadCertificate,
        AlertDescription::UnsupportedCertificate,
        AlertDescription::CertificateRevoked,
        AlertDescription::CertificateExpired,
        AlertDescription::CertificateUnknown,
        AlertDescription::CertificateRequired,
        AlertDescription::UnknownCA,
    ];
    let is_theirs = if let rustls::Error::AlertReceived(alert) = error {
        ALERTS.contains(alert)
    } else {
        false
    };
    let is_ours = matches!(
        error,
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented
    );
    if is_theirs || is_ours {
        FailedFor::Certificate
    } else {
        FailedFor::Tls
    }
}
