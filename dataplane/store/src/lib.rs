//! Where session records live.
#![forbid(unsafe_code)]

mod config;
mod error;
mod record;
mod remote;

pub use config::{Address, Config, Credentials, Durability, Endpoint, Target, Timing, UrlError};
pub use error::{Beat, Error, Fenced, Reason, Refusal, UnsafeSetting};
pub use record::{Change, Entry, Key, MAX_PATH, Mark, NameError, Record, Space, Write};
pub use remote::{
    ACL, Claim, Digest, Fence, Followed, LinkId, Load, Origin, Redis, Server, State, Tail, Version,
    Written,
};
