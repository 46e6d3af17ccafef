//! What a tunnel is told, the same for all tunnels of a group of LACs.

use core::time::Duration;

use lns_crypto::Secret;

use crate::limits;

/// The settings of a tunnel. A tunnel keeps those with which it began: a new secret concerns the next
/// tunnel, and what is up stays up.
#[derive(Clone, Debug)]
pub struct TunnelConfig {
    /// Who we say we are.
    pub host_name: HostName,
    /// The receive window that we offer, messages; 1 to 32,767.
    pub receive_window: u16,
    /// A HELLO goes out after such a silence; `None`: never.
    pub hello: Option<Duration>,
    /// How often and when messages are sent again.
    pub retransmit: RetransmitConfig,
    /// With secrets the peer must prove that it knows one of them; without, nobody proves anything.
    pub secrets: Option<Secrets>,
    /// Whether call messages go out with their AVPs hidden, where a secret exists.
    pub hide: bool,
}

impl TunnelConfig {
    /// The usual settings, without secrets.
    pub fn new(host_name: HostName) -> Self {
        Self {
            host_name,
            receive_window: limits::RECEIVE_WINDOW,
            hello: Some(Duration::from_mins(1)),
            retransmit: RetransmitConfig::default(),
            secrets: None,
            hide: false,
        }
    }

    /// The receive window as it is offered: at least 1, and small enough for modular numbers.
    pub(crate) fn offered_window(&self) -> u16 {
        self.receive_window.clamp(1, limits::WINDOW_MAX)
    }
}

/// A Host Name that fits its AVP: 1 to 255 octets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HostName(Box<[u8]>);

impl HostName {
    /// `None` when `octets` are none or more than 255.
    pub fn new(octets: impl Into<Box<[u8]>>) -> Option<Self> {
        let octets = octets.into();
        (1..=255).contains(&octets.len()).then_some(Self(octets))
    }

    /// The name.
    pub fn octets(&self) -> &[u8] {
        &self.0
    }
}

/// When a message that is not acknowledged is sent again (RFC 2661, 5.8).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RetransmitConfig {
    /// The first wait; each further one is twice as long.
    pub initial: Duration,
    /// The longest wait.
    pub cap: Duration,
    /// How often a message is sent again before the peer is given up.
    pub tries: u8,
}

impl Default for RetransmitConfig {
    /// Again after 1, 3, 7, 15 and 23 s; given up after 31.
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(1),
            cap: Duration::from_secs(8),
            tries: 5,
        }
    }
}

impl RetransmitConfig {
    /// The wait after a message was sent again `tries` times.
    pub fn wait(&self, tries: u8) -> Duration {
        let factor = 1_u32.checked_shl(u32::from(tries)).unwrap_or(u32::MAX);
        self.initial.saturating_mul(factor).min(self.cap)
    }

    /// From the first transmission to giving up: as long as a peer may still send again what it has
    /// sent before (RFC 2661, 5.7).
    pub fn cycle(&self) -> Duration {
        (0..=self.tries).fold(Duration::ZERO, |sum, tries| {
            sum.saturating_add(self.wait(tries))
        })
    }
}

/// The secrets of a group of LACs: two at once while they change from one to the other.
#[derive(Clone, Debug)]
pub struct Secrets {
    /// The one that we use first.
    pub current: Secret,
    /// The one before, still accepted.
    pub previous: Option<Secret>,
}

/// Which of the two secrets is used towards a peer.
///
/// A peer proves which it has, but in a tunnel that it opens, we must answer its challenge in the
/// SCCRP, and its proof comes only afterwards, in the SCCCN. So the first attempt is answered with the
/// current secret. A LAC that still has the previous one refuses that answer, and then
/// `TunnelEvent::Closed` names the other choice: who remembers it for the LAC's next attempt brings
/// that up. What a LAC has proved (`Tunnel::secret_choice` of an established tunnel) is worth
/// remembering too.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum SecretChoice {
    /// [`Secrets::current`].
    #[default]
    Current,
    /// [`Secrets::previous`]; as [`Secrets::current`] if there is none.
    Previous,
}

impl SecretChoice {
    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Current => Self::Previous,
            Self::Previous => Self::Current,
        }
    }
}

impl Secrets {
    /// Only one.
    pub const fn single(current: Secret) -> Self {
        Self {
            current,
            previous: None,
        }
    }

    /// The chosen one.
    pub fn choose(&self, choice: SecretChoice) -> &Secret {
        match (choice, &self.previous) {
            (SecretChoice::Previous, Some(previous)) => previous,
            (SecretChoice::Previous, None) | (SecretChoice::Current, _) => &self.current,
        }
    }

    /// The first secret, and which it is, that `fits`; `first` is tried first.
    pub fn find(
        &self,
        first: SecretChoice,
        mut fits: impl FnMut(&Secret) -> bool,
    ) -> Option<SecretChoice> {
        let mut choices = [first, first.other()].into_iter();
        if self.previous.is_none() {
            return fits(&self.current).then_some(SecretChoice::Current);
        }
        choices.find(|choice| fits(self.choose(*choice)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_gives_up_after_31_seconds() {
        let config = RetransmitConfig::default();
        let waits: Vec<u64> = (0..=5).map(|tries| config.wait(tries).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 8, 8]);
        assert_eq!(config.cycle(), Duration::from_secs(31));
        assert_eq!(config.wait(255), Duration::from_secs(8));
    }

    #[test]
    fn a_host_name_has_1_to_255_octets() {
        assert!(HostName::new([]).is_none());
        assert!(HostName::new(vec![b'a'; 255]).is_some());
        assert!(HostName::new(vec![b'a'; 256]).is_none());
    }

    #[test]
    fn without_a_previous_secret_there_is_only_the_current() {
        let secrets = Secrets::single(Secret::new(*b"now"));
        assert!(secrets.choose(SecretChoice::Previous).is(b"now"));
        assert_eq!(
            secrets.find(SecretChoice::Previous, |s| s.is(b"now")),
            Some(SecretChoice::Current)
        );
        let both = Secrets {
            previous: Some(Secret::new(*b"old")),
            ..secrets
        };
        assert_eq!(
            both.find(SecretChoice::Current, |s| s.is(b"old")),
            Some(SecretChoice::Previous)
        );
        assert_eq!(both.find(SecretChoice::Previous, |_| false), None);
    }
}
