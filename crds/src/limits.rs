//! The bounds of the resources' lists and strings. Every list and string of the schema has one: the
//! API server multiplies them into the cost of the CEL rules and refuses a resource without.

/// Addresses of the service: a few per family are in use while one is moved to another.
pub const SERVICE_ADDRESSES: u32 = 8;

/// Entries of `lacs`: one per wholesaler and region; every SCCRQ is compared with them in order.
pub const LACS: u32 = 256;

/// Prefixes of one entry of `lacs`.
pub const LAC_PREFIXES: u32 = 32;

/// Pools: one per product or region.
pub const POOLS: u32 = 64;

/// Prefixes of one pool: address space comes in pieces, also after years of purchases.
pub const POOL_PREFIXES: u32 = 64;

/// Excluded ranges of one prefix; with more, an API server refuses the definition for the cost of
/// comparing them all.
pub const EXCLUDES: u32 = 24;

/// DNS servers: IPCP has options for two (RFC 1877, sections 1.1 and 1.3).
pub const DNS_SERVERS: u32 = 2;

/// Authentication protocols: the four that exist here; None stands alone.
pub const AUTHENTICATIONS: u32 = 4;

/// Labels of a node selector.
pub const NODE_LABELS: u32 = 16;

/// The shortest prefix of a pool: the whole of the shared address space (RFC 6598).
pub const SHORTEST_POOL_PREFIX: u8 = 10;

/// Addresses in all pools together. Eight for each of a node's million sessions; the free list keeps
/// four octets for each, so this is 32 MiB.
pub const POOL_ADDRESSES: u64 = 1 << 23;

/// Octets of a Host Name that we send or compare: what a domain name can have.
pub const HOST_NAME: u32 = 253;

/// Users in a `users.yaml`: one per session that a node can hold.
pub const USERS: usize = 1_000_000;

/// Octets of a user name: RADIUS carries no longer one (RFC 2865, section 5).
pub const USER_NAME: usize = 253;

/// Octets of a password: PAP counts it in one octet (RFC 1334, section 2.2.1).
pub const PASSWORD: usize = 255;

/// Octets of a shared secret below which a warning is given: 128 bits, if every one were random.
pub const WEAK_SECRET: usize = 16;

/// Octets of one manifest file: a million users with room to spare.
pub const FILE_OCTETS: u64 = 256 << 20;

/// Clusters that one `SessionPolicy` is for.
pub const CLUSTER_REFS: u32 = 16;

/// `SessionPolicy`s of one cluster, those that are for it (`lns_l2sess::limits::POLICIES`).
pub const POLICIES: usize = 1_024;

/// Policies in a row for one subscriber (`lns_l2sess::limits::CHAIN`).
pub const CHAIN: u32 = 8;

/// Values of Filter-Id that mean one policy: one per name that a product has had.
pub const FILTER_IDS: u32 = 32;

/// Octets of a Filter-Id: RADIUS carries no longer one (RFC 2865, section 5).
pub const FILTER_ID: u32 = 253;

/// Rules of one direction (`lns_l2sess::limits::RULES`).
pub const RULES: u32 = 10_000;

/// Ports of one rule and side: as many as iptables' `multiport` takes. More of these, or of the next, and
/// an API server refuses the definition: it multiplies them with the rules.
pub const RULE_PORTS: u32 = 15;

/// ICMP types, or codes, of one rule.
pub const RULE_ICMP: u32 = 4;

/// DSCPs of one rule: there are no more.
pub const RULE_DSCP: u32 = 64;

/// Lengths of one rule.
pub const RULE_LENGTHS: u32 = 4;

/// Octet matches of one rule (`lns_l2sess::limits::OCTET_MATCHES`).
pub const RULE_OCTETS: u32 = 4;

/// Octets of one octet match (`lns_l2sess::limits::OCTETS`).
pub const OCTETS: u32 = 16;

/// Where an octet match may begin: the last octet of the largest packet that a LAC's path carries.
pub const OCTETS_AT: u32 = 9_215;

/// The longest timeout, seconds (`lns_l2sess::limits::TIMEOUT`).
pub const TIMEOUT_SECONDS: u32 = 8_000_000;

/// The fastest rate, bits per second: ten times the fastest subscriber line there is.
pub const BITS_PER_SECOND: u64 = 100_000_000_000;

/// Flows of one node (`lns_l2sess::limits::ENTRIES`).
pub const FLOWS: u32 = 1 << 24;

/// Servers of one purpose: two or three per site and realm.
pub const RADIUS_SERVERS: u32 = 16;

/// Servers that are sent copies of accounting: each costs a packet for each record.
pub const RADIUS_COPIES: u32 = 4;

/// Realms of one server.
pub const REALMS: u32 = 32;

/// Characters of a realm: what a domain name can have.
pub const REALM: u32 = 253;

/// Attributes of a status check.
pub const CHECK_ATTRIBUTES: u32 = 16;

/// Octets of an attribute's value (RFC 2865, section 5).
pub const ATTRIBUTE: u32 = 253;

/// Octets of a User-Password (RFC 2865, section 5.2).
pub const USER_PASSWORD: usize = 128;

/// Octets of a certificate, a key or the authorities: a chain with room to spare.
pub const PEM_OCTETS: usize = 1 << 18;

/// Clients of dynamic authorization: each request is compared with them in order.
pub const DYNAMIC_CLIENTS: u32 = 32;

/// Prefixes of one of them.
pub const DYNAMIC_PREFIXES: u32 = 16;

/// Octets of the URL of a store: a host name, a port and a database, or the path of a socket.
pub const STORE_URL: u32 = 300;

/// Replicas of a store that are waited for.
pub const STORE_REPLICAS: u32 = 16;

/// Sentinels of a store: three or five vote.
pub const SENTINELS: u32 = 16;

/// Octets of a Sentinel's address: a host name, brackets and a port.
pub const SENTINEL_ADDRESS: u32 = 262;

/// Octets of a user's name at a store.
pub const STORE_USER: usize = 256;

/// Octets of a password at a store.
pub const STORE_PASSWORD: usize = 512;

/// The longest time for which a member forwards by itself, seconds: a day. What becomes free waits as long.
pub const STALENESS_SECONDS: u32 = 86_400;

/// Warnings of one sort; what is wrong with the first few is wrong with the rest.
pub const WARNINGS: usize = 8;

/// Conditions of an object: a few more than there are types.
pub const CONDITIONS: u32 = 16;

/// Characters of a version.
pub const VERSION: u32 = 128;

/// Characters of the name of a node, which is a DNS name.
pub const NODE_NAME: u32 = 253;

/// Characters of the uid of an object.
pub const UID: u32 = 64;

/// Characters of the name of an `LnsCluster`, as a rule of its definition has it.
pub const CLUSTER_NAME: u32 = 45;
