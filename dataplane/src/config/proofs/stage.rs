//! A node in virtual time that is configured by a manifest, and what can be seen of it from outside.

use core::time::Duration;
use std::fs;

use lns_api::{Effect, Manifest, diff, read_manifest};
use lns_crypto::Secret;
use lns_node::radius::Order;
use lns_node::{Event, Node, SessionEnd};
use lns_sim::peers::{Lac, LacSettings, LacState, Line, LineSettings, Login, Proxied, Quirks};
use lns_sim::world::{SERVICE, Watch, World};
use lns_tables::path::SessionPath;
use lns_tables::time::Instant;
use lns_wire::id::{SessionId, TunnelId};
use lns_wire::l2tp;
use lns_wire::ppp::{Code, Frame, Options, Packet, Protocol};

use super::super::Setup;

/// What the LACs prove themselves with.
pub(super) const SHARED: &str = "a-shared-secret-of-some-length";
/// The value of the Secret `spare`.
pub(super) const SPARE: &str = "a-spare-secret-of-some-length";

/// The second pool of the manifest.
pub(super) const SECOND_POOL: &str = "
  - name: second
    localAddress: 100.66.0.1
    prefixes: [ { cidr: 100.66.0.0/24 } ]";

const MANIFEST: &str = r#"
apiVersion: kubelns.io/v1alpha1
kind: LnsCluster
metadata: { name: edge, namespace: lns }
spec:
  nodeSelector: { site: north }
  deletionProtection: true
  service: { addresses: [192.0.2.1], port: 1701, hostName: lns1 }
  lacs:
  - name: wholesale
    from: [198.51.100.0/24]
    hostName: "lac*"
    tunnelAuthentication: { mode: Secret, secretRef: { name: shared }, avpHiding: Never }
    admission: Accept
    limits: { maxTunnels: 16, maxSessions: 100, maxSetupsPerSecond: 100 }
    helloSeconds: 60
    lcpRenegotiation: OnMismatch
    pathMtu: 1500
    authentication: [CHAP]
  - name: others
    from: [198.51.0.0/16]
    tunnelAuthentication: { mode: Secret, secretRef: { name: shared } }
  ppp:
    authentication: [CHAP]
    proxiedAuthentication: Use
    mru: 1492
    dns: [192.0.2.53]
    rechallengeSeconds: 0
    echo: { intervalSeconds: 30, failures: 4 }
  core: { isolation: Nodeless, interface: core0 }
  subscribers:
    localUsers: { secretRef: { name: users }, order: Before }
    defaultPolicyRefs: [{ name: residential }]
    unknownFilterId: UseDefault
    duplicates: { key: [UserName], action: Allow }
    idleSeconds: 0
    sessionSeconds: 0
  pools:
  - name: first
    localAddress: 100.64.0.1
    prefixes:
    - { cidr: 100.64.0.0/24, allocation: Enabled, exclude: [100.64.0.2/32] }
    - { cidr: 100.65.0.0/24 }
    reuseDelaySeconds: 60
  - name: second
    localAddress: 100.66.0.1
    prefixes: [ { cidr: 100.66.0.0/24 } ]
  radius:
    nasIdentifier: edge1
    nasAddress: 192.0.2.10
    loadBalance: FailOver
    authentication:
      servers:
      - { name: ask-a, address: 10.0.0.1, port: 18121, secretRef: { name: ask }, requireMessageAuthenticator: Always, realms: [ask.example] }
      - { name: ask-b, address: 10.0.0.2, transport: TLS, tlsSecretRef: { name: radsec }, tlsServerName: ask.isp.example }
      mode: Originate
      limits: { maxConnections: 9, maxInFlight: 4001 }
      statusCheck: { type: AccessRequest, attributes: { User-Name: probe }, passwordSecretRef: { name: probe } }
      retransmission: { initialSeconds: 3, maximumSeconds: 17, maximumCount: 6, maximumDurationSeconds: 31 }
    accounting:
      servers:
      - { name: tell-a, address: 10.0.1.1, port: 18131, secretRef: { name: tell }, realms: [tell.example] }
      - { name: tell-b, address: 10.0.1.2, transport: TLS, tlsSecretRef: { name: radsec }, tlsServerName: tell.isp.example }
      limits: { maxConnections: 10, maxInFlight: 4002 }
      statusCheck: { type: AccountingRequest, attributes: { User-Name: teller } }
      retransmission: { initialSeconds: 1, maximumSeconds: 18, maximumCount: 7, maximumDurationSeconds: 29 }
      interimSeconds: 600
      timestamps: EventTimestamp
      copies:
      - { name: copy-a, address: 10.0.2.1, port: 18132, secretRef: { name: copy }, realms: [copy.example] }
      - { name: copy-b, address: 10.0.2.2, transport: TLS, tlsSecretRef: { name: radsec }, tlsServerName: copy.isp.example }
      spool: { maxBytes: 10000000 }
    dynamicAuthorization:
      port: 3799
      clients:
      - { name: oss-a, from: [10.0.3.1/32], secretRef: { name: oss }, requireMessageAuthenticator: Always }
      - { name: oss-b, from: [10.0.3.2/32], secretRef: { name: spare } }
  store:
    redis:
      url: "rediss://redis:6379/1"
      credentialsSecretRef: { name: redis }
      caSecretRef: { name: redis-ca }
      replicas: 1
      durability: Replicated
  peers: { port: 1702, tlsSecretRef: { name: other-radsec } }
  forwarding: { stalenessSeconds: 600 }
  election: { profile: Default }
  datapath:
    mode: Auto
    workers: 1
    accessInterface: access0
    sessionTable: { perSession: 400, entries: 0, whenFull: Deny, icmpErrors: Pass, laterFragments: Match }
