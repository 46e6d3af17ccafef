//! The numbers of attributes (RFC 2865, 5; 2866, 5; 2868, 3; 2869, 5; 3162, 2; 4818, 3; 5176, 3; 6929, 2.1).

macro_rules! kinds {
    ($($name:ident = $number:literal $text:literal,)*) => {
        $(#[doc = $text] pub const $name: u8 = $number;)*

        /// The name of the registry, of those that are known here.
        pub const fn name(kind: u8) -> Option<&'static str> {
            Some(match kind {
                $($number => $text,)*
                _ => return None,
            })
        }

        /// The number of the attribute with that name of the registry.
        pub fn number(name: &str) -> Option<u8> {
            [$(($text, $number)),*]
                .into_iter()
                .find(|(known, _)| *known == name)
                .map(|(_, number)| number)
        }
    };
}

kinds! {
    USER_NAME = 1 "User-Name",
    USER_PASSWORD = 2 "User-Password",
    CHAP_PASSWORD = 3 "CHAP-Password",
    NAS_IP_ADDRESS = 4 "NAS-IP-Address",
    NAS_PORT = 5 "NAS-Port",
    SERVICE_TYPE = 6 "Service-Type",
    FRAMED_PROTOCOL = 7 "Framed-Protocol",
    FRAMED_IP_ADDRESS = 8 "Framed-IP-Address",
    FRAMED_IP_NETMASK = 9 "Framed-IP-Netmask",
    FILTER_ID = 11 "Filter-Id",
    FRAMED_MTU = 12 "Framed-MTU",
    REPLY_MESSAGE = 18 "Reply-Message",
    FRAMED_ROUTE = 22 "Framed-Route",
    STATE = 24 "State",
    CLASS = 25 "Class",
    VENDOR_SPECIFIC = 26 "Vendor-Specific",
    SESSION_TIMEOUT = 27 "Session-Timeout",
    IDLE_TIMEOUT = 28 "Idle-Timeout",
    TERMINATION_ACTION = 29 "Termination-Action",
    CALLED_STATION_ID = 30 "Called-Station-Id",
    CALLING_STATION_ID = 31 "Calling-Station-Id",
    NAS_IDENTIFIER = 32 "NAS-Identifier",
    PROXY_STATE = 33 "Proxy-State",
    ACCT_STATUS_TYPE = 40 "Acct-Status-Type",
    ACCT_DELAY_TIME = 41 "Acct-Delay-Time",
    ACCT_INPUT_OCTETS = 42 "Acct-Input-Octets",
    ACCT_OUTPUT_OCTETS = 43 "Acct-Output-Octets",
    ACCT_SESSION_ID = 44 "Acct-Session-Id",
    ACCT_AUTHENTIC = 45 "Acct-Authentic",
    ACCT_SESSION_TIME = 46 "Acct-Session-Time",
    ACCT_INPUT_PACKETS = 47 "Acct-Input-Packets",
    ACCT_OUTPUT_PACKETS = 48 "Acct-Output-Packets",
    ACCT_TERMINATE_CAUSE = 49 "Acct-Terminate-Cause",
    ACCT_INPUT_GIGAWORDS = 52 "Acct-Input-Gigawords",
    ACCT_OUTPUT_GIGAWORDS = 53 "Acct-Output-Gigawords",
    EVENT_TIMESTAMP = 55 "Event-Timestamp",
    CHAP_CHALLENGE = 60 "CHAP-Challenge",
    NAS_PORT_TYPE = 61 "NAS-Port-Type",
    PORT_LIMIT = 62 "Port-Limit",
    TUNNEL_TYPE = 64 "Tunnel-Type",
    TUNNEL_MEDIUM_TYPE = 65 "Tunnel-Medium-Type",
    TUNNEL_CLIENT_ENDPOINT = 66 "Tunnel-Client-Endpoint",
    TUNNEL_SERVER_ENDPOINT = 67 "Tunnel-Server-Endpoint",
    ACCT_TUNNEL_CONNECTION = 68 "Acct-Tunnel-Connection",
    CONNECT_INFO = 77 "Connect-Info",
    EAP_MESSAGE = 79 "EAP-Message",
    MESSAGE_AUTHENTICATOR = 80 "Message-Authenticator",
    ACCT_INTERIM_INTERVAL = 85 "Acct-Interim-Interval",
    NAS_PORT_ID = 87 "NAS-Port-Id",
    FRAMED_POOL = 88 "Framed-Pool",
    TUNNEL_CLIENT_AUTH_ID = 90 "Tunnel-Client-Auth-ID",
    TUNNEL_SERVER_AUTH_ID = 91 "Tunnel-Server-Auth-ID",
    NAS_IPV6_ADDRESS = 95 "NAS-IPv6-Address",
    FRAMED_INTERFACE_ID = 96 "Framed-Interface-Id",
    FRAMED_IPV6_PREFIX = 97 "Framed-IPv6-Prefix",
    FRAMED_IPV6_ROUTE = 99 "Framed-IPv6-Route",
    FRAMED_IPV6_POOL = 100 "Framed-IPv6-Pool",
    ERROR_CAUSE = 101 "Error-Cause",
    DELEGATED_IPV6_PREFIX = 123 "Delegated-IPv6-Prefix",
    DELEGATED_IPV6_PREFIX_POOL = 171 "Delegated-IPv6-Prefix-Pool",
    EXTENDED_1 = 241 "Extended-Attribute-1",
}

/// Vendors' numbers, and those of their attributes that are understood (RFC 2548 for Microsoft's).
pub mod vendor {
    /// Cisco: 1 is Cisco-AVPair.
    pub const CISCO: u32 = 9;
    /// Microsoft: MS-CHAP and DNS servers.
    pub const MICROSOFT: u32 = 311;
    /// Ascend: DNS servers.
    pub const ASCEND: u32 = 529;

    /// Cisco-AVPair.
    pub const CISCO_AVPAIR: u8 = 1;
    /// MS-CHAP-Error.
    pub const MS_CHAP_ERROR: u8 = 2;
    /// MS-CHAP-Challenge.
    pub const MS_CHAP_CHALLENGE: u8 = 11;
    /// MS-CHAP2-Response.
    pub const MS_CHAP2_RESPONSE: u8 = 25;
    /// MS-CHAP2-Success.
    pub const MS_CHAP2_SUCCESS: u8 = 26;
    /// MS-Primary-DNS-Server.
    pub const MS_PRIMARY_DNS: u8 = 28;
    /// MS-Secondary-DNS-Server.
    pub const MS_SECONDARY_DNS: u8 = 29;
    /// Ascend-Client-Primary-DNS.
    pub const ASCEND_PRIMARY_DNS: u8 = 135;
    /// Ascend-Client-Secondary-DNS.
    pub const ASCEND_SECONDARY_DNS: u8 = 136;
}
