//! The driver of an elector: a Lease of a Kubernetes API server.
//!
//! [`lns_cluster::Elector`] decides who is master; this crate carries its requests to the API server and
//! the answers back, and makes known what it decides. [`start`] gives a [`Running`] driver: a [`Handle`] to
//! speak to it, a [`Standing`] that says what this node may do and until when, each step for the log, and
//! questions for promises that somebody else's channel carries to members.
//!
//! It serves the members of a cluster ([`Candidates::Rostered`]: Lease `<cluster>.master`, promises) and
//! controllers with replicas ([`Candidates::Open`]: a Lease of any name, no roster).
//!
//! Rules E3, E5 and E6 of `dataplane/SPECIFICATION.md`, section 13, as far as they are a driver's: `api` has
//! what each answer is taken for, `record` what stands in the Lease, `hint` the watch. Not here: the gate,
//! the store's fence, the channel between members, and who is on the roster.
#![doc = ""]
#![doc = "# What it needs of the API server"]
#![doc = "```yaml"]
#![doc = include_str!("../rbac.yaml")]
#![doc = "```"]
#![forbid(unsafe_code)]

mod api;
mod chance;
pub mod clock;
mod connect;
mod driver;
mod hint;
mod incarnation;
mod limits;
pub mod look;
mod name;
mod node;
mod notes;
mod object;
mod record;
mod trouble;

pub use connect::{client, config};
pub use driver::{
    Candidates, Config, Ended, Handle, Question, Running, Seen, Standing, StartError, Told, start,
};
pub use limits::NOTES;
pub use name::{CLUSTER_NAME, ClusterName, LeaseName, NameError};
pub use node::{Announcing, Directory, Entry, NodeConfig, NodeState, Nodes, announce, directory};
pub use notes::{NoteError, Notes};
pub use object::{CLUSTER_LABEL, KIND_LABEL};
pub use trouble::{Cause, Trouble};