---
apiVersion: kubelns.io/v1alpha1
kind: SessionPolicy
metadata: { name: residential, namespace: lns }
spec:
  clusterRefs: [{ name: edge }, { name: rim }]
  filterIds: [GOLD]
  input:
    defaultAction: Track
    rules:
    - { name: in-tcp, protocol: TCP, source: 192.0.2.0/24, destination: 203.0.113.0/24, sourcePorts: ["1024-65535"], destinationPorts: ["25"], action: Drop }
    - { name: in-flags, protocol: TCP, tcpFlags: { value: [SYN], mask: [SYN, ACK] }, action: Drop }
    - { name: in-icmp, protocol: ICMP, icmpTypes: ["8"], icmpCodes: ["0"], action: Drop }
    - { name: in-any, family: IPv6, dscp: [46], length: ["64"], octets: [{ at: 8, mask: ff, value: "01" }], action: Drop }
  output:
    defaultAction: Track
    rules:
    - { name: out-tcp, protocol: TCP, source: 192.0.2.0/24, destination: 203.0.113.0/24, sourcePorts: ["1024-65535"], destinationPorts: ["25"], action: Drop }
    - { name: out-flags, protocol: TCP, tcpFlags: { value: [SYN], mask: [SYN, ACK] }, action: Drop }
    - { name: out-icmp, protocol: ICMP, icmpTypes: ["8"], icmpCodes: ["0"], action: Drop }
    - { name: out-any, family: IPv6, dscp: [46], length: ["64"], octets: [{ at: 8, mask: ff, value: "01" }], action: Drop }
  timeouts: { udpIdleSeconds: 300, tcpIdleSeconds: 7440, tcpTransientSeconds: 120, tcpClosingSeconds: 10 }
  onChange: Keep
  rates: { upBitsPerSecond: 50000000, downBitsPerSecond: 100000000, burstMilliseconds: 200 }
