//! The name of a session in accounting: Acct-Session-Id (RFC 2866, 5.5).

use core::fmt;
use core::num::ParseIntError;
use core::str::FromStr;

/// A session's name for servers: the same in each packet about it, and never another session's.
///
/// It is the number of the node's start and that of the session since then, so it is told apart from those
/// of earlier lives without anything being remembered but the number of starts.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AccountId {
    /// The node's start.
    pub epoch: u64,
    /// The session since then, from 1.
    pub number: u64,
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{:08x}", self.epoch, self.number)
    }
}

/// The text is no name that this node gives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NotAnAccountId;

impl FromStr for AccountId {
    type Err = NotAnAccountId;

    /// Reads what [`Display`](fmt::Display) writes, and nothing else: `+1` and `1` are numbers, too.
    fn from_str(text: &str) -> Result<Self, NotAnAccountId> {
        let (epoch, number) = text.split_once('-').ok_or(NotAnAccountId)?;
        let hex =
            |digits| u64::from_str_radix(digits, 16).map_err(|_: ParseIntError| NotAnAccountId);
        let id = Self {
            epoch: hex(epoch)?,
            number: hex(number)?,
        };
        if id.to_string() == text {
            Ok(id)
        } else {
            Err(NotAnAccountId)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_was_written_and_in_no_other_way() {
        for (epoch, number, text) in [
            (1, 2, "00000001-00000002"),
            (0xabcd_ef01, u64::from(u32::MAX) + 1, "abcdef01-100000000"),
            (u64::MAX, u64::MAX, "ffffffffffffffff-ffffffffffffffff"),
        ] {
            let id = AccountId { epoch, number };
            assert_eq!(id.to_string(), text);
            assert_eq!(text.parse(), Ok(id));
        }
        for text in [
            "",
            "-",
            "1-2",
            "00000001",
            "00000001-",
            "00000001-0000000G",
            "0000000A-00000001",
            "+0000001-00000002",
            "00000001-00000002-",
            "00000001-00000002 ",
            "000000001-00000002",
            "10000000000000000-00000001",
        ] {
            assert_eq!(text.parse::<AccountId>(), Err(NotAnAccountId), "{text}");
        }
    }
}
