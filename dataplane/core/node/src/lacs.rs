//! The LAC entries of the manifest, what their tunnels use, and the LACs that were turned away.

use core::net::{IpAddr, SocketAddr};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;
use lns_l2tp::{SecretChoice, TunnelConfig, hiding};
use lns_tables::time::Instant;
use lns_wire::l2tp::{self, Message};

use crate::config::{Admission, Lac};
use crate::rate::Bucket;
use crate::{glob, limits, view};

/// One entry and what its tunnels use together.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The entry's name, shared with all that belongs to it.
    pub(crate) name: Arc<str>,
    /// `None`: gone from the manifest while its tunnels live on.
    profile: Option<Arc<Profile>>,
    /// Half-open ones included.
    pub(crate) tunnels: u32,
    /// Calls in any state.
    pub(crate) sessions: u32,
    setups: u64,
    refusals: BTreeMap<&'static str, u64>,
    bucket: Bucket,
}

/// An entry as the manifest has it, and what follows from it for tunnels and calls. What lives keeps
/// the one under which it began.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) lac: Lac,
    pub(crate) tunnel: Arc<TunnelConfig>,
    pub(crate) ppp: Arc<lns_ppp::Config>,
}

/// Why a LAC, or a call of it, is turned away.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Denial {
    /// No entry has this address and host name.
    Unknown,
    /// The entry says `Refuse`, or is gone.
    Refused,
    /// The entry says `Drain`, or the node drains.
    Draining,
    /// The node has taken over and does not know yet who holds which ids and addresses.
    TakingOver,
    /// `limits.maxTunnels`.
    MaxTunnels,
    /// `limits.maxSessions`.
    MaxSessions,
    /// `limits.maxSetupsPerSecond`.
    SetupRate,
}

impl Denial {
    /// The reason as logs, metrics and `lnsd lacs` show it.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Unknown => "unknown_lac",
            Self::Refused => "admission_refuse",
            Self::Draining => "draining",
            Self::TakingOver => "taking_over",
            Self::MaxTunnels => "max_tunnels",
            Self::MaxSessions => "max_sessions",
            Self::SetupRate => "max_setups_per_second",
        }
    }
}

/// All entries, in the order of the manifest; those that are gone from it come last.
#[derive(Debug)]
pub(crate) struct Lacs {
    entries: Vec<Entry>,
    /// Where the entry of a name is.
    places: BTreeMap<Arc<str>, usize>,
    refused: BTreeMap<IpAddr, Refused>,
}

#[derive(Debug)]
struct Refused {
    remote: SocketAddr,
    host_name: Box<str>,
    reason: &'static str,
    count: u64,
    at: Instant,
}

impl Lacs {
    pub(crate) fn new(profiles: Vec<Profile>, now: Instant) -> Self {
        let mut this = Self {
            entries: Vec::new(),
            places: BTreeMap::new(),
            refused: BTreeMap::new(),
        };
        this.reconfigure(profiles, now);
        this
    }

    /// Takes new entries over. Counts follow the names; an entry that is gone stays as long as it has
    /// tunnels.
    pub(crate) fn reconfigure(&mut self, profiles: Vec<Profile>, now: Instant) {
        let mut old = core::mem::take(&mut self.entries);
        for profile in profiles {
            let found = old.iter().position(|entry| entry.name == profile.lac.name);
            let mut entry = match found {
                Some(at) => old.remove(at),
                None => Entry::new(Arc::clone(&profile.lac.name), now),
            };
            entry.profile = Some(Arc::new(profile));
            self.entries.push(entry);
        }
        for entry in &mut old {
            entry.profile = None;
        }
        self.entries.extend(old);
        self.forget_unused();
    }

    /// The entry that a LAC falls under: the first whose prefixes and glob match.
    pub(crate) fn find(&self, remote: IpAddr, host_name: &[u8]) -> Option<&Arc<Profile>> {
        self.profiles().find(|profile| {
            covers(&profile.lac.from, remote) && glob::matches(&profile.lac.host_name, host_name)
        })
    }

