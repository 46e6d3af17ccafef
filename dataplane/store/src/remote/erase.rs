//! The end of a cluster's records.

use super::scan::Scan;
use super::{Redis, functions};
use crate::error::Error;

/// Keys that one call deletes: it holds up others for less than a millisecond.
const TOGETHER: usize = 256;

impl Redis {
    /// Deletes all that the cluster has, if it is this owner's (the uid of the `LnsCluster`), or nobody's: records,
    /// then the stream, then the fence. Gives how many records that were.
    ///
    /// Nobody is to write any more: what a master writes meanwhile may stay.
    ///
    /// # Errors
    /// [`OtherOwner`](crate::Refusal::OtherOwner), and then nothing was deleted; or the store is away, and some of it
    /// may be.
    pub async fn erase(&self, owner: &str) -> Result<u64, Error> {
        let (_, server) = self.up()?;
        let space = &self.dialer.config.space;
        let mut scan = Scan::begin(&self.dialer, &server).await?;
        let mut erased = 0_u64;
        while let Some(keys) = scan.keys().await? {
            for keys in keys.chunks(TOGETHER) {
                let names = scan.names(keys);
                self.ask_one(functions::erase(space, owner, &names)).await?;
                erased = erased.saturating_add(u64::try_from(keys.len()).unwrap_or(u64::MAX));
            }
        }
        for last in [functions::stream(space), functions::fence(space)] {
            self.ask_one(functions::erase(space, owner, &[last]))
                .await?;
        }
        Ok(erased)
    }
}
