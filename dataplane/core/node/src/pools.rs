//! The address pools of the manifest, as one.

use core::net::Ipv4Addr;
use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::Arc;

use ipnet::Ipv4Net;
use lns_tables::pool::{AddressPool, Allocation, PoolConfig};
use lns_tables::time::Instant;

use crate::config::Pool;
use crate::locals::Locals;
use crate::view;

/// All pools, in the order of the manifest; one that is gone from it comes last, as long as addresses
/// of it are held.
#[derive(Debug)]
pub(crate) struct Pools {
    all: Vec<Named>,
    locals: Locals,
    /// How long an address rests of which not everybody has heard that it was given back.
    unheard: Duration,
}

#[derive(Debug)]
struct Named {
    config: Pool,
    addresses: AddressPool,
    removed: bool,
    /// Former ends of our own that are kept back here: held, by nobody.
    kept: BTreeSet<Ipv4Addr>,
}

impl Pools {
    /// The pools of a validated manifest.
    pub(crate) fn new(pools: Vec<Pool>, unheard: Duration, now: Instant) -> Self {
        let mut this = Self {
            all: Vec::new(),
            locals: Locals::default(),
            unheard,
        };
        this.reconfigure(pools, now);
        this
    }

    /// Takes new pools over. What is held stays held; a pool that is gone gives out nothing more. What
    /// was our end of links and is not any more is kept back until it is [freed](Self::free_local).
    ///
    /// # Cost
    /// One step for each address that is used or rests.
    pub(crate) fn reconfigure(&mut self, pools: Vec<Pool>, now: Instant) {
        let before = self.configured();
        let after = pools.iter().map(|pool| pool.local_address).collect();
        self.locals.replace(&before, &after);
        for named in &mut self.all {
            named.let_go(now);
        }
        let locals: Vec<Ipv4Net> = pools
            .iter()
            .map(|pool| Ipv4Net::from(pool.local_address))
            .collect();
        let mut old = core::mem::take(&mut self.all);
        for config in pools {
            let mut addresses = config.addresses.clone();
            addresses.excluded.extend(&locals);
            let kept = old
                .iter()
                .position(|named| named.config.name == config.name)
                .map(|at| old.remove(at));
            // A validated configuration is never refused. If it were, a pool would stay as it was, and a
            // new one would not come.
            let pool = match kept {
                Some(mut named) => {
                    named.addresses.reconfigure(&addresses, now).ok();
                    Some(named.addresses)
                }
                None => AddressPool::new(&addresses)
                    .ok()
                    .map(|pool| pool.with_unheard(self.unheard)),
            };
            self.all.extend(pool.map(|addresses| Named {
                config,
                addresses,
                removed: false,
                kept: BTreeSet::new(),
            }));
        }
        for mut named in old {
            named.removed = true;
            named
                .addresses
                .reconfigure(&PoolConfig::default(), now)
                .ok();
            self.all.push(named);
        }
        self.keep_back();
        self.forget_unused();
    }

    /// Holds each former end of ours in the pool that would give it out.
    fn keep_back(&mut self) {
        for address in self.locals.former() {
            let mut pools = self.all.iter_mut();
            let found = pools.find(|named| named.addresses.contains(address));
            if let Some(named) = found
                && named.addresses.claim(address)
            {
                named.kept.insert(address);
            }
        }
    }

    /// Whether there is a pool of that name, and it is not about to go.
    pub(crate) fn has(&self, name: &str) -> bool {
        let mut pools = self.all.iter().filter(|named| !named.removed);
        pools.any(|named| *named.config.name == *name)
    }

    /// An address of the pool that is wanted, or of the first that has one; its pool and our end of the
    /// link.
    pub(crate) fn allocate(
        &mut self,
        wanted: Option<&str>,
        now: Instant,
    ) -> Option<(Ipv4Addr, Arc<str>, Ipv4Addr)> {
        let mut pools = self.all.iter_mut().filter(|named| {
            wanted.is_none_or(|wanted| *named.config.name == *wanted && !named.removed)
        });
        pools.find_map(|named| {
            let address = named.addresses.allocate(now)?;
            Some((
                address,
                Arc::clone(&named.config.name),
                named.config.local_address,
            ))
        })
    }

    /// Takes a given address. Its pool, if it is in one, and our end of the link; `None`: somebody has
    /// it, or it is no host's.
    pub(crate) fn claim(
        &mut self,
        address: Ipv4Addr,
    ) -> Option<(Option<Arc<str>>, Option<Ipv4Addr>)> {
        let default_local = self.all.first().map(|named| named.config.local_address);
        let Some(named) = self
            .all
            .iter_mut()
            .find(|named| named.addresses.contains(address))
        else {
            let is_host =
                !address.is_unspecified() && !address.is_broadcast() && !address.is_multicast();
            return is_host.then_some((None, default_local));
        };
        let claimed = named.addresses.claim(address);
        claimed.then(|| {
            (
                Some(Arc::clone(&named.config.name)),
                Some(named.config.local_address),
            )
        })
    }