---
apiVersion: kubelns.io/v1alpha1
kind: SessionPolicy
metadata: { name: business, namespace: lns }
spec: { clusterRefs: [{ name: edge }] }
---
apiVersion: v1
kind: Secret
metadata: { name: shared, namespace: lns }
stringData: { current: a-shared-secret-of-some-length }
---
apiVersion: v1
kind: Secret
metadata: { name: spare, namespace: lns }
stringData: { current: a-spare-secret-of-some-length }
---
apiVersion: v1
kind: Secret
metadata: { name: ask, namespace: lns }
stringData: { current: ask-secret-of-some-length }
---
apiVersion: v1
kind: Secret
metadata: { name: tell, namespace: lns }
stringData: { current: tell-secret-of-some-length }
---
apiVersion: v1
kind: Secret
metadata: { name: copy, namespace: lns }
stringData: { current: copy-secret-of-some-length }
---
apiVersion: v1
kind: Secret
metadata: { name: oss, namespace: lns }
stringData: { current: oss-secret-of-some-length }
---
apiVersion: v1
kind: Secret
metadata: { name: probe, namespace: lns }
stringData: { password: probe-password }
---
apiVersion: v1
kind: Secret
metadata: { name: other-probe, namespace: lns }
stringData: { password: other-password }
---
apiVersion: v1
kind: Secret
metadata: { name: radsec, namespace: lns }
type: kubernetes.io/tls
stringData:
  tls.crt: "(a certificate)"
  tls.key: "(a key)"
  ca.crt: "(a authority)"
---
apiVersion: v1
kind: Secret
metadata: { name: other-radsec, namespace: lns }
type: kubernetes.io/tls
stringData:
  tls.crt: "(other certificate)"
  tls.key: "(other key)"
  ca.crt: "(other authority)"
---
apiVersion: v1
kind: Secret
metadata: { name: redis, namespace: lns }
stringData: { username: lns-member, password: store-password }
---
apiVersion: v1
kind: Secret
metadata: { name: other-redis, namespace: lns }
stringData: { password: second-store-password }
---
apiVersion: v1
kind: Secret
metadata: { name: redis-ca, namespace: lns }
stringData: { ca.crt: "-----BEGIN CERTIFICATE-----\n(store)" }
---
apiVersion: v1
kind: Secret
metadata: { name: other-redis-ca, namespace: lns }
stringData: { ca.crt: "-----BEGIN CERTIFICATE-----\n(second store)" }
---
apiVersion: v1
kind: Secret
metadata: { name: users, namespace: lns }
stringData:
  users.yaml: |
    alice: alice-password
    bob: bob-password
    carol: carol-password
---
apiVersion: v1
kind: Secret
metadata: { name: guests, namespace: lns }
stringData:
  users.yaml: |
    dave: dave-password
"#;

/// One text in the place of another, which is there exactly once.
pub(super) type Edit<'a> = (&'a str, &'a str);

/// One call of a LAC: its number, and the line's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) lac: usize,
    pub(super) line: usize,
}

/// What left the node, and what happened in it.
#[derive(Debug, Default)]
pub(super) struct Seen {
    sent: Vec<(Instant, core::net::SocketAddr, Vec<u8>)>,
    ends: Vec<(Instant, SessionEnd)>,
}

impl Watch for Seen {
    fn sends(&mut self, to: core::net::SocketAddr, octets: &[u8], now: Instant) {
        self.sent.push((now, to, octets.to_vec()));
    }

    fn event(&mut self, event: &Event, now: Instant) {
        if let Event::SessionDown(end) = event {
            self.ends.push((now, SessionEnd::clone(end)));
        }
    }
}

/// A PPP control packet that was sent to a subscriber.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) protocol: Protocol,
    pub(super) code: Code,
    pub(super) data: Vec<u8>,
}

/// The node, its manifest, and LACs.
pub(super) struct Stage {
    text: String,
    pub(super) manifest: Manifest,
    pub(super) setup: Setup,
    pub(super) world: World<Seen>,
    changed: Vec<(String, Effect)>,
}

impl Stage {
    pub(super) fn new() -> Self {
        let (manifest, setup) = read(MANIFEST);
        Self {
            text: MANIFEST.to_owned(),
            world: World::watched(setup.node.clone(), 7, Seen::default()),
            manifest,
            setup,
            changed: Vec::new(),
        }
    }

