//! Result and error codes (RFC 2661, 4.4.2) and proxy authentication types (4.4.5).

use core::fmt;

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$code_doc:meta])* $code:ident = $value:literal $label:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
        pub struct $name(pub u16);

        impl $name {
            $($(#[$code_doc])* pub const $code: Self = Self($value);)*

            /// The value of a metric's label; `"unassigned"` for a number that the RFC does not name.
            pub const fn label(self) -> &'static str {
                match self.0 {
                    $($value => $label,)*
                    _ => "unassigned",
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{} ({})", self.0, self.label())
            }
        }
    };
}

codes! {
    /// Why a tunnel ends: the Result Code of a `StopCCN`.
    StopCcnResult {
        /// The sender wishes it.
        REQUEST = 1 "request",
        /// See the error code.
        GENERAL_ERROR = 2 "general_error",
        /// There is such a tunnel already.
        EXISTS = 3 "exists",
        /// The peer may not open a tunnel.
        NOT_AUTHORIZED = 4 "not_authorized",
        /// The peer's version is not spoken; the error code holds the highest that is.
        VERSION = 5 "version",
        /// The sender shuts down.
        SHUTDOWN = 6 "shutdown",
        /// A message came in a state that does not allow it.
        FSM_ERROR = 7 "fsm_error",
    }
}

codes! {
    /// Why a session ends: the Result Code of a CDN.
    CdnResult {
        /// The carrier was lost.
        LOST_CARRIER = 1 "lost_carrier",
        /// See the error code.
        GENERAL_ERROR = 2 "general_error",
        /// An administrator, or the subscriber's own hang-up.
        ADMINISTRATIVE = 3 "administrative",
        /// Facilities are lacking for the moment.
        NO_FACILITIES_NOW = 4 "no_facilities_now",
        /// Facilities are lacking for good.
        NO_FACILITIES_EVER = 5 "no_facilities_ever",
        /// The called number leads nowhere.
        INVALID_DESTINATION = 6 "invalid_destination",
        /// No carrier was found.
        NO_CARRIER = 7 "no_carrier",
        /// The called line was busy.
        BUSY = 8 "busy",
        /// There was no dial tone.
        NO_DIAL_TONE = 9 "no_dial_tone",
        /// The LAC's patience ended before the call was up.
        TIMEOUT = 10 "timeout",
        /// The line was up, its framing was not recognised.
        NO_FRAMING = 11 "no_framing",
    }
}

codes! {
    /// The error code beside result 2 of a `StopCCN` or CDN.
    GeneralError {
        /// No general error.
        NONE = 0 "none",
        /// There is no control connection yet for this pair.
        NO_TUNNEL = 1 "no_tunnel",
        /// A length is wrong.
        LENGTH = 2 "length",
        /// A value is out of range, or a reserved field is not zero.
        RANGE = 3 "range",
        /// Resources do not suffice now.
        RESOURCES = 4 "resources",
        /// The session id does not fit here.
        SESSION_ID = 5 "session_id",
        /// Something that only the sender knows.
        VENDOR = 6 "vendor",
        /// Try another LNS.
        TRY_ANOTHER = 7 "try_another",
        /// An AVP with the M bit was not known.
        UNKNOWN_MANDATORY_AVP = 8 "unknown_mandatory_avp",
    }
}

codes! {
    /// How the LAC has authenticated the subscriber (RFC 2661, 4.4.5: Proxy Authen Type).
    ProxyAuthenType {
        /// A dialogue in plain text, outside PPP.
        TEXTUAL = 1 "textual",
        /// CHAP (RFC 1994).
        CHAP = 2 "chap",
        /// PAP (RFC 1334).
        PAP = 3 "pap",
        /// Not at all.
        NONE = 4 "none",
        /// MS-CHAP version 1 (RFC 2433).
        MS_CHAP_V1 = 5 "ms_chap_v1",
    }
}