    /// The entry of this name; else the first that has this address.
    pub(crate) fn profile_of(&self, name: &str, remote: IpAddr) -> Option<Arc<Profile>> {
        let named = self.profiles().find(|profile| *profile.lac.name == *name);
        let found = named.or_else(|| {
            self.profiles()
                .find(|profile| covers(&profile.lac.from, remote))
        });
        found.cloned()
    }

    /// Whether any entry has this address: what comes from elsewhere is not even parsed further.
    pub(crate) fn knows(&self, remote: IpAddr) -> bool {
        self.profiles()
            .any(|profile| covers(&profile.lac.from, remote))
    }

    /// The body of an SCCRQ with nothing hidden: by the secret of the entry that its Host Name, which
    /// is never hidden (RFC 2661, 4.4.3), leads to. As it is, if no secret fits.
    ///
    /// # Cost
    /// A few digests for each entry that has this address, and only if something is hidden.
    pub(crate) fn reveal<'a>(&self, remote: IpAddr, body: &'a [u8]) -> Cow<'a, [u8]> {
        if !l2tp::hidden(body) {
            return Cow::Borrowed(body);
        }
        let entries = self
            .profiles()
            .filter(|profile| covers(&profile.lac.from, remote));
        let mut opened = entries.filter_map(|profile| {
            let secrets = profile.tunnel.secrets.as_ref();
            let (clear, _) = hiding::open(body, secrets, SecretChoice::Current).ok()?;
            let Ok(Message::Sccrq(sccrq)) = Message::parse(&clear) else {
                return None;
            };
            let found = self.find(remote, sccrq.host_name)?;
            Arc::ptr_eq(found, profile).then_some(clear)
        });
        opened.next().unwrap_or(Cow::Borrowed(body))
    }

    fn profiles(&self) -> impl Iterator<Item = &Arc<Profile>> {
        self.entries
            .iter()
            .filter_map(|entry| entry.profile.as_ref())
    }

    /// The entry of this name, in the manifest or not.
    pub(crate) fn entry(&mut self, name: &str) -> Option<&mut Entry> {
        self.entries.get_mut(*self.places.get(name)?)
    }

    /// A tunnel of the entry is gone.
    pub(crate) fn release_tunnel(&mut self, name: &str) {
        self.release(name, |entry| &mut entry.tunnels);
    }

    /// A call of the entry is gone.
    pub(crate) fn release_session(&mut self, name: &str) {
        self.release(name, |entry| &mut entry.sessions);
    }

    fn release(&mut self, name: &str, count: impl FnOnce(&mut Entry) -> &mut u32) {
        let Some(entry) = self.entry(name) else {
            return;
        };
        let count = count(entry);
        *count = count.saturating_sub(1);
        if entry.is_unused() {
            self.forget_unused();
        }
    }

    /// Forgets the entries that are gone from the manifest and have nothing left.
    fn forget_unused(&mut self) {
        self.entries.retain(|entry| !entry.is_unused());
        let names = self.entries.iter().map(|entry| Arc::clone(&entry.name));
        self.places = names.zip(0..).collect();
    }

    /// Remembers that a LAC was turned away.
    pub(crate) fn note_refused(
        &mut self,
        remote: SocketAddr,
        host_name: &str,
        reason: &'static str,
        now: Instant,
    ) {
        if let Some(known) = self.refused.get_mut(&remote.ip()) {
            known.remote = remote;
            known.host_name = host_name.into();
            known.reason = reason;
            known.count = known.count.saturating_add(1);
            known.at = now;
            return;
        }
        if self.refused.len() >= limits::REFUSED_LACS {
            let oldest = self
                .refused
                .iter()
                .min_by_key(|(_, refused)| refused.at)
                .map(|(ip, _)| *ip);
            if let Some(oldest) = oldest {
                self.refused.remove(&oldest);
            }
        }
        let refused = Refused {
            remote,
            host_name: host_name.into(),
            reason,
            count: 1,
            at: now,
        };
        self.refused.insert(remote.ip(), refused);
    }

    pub(crate) fn view(&self) -> Vec<view::Lac> {
        self.entries.iter().map(Entry::view).collect()
    }

    pub(crate) fn view_refused(&self, now: Instant) -> Vec<view::RefusedLac> {
        self.refused
            .values()
            .map(|refused| view::RefusedLac {
                remote: refused.remote,
                host_name: refused.host_name.to_string(),
                reason: refused.reason,
                count: refused.count,
                seconds_ago: now.since(refused.at).as_secs(),
            })
            .collect()
    }
}