    /// Begins anew with a manifest that differs in what the proof is not about.
    pub(super) fn begin_with(&mut self, edits: &[Edit<'_>]) {
        let text = edited(&self.text, edits);
        let (manifest, setup) = read(&text);
        *self = Self {
            text,
            world: World::watched(setup.node.clone(), 7, Seen::default()),
            manifest,
            setup,
            changed: Vec::new(),
        };
    }

    /// Reads the edited manifest and notes what differs. What the process had, and what it is to have.
    pub(super) fn read_changed(&mut self, edits: &[Edit<'_>]) -> (Setup, Setup) {
        let text = edited(&self.text, edits);
        let (manifest, setup) = read(&text);
        for change in diff(&self.manifest, &manifest) {
            self.changed.push((general(&change.path), change.effect));
        }
        (self.text, self.manifest) = (text, manifest);
        let before = core::mem::replace(&mut self.setup, setup.clone());
        (before, setup)
    }

    /// Takes the edited manifest over as a reload does. Nobody's session ends for it, and none needs a
    /// restart.
    pub(super) fn change(&mut self, edits: &[Edit<'_>]) {
        let (before, setup) = self.read_changed(edits);
        assert!(before.needs_restart(&setup).is_empty(), "needs a restart");
        let (up, ended) = (self.node().status().sessions, self.world.watch().ends.len());
        self.world
            .with_node(|node, now| node.handle_config(setup.node, now));
        assert_eq!(
            self.node().status().sessions,
            up,
            "a reload ended a session"
        );
        assert_eq!(self.world.watch().ends.len(), ended);
        self.run(1);
    }

    /// That the changes so far are of `field`, and are said to take effect so.
    pub(super) fn has_changed(&self, field: &str, effect: Effect) {
        // The path of a Secret does not say whose it is.
        let whose = ["RADIUS ", "Store "];
        let of_whom = whose.iter().find_map(|whose| field.strip_prefix(whose));
        let field = of_whom.unwrap_or(field);
        // The key of an entry is the entry itself.
        let entry = field
            .strip_suffix(".name")
            .or_else(|| field.strip_suffix(".cidr"))
            .filter(|entry| entry.ends_with("[]"));
        let is_of = |path: &str| path == field || Some(path) == entry;
        let found = self
            .changed
            .iter()
            .any(|(path, at)| is_of(path) && *at == effect);
        assert!(found, "{field} {effect:?} is not in {:?}", self.changed);
    }

    /// The manifest as it is written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn node(&self) -> &Node {
        self.world.node()
    }

    pub(super) fn now(&self) -> Instant {
        self.world.now()
    }

    /// What the node has wanted of RADIUS since it was last asked.
    pub(super) fn orders(&mut self) -> Vec<Order> {
        self.world
            .with_node(|node, _| core::iter::from_fn(|| node.poll_order()).collect())
    }

    pub(super) fn run(&mut self, seconds: u64) {
        self.world.run(Duration::from_secs(seconds));
    }

    // LACs.

    /// A LAC with the shared secret, which has had the time to bring its tunnel up.
    pub(super) fn lac(&mut self) -> usize {
        self.lac_with(|_| {})
    }

    /// The same, changed.
    pub(super) fn lac_with(&mut self, change: impl FnOnce(&mut LacSettings)) -> usize {
        let number = u16::try_from(self.world.lacs().len()).unwrap();
        let address = core::net::SocketAddr::from(([198, 51, 100, 1], 1701 + number));
        let mut settings = LacSettings::new(address, SERVICE, "lac1");
        settings.secret = Some(Secret::new(SHARED.as_bytes()));
        settings.hello = None;
        change(&mut settings);
        let lac = self.world.add_lac(settings);
        self.run(4);
        lac
    }

    pub(super) fn is_tunnel_up(&self, lac: usize) -> bool {
        self.world.lacs()[lac].state() == LacState::Up
    }

    /// The entry under which the node has the tunnel of a LAC.
    pub(super) fn entry_of(&self, lac: usize) -> String {
        let (_, id) = self.world.lacs()[lac].ids();
        let (tunnels, _) = self.node().tunnels(None, 100, self.now());
        let found = tunnels.into_iter().find(|tunnel| tunnel.id == id);
        found.expect("a tunnel").lac
    }

    /// The bodies of the control messages that were sent to a LAC since then.
    pub(super) fn messages(&self, lac: usize, since: Instant) -> Vec<Vec<u8>> {
        let address = self.world.lacs()[lac].settings().address;
        let sent = self.world.watch().sent.iter();
        let bodies = sent
            .filter(|(at, to, _)| *at >= since && *to == address)
            .filter_map(|(_, _, octets)| match l2tp::Packet::parse(octets) {
                Ok(l2tp::Packet::Control(_, body)) if !body.is_empty() => Some(body.to_vec()),
                Ok(_) | Err(_) => None,
            });
        bodies.collect()
    }

    // Calls.

    /// A call of this user, which has had the time to come up.
    pub(super) fn call(&mut self, lac: usize, user: &str) -> Call {
        self.call_with(lac, line(user))
    }

    /// A call whose LAC has done the authentication already.
    pub(super) fn proxied_call(&mut self, lac: usize, user: &str) -> Call {
        let proxied = Proxied::Chap;
        self.call_with(
            lac,
            LineSettings {
                proxied,
                ..line(user)
            },
        )
    }

    pub(super) fn call_with(&mut self, lac: usize, settings: LineSettings) -> Call {
        let line = self.world.add_line(lac, settings);
        self.run(3);
        Call { lac, line }
    }

    /// A tunnel and alice's session in it, both up.
    pub(super) fn alice(&mut self) -> Call {
        let lac = self.lac();
        let call = self.call(lac, "alice");
        assert!(self.is_up(call), "alice did not come up");
        call
    }

    pub(super) fn is_up(&self, call: Call) -> bool {
        self.world.is_up(call.lac, call.line)
    }

    pub(super) fn hang_up(&mut self, call: Call) {
        let now = self.now();
        self.world
            .with_lac(call.lac, |lac| lac.hang_up(call.line, now));
        self.run(1);
    }

    pub(super) fn address(&self, call: Call) -> String {
        let address = self.world.address(call.lac, call.line);
        address.expect("an address").to_string()
    }

    fn peers(&self, call: Call) -> (&Lac, &Line) {
        let lac = &self.world.lacs()[call.lac];
        (lac, &lac.lines()[call.line])
    }

    /// Our ids of a call.
    fn ids(&self, call: Call) -> (TunnelId, SessionId) {
        let (lac, line) = self.peers(call);
        (TunnelId(lac.ids().1), SessionId(line.ids().1))
    }

    /// What the workers were told of a call.
    pub(super) fn path(&self, call: Call) -> SessionPath {
        let (tunnel, session) = self.ids(call);
        let workers = self.world.workers();
        let slot = workers.find(tunnel, session).expect("a session");
        workers.slot(slot).expect("a slot").path
    }

    /// The pool of a session's address, as `lnsd sessions` shows it.
    pub(super) fn pool(&self, call: Call) -> String {
        let (tunnel, session) = self.ids(call);
        let view = self.node().session(tunnel, session, self.now());
        view.expect("a session").pool.expect("a pool")
    }

    /// The PPP control packets that were sent to a subscriber since then.
    pub(super) fn packets(&self, call: Call, since: Instant) -> Vec<Sent> {
        let (lac, line) = self.peers(call);
        let (address, ids) = (lac.settings().address, (lac.ids().0, line.ids().0));
        let sent = self.world.watch().sent.iter();
        let to_it = sent.filter(|(at, to, _)| *at >= since && *to == address);
        let packets = to_it.filter_map(|(_, _, octets)| {
            let Ok(l2tp::Packet::Data(header, frame)) = l2tp::Packet::parse(octets) else {
                return None;
            };
            if (header.tunnel.0, header.session.0) != ids {
                return None;
            }
            let frame = Frame::parse(frame).ok()?;
            let packet = Packet::parse(frame.information).ok()?;
            Some(Sent {
                protocol: frame.protocol,
                code: packet.code,
                data: packet.data.to_vec(),
            })
        });
        packets.collect()
    }

    /// How many packets of this kind were sent to a subscriber since then.
    pub(super) fn count(&self, call: Call, kind: (Protocol, Code), since: Instant) -> usize {
        let packets = self.packets(call, since);
        let of_kind = packets.iter().filter(|it| (it.protocol, it.code) == kind);
        of_kind.count()
    }

    /// The value of an option in the newest packet of this kind that has it.
    pub(super) fn option(
        &self,
        call: Call,
        kind: (Protocol, Code),
        option: u8,
        since: Instant,
    ) -> Option<Vec<u8>> {
        let packets = self.packets(call, since);
        let of_kind = packets.iter().filter(|it| (it.protocol, it.code) == kind);
        of_kind.rev().find_map(|packet| {
            let options = Options::parse(&packet.data).ok()?;
            let mut found = options.iter().filter(|raw| raw.kind == option);
            found.next().map(|raw| raw.value.to_vec())
        })
    }

    /// Why the sessions of a user have ended, and when.
    pub(super) fn ends(&self, user: &str) -> Vec<(Instant, &'static str)> {
        let ends = self.world.watch().ends.iter();
        let of_user = ends.filter(|(_, end)| {
            end.user
                .as_deref()
                .is_some_and(|name| *name == *user.as_bytes())
        });
        of_user.map(|(at, end)| (*at, end.reason)).collect()
    }
}

/// A subscriber whose password is the manifest's, and who does not dial again.
pub(super) fn line(user: &str) -> LineSettings {
    line_with(user, &format!("{user}-password"), Quirks::default())
}

pub(super) fn line_with(user: &str, password: &str, quirks: Quirks) -> LineSettings {
    let mut login = Login::new(user, password);
    login.quirks = quirks;
    LineSettings {
        redials: false,
        calling_number: Some(user.as_bytes().into()),
        ..LineSettings::new(login)
    }
}

/// A subscriber who begins LCP anew every 40 seconds, and so shows what his session goes by.
pub(super) fn restless(user: &str) -> LineSettings {
    let quirks = Quirks {
        renegotiates: Some(Duration::from_secs(40)),
        ..Quirks::default()
    };
    line_with(user, &format!("{user}-password"), quirks)
}

/// Texts that stand in the manifest for PEM. The keys of a and b are one key, in two forms.
const PEMS: [(&str, &str); 9] = [
    ("(a certificate)", include_str!("pem/a.crt")),
    ("(a key)", include_str!("pem/a.key")),
    ("(a authority)", include_str!("pem/a.ca")),
    ("(b certificate)", include_str!("pem/b.crt")),
    ("(b key)", include_str!("pem/b.key")),
    ("(b authority)", include_str!("pem/b.ca")),
    ("(other certificate)", include_str!("pem/other.crt")),
    ("(other key)", include_str!("pem/other.key")),
    ("(other authority)", include_str!("pem/other.ca")),
];

/// What a text stands for.
pub(super) fn pem(text: &str) -> Secret {
    let mut pems = PEMS.into_iter().filter(|(name, _)| *name == text);
    Secret::new(pems.next().expect("a text").1.as_bytes())
}

fn read(text: &str) -> (Manifest, Setup) {
    let text = PEMS.into_iter().fold(text.to_owned(), |text, (name, pem)| {
        text.replace(name, &pem.replace('\n', "\\n"))
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cluster.yaml");
    fs::write(&path, text).unwrap();
    let manifest = read_manifest(&path).unwrap();
    let setup = Setup::new(&manifest).unwrap();
    (manifest, setup)
}

fn edited(text: &str, edits: &[Edit<'_>]) -> String {
    edits.iter().fold(text.to_owned(), |text, (from, to)| {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        text.replacen(from, to, 1)
    })
}

/// The field of a path: `spec.lacs[a].from`, `SessionPolicy/gold: spec.rates` and
/// `Secret/users: users.yaml` without the names.
fn general(path: &str) -> String {
    if let Some(path) = path.strip_prefix("SessionPolicy/") {
        return match path.split_once(": ") {
            Some((_, field)) => format!("SessionPolicy: {}", general(field)),
            None => "SessionPolicy".to_owned(),
        };
    }
    if let Some((_, key)) = path
        .strip_prefix("Secret/")
        .and_then(|rest| rest.split_once(": "))
    {
        return format!("Secret: {key}");
    }
    let mut parts = path.split('[');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |general, part| {
        let (_, rest) = part.split_once(']').unwrap();
        format!("{general}[]{rest}")
    })
}
