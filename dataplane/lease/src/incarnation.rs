//! Who a node is this time (rule E5): `node/podUid/bootId/nonce`, without the pod's where there is no pod.
//!
//! The nonce is drawn for each elector, so one that has stepped down and stands again is another holder.

use std::io;

use lns_cluster::{Identity, IdentityError, NodeName};

use crate::clock;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What stays the same from one incarnation to the next in this process.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    node: NodeName,
    /// The pod's uid and the machine's boot, with slashes.
    place: String,
}

impl Origin {
    pub(crate) fn new(node: NodeName, pod_uid: Option<&str>) -> Result<Self, io::Error> {
        let boot = std::fs::read_to_string(BOOT_ID)?;
        let parts = pod_uid.into_iter().chain([boot.trim()]);
        Ok(Self {
            node,
            place: parts.collect::<Vec<_>>().join("/"),
        })
    }

    /// The next one. Without randomness the time since the machine was started serves as well: no two
    /// electors of a machine begin at the same nanosecond.
    pub(crate) fn next(&self) -> Result<Identity, IdentityError> {
        let nonce = getrandom::u64().unwrap_or_else(|_| clock::now().as_nanos());
        Identity::new(self.node.clone(), &format!("{}/{nonce:016x}", self.place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incarnation_names_pod_and_boot_and_never_comes_twice() {
        let boot = std::fs::read_to_string(BOOT_ID).unwrap();
        let node = NodeName::new("worker-1").unwrap();
        let text = |pod_uid| {
            let origin = Origin::new(node.clone(), pod_uid).unwrap();
            let (one, other) = (origin.next().unwrap(), origin.next().unwrap());
            assert_ne!(one, other);
            let text = one.to_string();
            text[..text.rfind('/').unwrap()].to_owned()
        };
        assert_eq!(text(Some("1-2")), format!("worker-1/1-2/{}", boot.trim()));
        assert_eq!(text(None), format!("worker-1/{}", boot.trim()));
    }
}
