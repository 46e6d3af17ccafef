//! The bounds of everything in this crate that could grow, each with its reason.

/// Flows of one table: 1.5 GiB of records and keys; more subscribers than one node serves have fewer.
pub const ENTRIES: u32 = 1 << 24;

/// The longest timeout, seconds: half the turn of the 24-bit clock (2^23), less the slack by which an
/// idle flow may outlive it, so that no age is mistaken for another.
pub const TIMEOUT: u32 = 8_000_000;

/// Policies of one node: each is a name, its tables and a counter per rule and thread.
pub const POLICIES: usize = 1_024;

/// Numbers of policies: more than there are policies, so that a number rests for long before it is
/// another policy's. 16 bits of a flow's record hold one.
pub const POLICY_NUMBERS: usize = 4 * POLICIES;

/// Rules of one table: a classifier is not slower for more, a person is.
pub const RULES: usize = 10_000;

/// Octets of the name of a policy or a rule, and of a Filter-Id: RADIUS carries no longer one (RFC 2865,
/// section 5).
pub const NAME: usize = 253;

/// Ranges, or values, in one list of a rule: more are better said by several rules.
pub const RANGES: usize = 64;

/// Policies in a row for one subscriber: each is asked in turn.
pub const CHAIN: usize = 8;

/// Different chains: each combination of policies that live subscribers have.
pub const CHAINS: usize = 4_096;

/// Entries that the rules of one table may become once ranges are cut into prefixes: some 70 octets each,
/// twice.
pub const COMPILED: usize = 1 << 18;

/// Entries of all tables of all policies: what a node spends on them at most, 150 MiB.
pub const COMPILED_IN_ALL: usize = 1 << 20;

/// Different masks of one table and family: each costs a look-up per packet that no flow knows.
pub const MASKS: usize = 512;

/// Octets of one octet match.
pub const OCTETS: usize = 16;

/// Octet matches of one rule.
pub const OCTET_MATCHES: usize = 4;
