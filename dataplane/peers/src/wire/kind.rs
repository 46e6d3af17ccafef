//! The kinds of frames, and what is to be known of each before it is read.

/// A kind of frame.
///
/// What a kind's body is never changes: something that a body lacks is a new kind, of a new version
/// ([`Kind::since`]), which older versions skip.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// Who is there. The first frame, and only that.
    Hello,
    /// Why the connection is not taken. The last frame.
    Refused,
    /// The connection ends, and why. The last frame.
    Goodbye,
    /// The sender lives, and what epoch it knows.
    Alive,
    /// What to seal packets with that are handed over.
    DataKey,
    /// A master asks for a promise.
    Ask,
    /// The answer.
    Promise,
    /// There is no promise, and why.
    AskRefused,
    /// How far the sender has applied the stream of changes.
    Applied,
    /// An L2TP control message that came to a member.
    Control,
    /// A PPP frame that is not IP and came to a member.
    Ppp,
    /// What sessions have received and sent at a member.
    Report,
    /// Where the stream of changes is.
    AskPosition,
    /// Records newer than a mark.
    AskRecords,
    /// A request of dynamic authorization that came to a member.
    AskDynamic,
    /// A request of the admin interface.
    AskAdmin,
    /// A position.
    Position,
    /// A page of records.
    Records,
    /// An answer to dynamic authorization.
    Dynamic,
    /// What of an answer of the admin interface comes before its end.
    AdminPart,
    /// The rest of it, and what it is.
    Admin,
    /// There is no answer, and why.
    Failed,
}

impl Kind {
    /// All.
    pub const ALL: [Self; 22] = [
        Self::Hello,
        Self::Refused,
        Self::Goodbye,
        Self::Alive,
        Self::DataKey,
        Self::Ask,
        Self::Promise,
        Self::AskRefused,
        Self::Applied,
        Self::Control,
        Self::Ppp,
        Self::Report,
        Self::AskPosition,
        Self::AskRecords,
        Self::AskDynamic,
        Self::AskAdmin,
        Self::Position,
        Self::Records,
        Self::Dynamic,
        Self::AdminPart,
        Self::Admin,
        Self::Failed,
    ];

    /// The number in a frame.
    pub const fn code(self) -> u16 {
        match self {
            Self::Hello => 0,
            Self::Refused => 1,
            Self::Goodbye => 2,
            Self::Alive => 3,
            Self::DataKey => 4,
            Self::Ask => 16,
            Self::Promise => 17,
            Self::AskRefused => 18,
            Self::Applied => 19,
            Self::Control => 32,
            Self::Ppp => 33,
            Self::Report => 34,
            Self::AskPosition => 48,
            Self::AskRecords => 49,
            Self::AskDynamic => 50,
            Self::AskAdmin => 51,
            Self::Position => 64,
            Self::Records => 65,
            Self::Dynamic => 66,
            Self::AdminPart => 67,
            Self::Admin => 68,
            Self::Failed => 69,
        }
    }

    /// The kind of this number.
    pub fn of(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// The value of a metric's label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Refused => "refused",
            Self::Goodbye => "goodbye",
            Self::Alive => "alive",
            Self::DataKey => "data_key",
            Self::Ask => "ask",
            Self::Promise => "promise",
            Self::AskRefused => "ask_refused",
            Self::Applied => "applied",
            Self::Control => "control",
            Self::Ppp => "ppp",
            Self::Report => "report",
            Self::AskPosition => "ask_position",
            Self::AskRecords => "ask_records",
            Self::AskDynamic => "ask_dynamic",
            Self::AskAdmin => "ask_admin",
            Self::Position => "position",
            Self::Records => "records",
            Self::Dynamic => "dynamic",
            Self::AdminPart => "admin_part",
            Self::Admin => "admin",
            Self::Failed => "failed",
        }
    }

    /// The first version of the channel that knows it: nothing is sent to a peer that does not.
    pub const fn since(self) -> u16 {
        match self {
            Self::Hello
            | Self::Refused
            | Self::Goodbye
            | Self::Alive
            | Self::DataKey
            | Self::Ask
            | Self::Promise
            | Self::AskRefused
            | Self::Applied
            | Self::Control
            | Self::Ppp
            | Self::Report
            | Self::AskPosition
            | Self::AskRecords
            | Self::AskDynamic
            | Self::AskAdmin
            | Self::Position
            | Self::Records
            | Self::Dynamic
            | Self::AdminPart
            | Self::Admin
            | Self::Failed => 1,
        }
    }

    /// Whether a frame that was made under an older epoch than the receiver knows is refused (spec:
    /// F4): all that changes something, or that something is believed by.
    ///
    /// Questions for promises and their answers carry the epoch that they are about, and the elector
    /// refuses by it, by name. Records carry their own marks, and whoever takes over asks those who have
    /// not heard of its epoch yet.
    pub const fn is_fenced(self) -> bool {
        match self {
            Self::Applied
            | Self::Control
            | Self::Ppp
            | Self::Report
            | Self::AskDynamic
            | Self::AskAdmin
            | Self::Position
            | Self::Dynamic
            | Self::AdminPart
            | Self::Admin => true,
            Self::Hello
            | Self::Refused
            | Self::Goodbye
            | Self::Alive
            | Self::DataKey
            | Self::Ask
            | Self::Promise
            | Self::AskRefused
            | Self::AskPosition
            | Self::AskRecords
            | Self::Records
            | Self::Failed => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_number_and_label() {
        for kind in Kind::ALL {
            assert_eq!(Kind::of(kind.code()), Some(kind));
            let same = |other: &Kind| other.label() == kind.label();
            assert_eq!(Kind::ALL.iter().filter(|other| same(other)).count(), 1);
        }
        assert_eq!(Kind::of(5), None);
        assert_eq!(Kind::of(u16::MAX), None);
    }
}