    /// An address of this pool is held, whatever the pool says of it: a session was restored that has it.
    pub(crate) fn hold(&mut self, pool: &str, address: Ipv4Addr) {
        if let Some(named) = self
            .all
            .iter_mut()
            .find(|named| *named.config.name == *pool)
        {
            named.addresses.claim(address);
        }
    }

    /// An address of this pool was given back while another node served: it rests from now on, unless
    /// somebody has it.
    pub(crate) fn rest(&mut self, pool: &str, address: Ipv4Addr, now: Instant) {
        let named = self
            .all
            .iter_mut()
            .find(|named| *named.config.name == *pool);
        if let Some(named) = named
            && named.addresses.claim(address)
        {
            named.addresses.release(address, now);
        }
    }

    /// How long addresses of this pool rest.
    pub(crate) fn reuse_delay(&self, pool: &str) -> Duration {
        let named = self.all.iter().find(|named| *named.config.name == *pool);
        named.map_or(Duration::ZERO, |named| named.config.addresses.reuse_delay)
    }

    /// Everybody knows which addresses were given back before that moment.
    pub(crate) fn handle_heard(&mut self, before: Instant) {
        for named in &mut self.all {
            named.addresses.handle_heard(before);
        }
    }

    /// Gives an address back to its pool.
    pub(crate) fn release(&mut self, pool: &str, address: Ipv4Addr, now: Instant) {
        if let Some(named) = self
            .all
            .iter_mut()
            .find(|named| *named.config.name == *pool)
        {
            named.addresses.release(address, now);
            if named.removed {
                self.forget_unused();
            }
        }
    }

    /// Whether this is our end of some link, or was and is not freed.
    pub(crate) fn is_local(&self, address: Ipv4Addr) -> bool {
        self.locals.contains(address)
            || self
                .all
                .iter()
                .any(|named| named.config.local_address == address)
    }

    /// A session has this as our end of its link.
    pub(crate) fn begin_local(&mut self, local: Ipv4Addr) {
        self.locals.begin(local);
    }

    /// A session of those is over.
    pub(crate) fn end_local(&mut self, local: Ipv4Addr) {
        self.locals.end(local);
    }

    /// What sessions have as our end of their links, lowest first.
    pub(crate) fn locals_in_use(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.locals.in_use()
    }

    /// A former end of ours is an ordinary address from now on. It rests first, as after a subscriber.
    /// Nothing happens to one that a session still has.
    pub(crate) fn free_local(&mut self, address: Ipv4Addr, now: Instant) {
        if !self.locals.free(address) {
            return;
        }
        for named in &mut self.all {
            if named.kept.remove(&address) {
                named.addresses.release(address, now);
            }
        }
    }

    /// Our ends of the links of new sessions.
    fn configured(&self) -> BTreeSet<Ipv4Addr> {
        let pools = self.all.iter().filter(|named| !named.removed);
        pools.map(|named| named.config.local_address).collect()
    }

    /// Looks at `limit` addresses more that may have rested, pool by pool; whether that was all.
    pub(crate) fn settle(&mut self, now: Instant, limit: usize) -> bool {
        let mut pools = self.all.iter_mut();
        pools.all(|named| named.addresses.settle(now, limit))
    }

    pub(crate) fn view(&self) -> Vec<view::Pool> {
        self.all.iter().map(Named::view).collect()
    }

    fn forget_unused(&mut self) {
        self.all
            .retain(|named| !named.removed || named.addresses.counts().used > 0);
    }
}

impl Named {
    /// Holds nothing back any more.
    fn let_go(&mut self, now: Instant) {
        for address in core::mem::take(&mut self.kept) {
            self.addresses.release(address, now);
        }
    }

    fn view(&self) -> view::Pool {
        let counts = self.addresses.counts();
        // Held by nobody, so given out to nobody.
        let kept = u64::try_from(self.kept.len()).unwrap_or(u64::MAX);
        let prefixes = self
            .addresses
            .prefixes()
            .map(|prefix| match prefix.prefix.allocation {
                Allocation::Enabled => prefix.prefix.net.to_string(),
                Allocation::Disabled => format!("{} (drains)", prefix.prefix.net),
            });
        view::Pool {
            name: self.config.name.to_string(),
            local_address: self.config.local_address,
            prefixes: prefixes.collect(),
            reuse_delay_seconds: self.config.addresses.reuse_delay.as_secs(),
            free: counts.free,
            used: counts.used.saturating_sub(kept),
            resting: counts.resting,
            excluded: counts.excluded.saturating_add(kept),
        }
    }
}