impl Entry {
    fn new(name: Arc<str>, now: Instant) -> Self {
        Self {
            name,
            profile: None,
            tunnels: 0,
            sessions: 0,
            setups: 0,
            refusals: BTreeMap::new(),
            bucket: Bucket::full(now),
        }
    }

    /// Whether it is gone from the manifest and nothing of it lives.
    const fn is_unused(&self) -> bool {
        self.profile.is_none() && self.tunnels == 0 && self.sessions == 0
    }

    /// Whether one more tunnel may come up.
    ///
    /// # Errors
    /// Why not; it is counted.
    pub(crate) fn admit_tunnel(&mut self) -> Result<(), Denial> {
        let admitted = self.admitting().and_then(|profile| {
            if self.tunnels < profile.lac.limits.max_tunnels {
                Ok(())
            } else {
                Err(Denial::MaxTunnels)
            }
        });
        self.note(&admitted);
        admitted
    }

    /// Whether one more call may come in, and under which profile.
    ///
    /// # Errors
    /// Why not; it is counted.
    pub(crate) fn admit_call(&mut self, now: Instant) -> Result<Arc<Profile>, Denial> {
        let admitted = self.admitting().cloned().and_then(|profile| {
            let limits = profile.lac.limits;
            if self.sessions >= limits.max_sessions {
                Err(Denial::MaxSessions)
            } else if !self.bucket.take(limits.max_setups_per_second, now) {
                Err(Denial::SetupRate)
            } else {
                Ok(profile)
            }
        });
        if admitted.is_ok() {
            self.setups = self.setups.saturating_add(1);
        }
        self.note(&admitted);
        admitted
    }

    /// The profile, if anything new is let in. What is gone from the manifest drains.
    fn admitting(&self) -> Result<&Arc<Profile>, Denial> {
        let profile = self.profile.as_ref().ok_or(Denial::Draining)?;
        match profile.lac.admission {
            Admission::Accept => Ok(profile),
            Admission::Drain => Err(Denial::Draining),
            Admission::Refuse => Err(Denial::Refused),
        }
    }

    fn note<T>(&mut self, admitted: &Result<T, Denial>) {
        if let Err(denial) = admitted {
            self.note_refusal(denial.label());
        }
    }

    /// Something of this entry was turned away, for a reason of a fixed list.
    pub(crate) fn note_refusal(&mut self, reason: &'static str) {
        let count = self.refusals.entry(reason).or_default();
        *count = count.saturating_add(1);
    }

    fn view(&self) -> view::Lac {
        let lac = self.profile.as_ref().map(|profile| &profile.lac);
        let from = lac.map(|lac| lac.from.iter().map(ToString::to_string).collect());
        let limits = lac.map(|lac| lac.limits);
        view::Lac {
            name: self.name.to_string(),
            from: from.unwrap_or_default(),
            host_name: lac.map(|lac| lac.host_name.clone()).unwrap_or_default(),
            admission: match lac.map(|lac| lac.admission) {
                None => "Removed",
                Some(Admission::Accept) => "Accept",
                Some(Admission::Drain) => "Drain",
                Some(Admission::Refuse) => "Refuse",
            },
            tunnels: self.tunnels,
            sessions: self.sessions,
            setups: self.setups,
            refusals: self.refusals.values().copied().fold(0, u64::saturating_add),
            refusals_by_reason: self.refusals.clone(),
            max_tunnels: limits.map(|limits| limits.max_tunnels),
            max_sessions: limits.map(|limits| limits.max_sessions),
            max_setups_per_second: limits.map(|limits| limits.max_setups_per_second),
        }
    }
}

fn covers(from: &[IpNet], remote: IpAddr) -> bool {
    from.iter().any(|prefix| prefix.contains(&remote))
}
