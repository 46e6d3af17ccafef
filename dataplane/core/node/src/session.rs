//! One call and its subscriber, as the node keeps it.

use core::net::Ipv4Addr;
use core::time::Duration;
use std::borrow::Cow;
use std::sync::Arc;

use lns_l2sess::policy::Rates;
use lns_l2tp::{Call, MessageNumber};
use lns_ppp::{LcpParameters, Parameters};
use lns_tables::path::{Counters, SessionPath, SlotIndex};
use lns_tables::time::Instant;
use lns_wire::id::TunnelId;

use crate::event::Stage;
use crate::explain::same;
use crate::explain::transcript::{Position, RadiusAnswer};
use crate::lacs::Profile;
use crate::observe::Shown;
use crate::policies::{Binding, Bindings};
use crate::radius::AccountId;
use crate::radius::accounting::Account;
use crate::radius::grant::Grant;
use crate::radius::{Granted, Question};
use crate::subscribers::{Identity, Key};
use crate::tally::Tally;
use crate::{limits, view};

/// What the outer headers take of the way to the LAC, octets: UDP, L2TP with its Length field, PPP
/// with FF03. The outer IP header comes on top.
const OVERHEAD: u16 = 8 + 8 + 4;
const IPV4_HEADER: u16 = 20;
const IPV6_HEADER: u16 = 40;
const TCP_HEADER: u16 = 20;

/// One call.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) tunnel: TunnelId,
    pub(crate) call: Call,
    /// Our ICRP.
    pub(crate) said: Option<MessageNumber>,
    /// From the Incoming-Call-Connected on.
    pub(crate) ppp: Option<Box<lns_ppp::Session>>,
    pub(crate) profile: Arc<Profile>,
    /// Its name for servers.
    pub(crate) account: AccountId,
    /// What servers know of it; `None`: nothing.
    pub(crate) told: Option<Box<Account>>,
    pub(crate) about: Box<About>,
    pub(crate) stage: Stage,
    pub(crate) user: Option<Arc<[u8]>>,
    /// As whom it was let in last: the name under which it counts for Port-Limit.
    pub(crate) let_in_as: Option<Arc<[u8]>>,
    /// Who servers call it, where that is another name: under which a request of theirs finds it.
    pub(crate) called: Option<Arc<[u8]>>,
    /// What RADIUS is asked about it, or will be.
    pub(crate) question: Option<Box<Question>>,
    /// What RADIUS has said last; none from its coming up until it is asked again.
    pub(crate) answer: Option<Arc<RadiusAnswer>>,
    pub(crate) granted: Option<Box<Granted>>,
    /// Under which the rule for duplicates knows it.
    pub(crate) key: Option<Key>,
    pub(crate) address: Option<Held>,
    pub(crate) binding: Binding,
    /// What IPCP agreed on; `None` while no IP may pass.
    pub(crate) open: Option<Parameters>,
    pub(crate) lcp: Option<LcpParameters>,
    pub(crate) proxied_authentication: bool,
    pub(crate) sequencing: bool,
    pub(crate) opened_at: Instant,
    pub(crate) up_at: Option<Instant>,
    pub(crate) idle: Option<Idle>,
    pub(crate) ends_at: Option<Instant>,
    /// PPP waits for the workers' word on when the subscriber was last heard.
    pub(crate) echo_asked: bool,
    /// What PPP gave as the reason when it began to close.
    pub(crate) closing: Option<&'static str>,
    /// What other nodes have seen of it, and what was counted before this was the active one.
    pub(crate) tally: Option<Box<Tally>>,
    /// More of why.
    pub(crate) detail: Option<Cow<'static, str>>,
    /// The last entry of the transcript.
    pub(crate) last: Option<Position>,
    /// The states that were noted there last.
    pub(crate) shown: Shown,
}

/// What the LAC told of the call: kept for engineers and accounting.
#[derive(Debug, Default)]
pub(crate) struct About {
    pub(crate) calling_number: Option<Box<str>>,
    pub(crate) called_number: Option<Box<str>>,
    pub(crate) call_serial: u32,
    pub(crate) physical_channel: Option<u32>,
    pub(crate) tx_speed: u32,
    pub(crate) rx_speed: u32,
}

/// An address that a session holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Held {
    pub(crate) address: Ipv4Addr,
    /// The pool that it goes back to; `None`: the user's own address.
    pub(crate) pool: Option<Arc<str>>,
    /// Our end of the link.
    pub(crate) local: Option<Ipv4Addr>,
}

