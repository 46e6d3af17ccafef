//! The bounds of one session, each with its reason.

use core::time::Duration;

/// How long an answer to a Configure- or Terminate-Request is waited for (RFC 1661, 4.6).
pub const RESTART: Duration = Duration::from_secs(3);

/// The very first Configure-Request is sent again after this long without an answer: a LAC that has
/// not yet opened its line loses the first one, and three seconds are long for a dial-in.
pub const EARLY_RESTART: Duration = Duration::from_millis(100);

/// Configure-Requests without an answer before the peer is given up (RFC 1661, 4.6).
pub const MAX_CONFIGURE: u8 = 10;

/// Terminate-Requests without an answer (RFC 1661, 4.6).
pub const MAX_TERMINATE: u8 = 2;

/// Configure-Naks in a row before what we dislike is rejected instead (RFC 1661, 4.6).
pub const MAX_FAILURE: u8 = 5;

/// Configure-Naks and -Rejects of what we ask for before there is no point in asking on: each renews
/// the tries of RFC 1661, 4.6, so that without this a peer that refuses at once could keep us busy as
/// fast as the line is. A peer with reasons needs three for the methods and five for the MRU.
pub const MAX_REFUSALS: u8 = 20;

/// Times in a row that our own magic number may come back before the line is called looped
/// (RFC 1661, 6.4). One coincidence has odds of 2^-32.
pub const MAX_LOOPS: u8 = 4;

/// How long a session may take from its start, or from a renegotiation, until IPCP is open: a
/// subscriber who has not got through by then holds a slot that another could have.
pub const BRING_UP: Duration = Duration::from_mins(1);

/// How long an answer to a challenge is waited for before it is sent again (RFC 1994, 4.1).
pub const AUTH_RESTART: Duration = Duration::from_secs(3);

/// Challenges without an answer. With [`AUTH_RESTART`] this is half of [`BRING_UP`].
pub const MAX_CHALLENGE: u8 = 10;

/// Requests of one EAP conversation: a method that carries certificates takes some tens, and none may
/// go on for ever.
pub const MAX_EAP_ROUNDS: u8 = 100;

/// Wrong passwords of a PAP peer before the line is ended. A CHAP peer has one try for each
/// challenge, and gets one challenge.
pub const MAX_ATTEMPTS: u8 = 3;

/// How long a PAP peer whose password was wrong has for another try: people do not type faster, but
/// they do not type here either.
pub const RETRY: Duration = Duration::from_secs(10);

/// The smallest MRU that is taken from a peer, octets: below it the headers of what we send are most
/// of what we send.
pub const MIN_MRU: u16 = 128;

/// What each side takes while nothing else is agreed (RFC 1661, 6.1), octets.
pub const DEFAULT_MRU: u16 = 1500;

/// Failure and success texts are cut to this many octets: what a PAP reply can carry (RFC 1334, 2.2.2).
pub const MAX_MESSAGE: usize = 255;

/// The longest name that is taken from a LAC, octets: what a RADIUS User-Name can carry (RFC 2865, 5).
pub const MAX_NAME: usize = 253;

/// The longest challenge that is taken from a LAC, octets: what a RADIUS CHAP-Challenge can carry (RFC
/// 2865, 5.40). A CHAP value has room for 255 (RFC 1994, 4.1).
pub const MAX_CHALLENGE_LEN: usize = 253;