/// The end for want of traffic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Idle {
    pub(crate) after: Duration,
    /// Since when it counts: workers of a node that has taken over do not know what passed before.
    pub(crate) since: Instant,
    /// When to ask the workers next.
    pub(crate) check_at: Instant,
}

impl Session {
    /// A call whose ICRQ has just been accepted.
    pub(crate) fn new(
        tunnel: TunnelId,
        call: Call,
        profile: Arc<Profile>,
        account: AccountId,
        about: About,
        now: Instant,
    ) -> Self {
        Self {
            tunnel,
            call,
            said: None,
            ppp: None,
            profile,
            account,
            told: None,
            about: Box::new(about),
            stage: Stage::Call,
            user: None,
            let_in_as: None,
            called: None,
            question: None,
            answer: None,
            granted: None,
            key: None,
            address: None,
            binding: Binding::default(),
            open: None,
            lcp: None,
            proxied_authentication: false,
            sequencing: false,
            opened_at: now,
            up_at: None,
            idle: None,
            ends_at: None,
            echo_asked: false,
            closing: None,
            tally: None,
            detail: None,
            last: None,
            shown: Shown::default(),
        }
    }

    /// When the session must be looked at next, whatever for.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let bring_up = match self.up_at {
            None => Some(self.opened_at + limits::BRING_UP),
            Some(_) => None,
        };
        let ppp = self.ppp.as_ref().and_then(|ppp| ppp.poll_timeout());
        let idle = self.idle.map(|idle| idle.check_at);
        let interim = self.told.as_ref().and_then(|told| told.deadline());
        [bring_up, ppp, idle, interim, self.ends_at]
            .into_iter()
            .flatten()
            .min()
    }

    /// What has passed through it in all, if the own workers have counted this.
    pub(crate) fn counted(&self, own: &Counters) -> Counters {
        let tally = self.tally.as_ref();
        tally.map_or(*own, |tally| own.plus(&tally.elsewhere()))
    }

    /// What a server has granted it, or changed since.
    pub(crate) fn grant(&self) -> Option<&Grant> {
        self.granted.as_ref().map(|granted| &granted.grant)
    }

    /// Whether a server has let it in.
    pub(crate) fn is_judged_by_server(&self) -> bool {
        let granted = self.granted.as_ref();
        granted.is_some_and(|granted| granted.server.is_some())
    }

    /// The name servers that it was granted; `None`: those of the manifest.
    pub(crate) fn dns(&self) -> Option<[Option<Ipv4Addr>; 2]> {
        let dns = self.grant()?.dns;
        (dns != [None, None]).then_some(dns)
    }

    /// How fast it may be; `None`: nobody has said.
    pub(crate) fn rates(&self, bindings: &Bindings) -> Option<Rates> {
        let of_policies = bindings.rates(self.binding.chain);
        match self.grant().map(|grant| grant.rates) {
            Some(rates) if !rates.is_empty() => Some(rates.over(of_policies)),
            Some(_) | None => of_policies,
        }
    }

    /// Who servers are told that it is: who its Start said; before that, who the server that let it in
    /// says (RFC 2865, 5.1), or who it said itself.
    pub(crate) fn accounted_user(&self) -> Option<&Arc<[u8]>> {
        let told = self.told.as_ref().map(|told| &told.user);
        let named = || self.grant().and_then(|grant| grant.user_name.as_ref());
        told.or_else(named).or(self.user.as_ref())
    }

    /// Between two records while it lives, where the manifest says `every`; `None`: there are none.
    pub(crate) fn interim(&self, every: Duration) -> Option<Duration> {
        let granted = self.grant().and_then(|grant| grant.interim);
        Some(granted.unwrap_or(every)).filter(|every| !every.is_zero())
    }

    /// What makes it a subscriber's, once it has said who it is.
    pub(crate) fn identity(&self) -> Option<Identity<'_>> {
        Some(Identity {
            user: self.user.as_deref()?,
            calling_number: self.about.calling_number.as_deref(),
            lac: &self.profile.lac.name,
            physical_channel: self.about.physical_channel,
        })
    }

    /// The largest packet that the subscriber is sent, octets; `None` while no IP may pass.
    fn mtu(&self) -> Option<u16> {
        let mru = self.open?.mru;
        let granted = self.grant().and_then(|grant| grant.mtu);
        Some(granted.map_or(mru, |granted| granted.min(mru)))
    }

    /// What a worker must know to forward for it.
    pub(crate) fn path(&self, outer_ipv6: bool, bindings: &Bindings) -> SessionPath {
        let open = self.open;
        let fits = self
            .profile
            .lac
            .path_mtu
            .saturating_sub(OVERHEAD)
            .saturating_sub(if outer_ipv6 { IPV6_HEADER } else { IPV4_HEADER })
            .saturating_sub(if self.sequencing { 4 } else { 0 });
        let mtu = self.mtu().unwrap_or(1500);
        let local_mru = self.lcp.map_or(mtu, |lcp| lcp.local_mru);
        let largest_segment = mtu.min(local_mru).min(fits);
        SessionPath {
            tunnel: self.tunnel,
            session: self.call.local(),
            peer_session: self.call.peer(),
            address: open.and_then(|open| open.address),
            mtu,
            mss: largest_segment
                .saturating_sub(IPV4_HEADER)
                .saturating_sub(TCP_HEADER),
            sequencing: self.sequencing,
            acfc: open.is_some_and(|open| open.acfc),
            pfc: open.is_some_and(|open| open.pfc),
            chain: self.binding.chain,
            rates: self.rates(bindings).unwrap_or_default(),
        }
    }

    /// The session for an engineer.
    pub(crate) fn view(&self, slot: SlotIndex, bindings: &Bindings, now: Instant) -> view::Session {
        let names = bindings.names(self.binding.chain).iter();
        let authentication = self.lcp.map(|lcp| lcp.authentication.label());
        view::Session {
            id: format!("{}.{}", self.tunnel, self.call.local()),
            acct_session_id: self.account.to_string(),
            slot,
            tunnel: self.tunnel.0,
            session: self.call.local().0,
            peer_session: self.call.peer().0,
            lac: self.profile.lac.name.to_string(),
            user: self
                .user
                .as_deref()
                .map(|user| String::from_utf8_lossy(user).into_owned()),
            address: self.address.as_ref().map(|held| held.address),
            pool: self
                .address
                .as_ref()
                .and_then(|held| held.pool.as_deref())
                .map(str::to_owned),
            stage: self.stage,
            calling_number: self.about.calling_number.as_deref().map(str::to_owned),
            called_number: self.about.called_number.as_deref().map(str::to_owned),
            call_serial: self.about.call_serial,
            authentication,
            proxied_lcp: self.lcp.is_some_and(|lcp| lcp.proxied),
            proxied_authentication: self.proxied_authentication,
            mtu: self.mtu(),
            policies: names.map(ToString::to_string).collect(),
            bound_by: self.binding.bound_by(),
            unknown_filter_id: self.binding.unknown.as_deref().map(str::to_owned),
            rates: self.rates(bindings).map(Into::into),
            granted: self.granted.as_deref().map(Granted::view),
            tx_speed: self.about.tx_speed,
            rx_speed: self.about.rx_speed,
            seconds: now.since(self.up_at.unwrap_or(self.opened_at)).as_secs(),
            remaining_seconds: self.ends_at.map(|at| at.since(now).as_secs()),
        }
    }

    /// Whether all that `filter` names is this session's.
    pub(crate) fn matches(&self, filter: &view::SessionFilter) -> bool {
        let held = self.address.as_ref();
        let pool = held.and_then(|held| held.pool.as_deref());
        let calling_number = self.about.calling_number.as_deref();
        same(filter.user.as_deref(), self.user.as_deref())
            && same(filter.lac.as_deref(), Some(&*self.profile.lac.name))
            && same(filter.address.as_ref(), held.map(|held| &held.address))
            && same(filter.calling_number.as_deref(), calling_number)
            && same(filter.tunnel.as_ref(), Some(&self.tunnel.0))
            && same(filter.pool.as_deref(), pool)
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "small numbers of a test")]
mod tests {
    use super::*;

    /// What a session has, and what the heap and the maps take for it: its user and key and a Filter-Id
    /// that names no policy, of so many octets each, with their headers; an entry each in the present, the
    /// ports, their counts, the addresses, the accounts, those whom servers call otherwise, of 24 octets and
    /// as many for the room that a tree leaves; its timer.
    const fn octets(name: usize, granted: usize) -> usize {
        let boxed = size_of::<lns_ppp::Session>() + size_of::<About>() + size_of::<Account>();
        let around = 3 * (16 + name) + 6 * 48 + 24;
        size_of::<Session>() + boxed + 2 * limits::NUMBER + around + granted
    }

    #[test]
    fn a_session_fits_the_control_memory_that_is_promised_for_it() {
        // What a server grants beside: a Class and a Filter-Id.
        let granted = size_of::<Granted>() + 2 * (16 + 64);
        let octets = octets(64, granted);
        assert!(octets <= 2048, "{octets}");
        // With the longest names that there may be.
        let worst = self::octets(253, granted);
        assert!(worst <= 3 * 1024, "{worst}");
    }
}
