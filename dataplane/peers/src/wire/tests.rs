//! Everything that can be said is read as it was written, and nothing else is read.
#![allow(
    clippy::arithmetic_side_effects,
    reason = "a test that overflows fails"
)]

use core::net::SocketAddr;
use core::time::Duration;

use lns_cluster::{Ask, Epoch, Identity, Promise, Refusal};
use lns_tables::time::Instant;
use lns_wire::id::{SessionId, TunnelId};
use proptest::prelude::*;

use super::*;
use crate::cluster::ClusterId;
use crate::limits;

fn peer() -> Identity {
    "n1/pod/boot/1".parse().unwrap()
}

fn epoch() -> impl Strategy<Value = Epoch> {
    (0_u64..=Epoch::LAST.number()).prop_map(|number| Epoch::new(number).unwrap())
}

fn position() -> impl Strategy<Value = Position> {
    (epoch(), any::<u64>()).prop_map(|(epoch, seq)| Position { epoch, seq })
}

fn octets() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..200)
}

/// Without a zone, which says nothing on another node.
fn address() -> impl Strategy<Value = SocketAddr> {
    (any::<core::net::IpAddr>(), any::<u16>()).prop_map(SocketAddr::from)
}

fn identity() -> impl Strategy<Value = Identity> {
    "[a-z0-9.-]{1,20}/[a-z0-9/-]{1,60}".prop_map(|text| text.parse().unwrap())
}

fn passed() -> impl Strategy<Value = Passed> {
    let age = prop::option::of(any::<u64>().prop_map(Duration::from_millis));
    (any::<u64>(), any::<u64>(), age).prop_map(|(octets, packets, age)| Passed {
        octets,
        packets,
        age,
    })
}

fn refusal() -> impl Strategy<Value = Refusal> {
    prop_oneof![
        Just(Refusal::Master),
        Just(Refusal::OwnNode),
        Just(Refusal::OldEpoch),
        Just(Refusal::NotInLease),
    ]
}

fn ask() -> impl Strategy<Value = (Identity, Epoch, Instant)> {
    (
        identity(),
        epoch(),
        any::<u64>().prop_map(Instant::from_nanos),
    )
}

fn message() -> impl Strategy<Value = Message> {
    let ends = || (address(), address(), octets());
    let report = (any::<u16>(), any::<u16>(), passed(), passed());
    let report = report.prop_map(|(tunnel, session, up, down)| SessionReport {
        tunnel: TunnelId(tunnel),
        session: SessionId(session),
        up,
        down,
    });
    prop_oneof![
        ask().prop_map(|(_, epoch, sent)| Message::Ask(Ask {
            holder: peer(),
            epoch,
            sent
        })),
        ask().prop_map(|(holder, epoch, sent)| Message::Promise(Promise {
            from: peer().node().clone(),
            holder,
            epoch,
            sent
        })),
        (ask(), refusal()).prop_map(|((holder, epoch, sent), why)| Message::AskRefused(
            AskRefused {
                holder,
                epoch,
                sent,
                why
            }
        )),
        position().prop_map(Message::Applied),
        ends().prop_map(|(local, remote, octets)| Message::Control(Control {
            local,
            remote,
            octets
        })),
        (any::<u16>(), any::<u16>(), ends()).prop_map(|(tunnel, session, ends)| Message::Ppp(
            PppFrame {
                tunnel: TunnelId(tunnel),
                session: SessionId(session),
                local: ends.0,
                remote: ends.1,
                frame: ends.2
            }
        )),
        prop::collection::vec(report, 0..20).prop_map(|all| Message::Report(Report(all))),
    ]
}

fn question() -> impl Strategy<Value = Question> {
    let ends = (address(), address(), octets());
    prop_oneof![
        Just(Question::Position),
        position().prop_map(Question::Records),
        ends.prop_map(|(local, remote, octets)| Question::Dynamic(DynamicRequest {
            local,
            remote,
            octets
        })),
        ("[A-Z]{0,8}", "[ -~]{0,40}", octets())
            .prop_map(|(method, path, body)| Question::Admin(AdminQuery { method, path, body })),
    ]
}

fn page() -> impl Strategy<Value = RecordsPage> {
    let record = ("[ -~]{0,40}", position(), prop::option::of(octets()));
    let record = record.prop_map(|(key, at, octets)| PeerRecord::new(key, at, octets).unwrap());
    let page = (prop::collection::vec(record, 0..20), any::<bool>());
    prop_oneof![
        page.prop_map(|(records, store)| RecordsPage::of(records).with_store(store)),
        any::<bool>().prop_map(|store| RecordsPage::unknown().with_store(store)),
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        position().prop_map(Answer::Position),
        page().prop_map(Answer::Records),
        prop::option::of(octets()).prop_map(Answer::Dynamic),
        (any::<u16>(), "[ -~]{0,40}", octets()).prop_map(|(status, content_type, body)| {
            Answer::Admin(AdminAnswer {
                status,
                content_type,
                body,
            })
        }),
    ]
}

fn hello() -> impl Strategy<Value = Hello> {
    let numbers = (any::<u16>(), any::<u16>(), any::<u64>(), any::<u64>());
    (identity(), numbers, "[ -~]{0,40}").prop_map(|(identity, numbers, software)| Hello {
        cluster: ClusterId::new("lns", "edge", "7d1c").unwrap(),
        identity,
        version: numbers.0,
        oldest: numbers.1,
        capabilities: Capabilities(numbers.2),
        dial: numbers.3,
        software,
    })
}

fn body() -> impl Strategy<Value = Body> {
    let id = || any::<u32>().prop_map(QuestionId);
    let told = prop_oneof![
        Just(Failure::Busy),
        Just(Failure::OldEpoch),
        Just(Failure::NotMaster),
        Just(Failure::TooLong),
        Just(Failure::Unanswered),
    ];
    let goodbye = prop_oneof![
        Just(Goodbye::Leaving),
        Just(Goodbye::Replaced),
        Just(Goodbye::Stream),
        Just(Goodbye::Other),
    ];
    let refused = prop_oneof![
        Just(RefusedFor::Cluster),
        Just(RefusedFor::Name),
        Just(RefusedFor::Other),
    ];
    let key = (any::<u32>(), any::<u32>());
    prop_oneof![
        hello().prop_map(|hello| Body::Hello(Box::new(hello))),
        (refused, "[ -~]{0,40}").prop_map(|(why, words)| Body::Refused(Refused { why, words })),
        goodbye.prop_map(Body::Goodbye),
        Just(Body::Alive),
        key.prop_map(|(generation, id)| Body::DataKey(DataKey { generation, id })),
        message().prop_map(Body::Message),
        (id(), question()).prop_map(|(id, question)| Body::Question(id, question)),
        (id(), octets()).prop_map(|(id, octets)| Body::Part(id, octets)),
        (id(), answer()).prop_map(|(id, answer)| Body::Answer(id, answer)),
        (id(), told).prop_map(|(id, failure)| Body::Failed(id, failure)),
    ]
}

/// The frame of a stream that holds nothing else.
fn cut(octets: &[u8]) -> (u16, Epoch, Vec<u8>) {
    let mut frames = Frames::new(limits::BODY);
    frames.space()[..octets.len()].copy_from_slice(octets);
    frames.read(octets.len());
    let frame = frames.next_frame().unwrap().unwrap();
    (frame.kind, frame.epoch, frame.body.to_vec())
}

fn read(kind: u16, body: &[u8]) -> Result<Body, Unreadable> {
    let epoch = Epoch::NONE;
    decode(Frame { kind, epoch, body }, &peer())
}

proptest! {
    #[test]
    fn whatever_is_said_is_read_as_it_was_written(body in body(), epoch in epoch()) {
        let (kind, told, octets) = cut(&encode(&body, epoch).unwrap());
        prop_assert_eq!(told, epoch);
        prop_assert_eq!(kind, body.kind().code());
        prop_assert_eq!(read(kind, &octets), Ok(body));
    }

    #[test]
    fn a_body_that_is_cut_short_or_has_more_behind_it_is_refused(body in body(), at in any::<prop::sample::Index>()) {
        let (kind, _, octets) = cut(&encode(&body, Epoch::NONE).unwrap());
        let broken = Err(Unreadable::Malformed(body.kind()));
        if !octets.is_empty() {
            prop_assert_eq!(read(kind, &octets[..at.index(octets.len())]), broken.clone());
        }
        let longer = [&octets[..], &[0]].concat();
        let is_newer = matches!(&body, Body::Hello(hello) if hello.version > VERSION);
        prop_assert!(is_newer || read(kind, &longer) == broken);
    }

    #[test]
    fn any_octets_are_read_or_refused_and_read_the_same_again(kind in any::<u8>(), octets in octets()) {
        if let Ok(body) = read(kind.into(), &octets) {
            let (kind, _, again) = cut(&encode(&body, Epoch::NONE).unwrap());
            prop_assert_eq!(read(kind, &again), Ok(body));
        }
    }

    #[test]
    fn a_position_is_read_as_it_is_written(at in position()) {
        prop_assert_eq!(at.to_string().parse(), Ok(at));
    }
}

#[test]
fn a_kind_of_a_newer_version_is_told_from_a_broken_one() {
    assert_eq!(read(5, b""), Err(Unreadable::Unknown(5)));
    assert_eq!(read(999, b"anything"), Err(Unreadable::Unknown(999)));
    assert_eq!(read(4, b""), Err(Unreadable::Malformed(Kind::DataKey)));
}

#[test]
fn who_promises_or_asks_is_who_sends_it() {
    let (node, holder) = (
        "other/1".parse::<Identity>().unwrap(),
        "master/1".parse().unwrap(),
    );
    let (epoch, sent) = (Epoch::new(7).unwrap(), Instant::from_millis(3));
    let promise = Message::Promise(Promise {
        from: node.node().clone(),
        holder,
        epoch,
        sent,
    });
    let (kind, _, octets) = cut(&encode(&Body::Message(promise), epoch).unwrap());
    let Ok(Body::Message(Message::Promise(read))) = read(kind, &octets) else {
        panic!("a promise");
    };
    assert_eq!(read.from, *peer().node());
    let ask = Message::Ask(Ask {
        holder: node,
        epoch,
        sent,
    });
    let (kind, _, octets) = cut(&encode(&Body::Message(ask), epoch).unwrap());
    let Ok(Body::Message(Message::Ask(read))) = self::read(kind, &octets) else {
        panic!("a question");
    };
    assert_eq!(read.holder, peer());
}

#[test]
fn what_is_longer_than_may_be_is_neither_written_nor_read() {
    let address: SocketAddr = "192.0.2.1:1701".parse().unwrap();
    let control = |length| {
        Body::Message(Message::Control(Control {
            local: address,
            remote: address,
            octets: vec![0; length],
        }))
    };
    let longest = encode(&control(limits::DATAGRAM), Epoch::NONE).unwrap();
    assert_eq!(
        encode(&control(limits::DATAGRAM + 1), Epoch::NONE),
        Err(TooLong)
    );
    let (kind, _, octets) = cut(&longest);
    assert!(read(kind, &octets).is_ok());
    // The length is in three octets in front of what it counts.
    let at = octets.len() - limits::DATAGRAM - 3;
    assert_eq!(octets[at..at + 3], [0xff, 0xff, 0x03]);
    let mut longer = octets;
    longer[at..at + 3].copy_from_slice(&[0x80, 0x80, 0x04]);
    longer.push(0);
    assert_eq!(read(kind, &longer), Err(Unreadable::TooLong(Kind::Control)));
}

#[test]
fn the_longest_of_everything_fits_into_a_frame() {
    let key = "k".repeat(limits::RECORD_KEY);
    let record =
        |length| PeerRecord::new(key.clone(), Position::default(), Some(vec![0; length])).unwrap();
    let page = RecordsPage::of([record(limits::RECORDS_OCTETS - 200), record(limits::RECORD)]);
    assert_eq!(page.records().len(), 2);
    let small = PeerRecord::new(String::new(), Position::default(), None).unwrap();
    let many = RecordsPage::of((0..2000).map(|_| small.clone()));
    assert!(many.records().len() <= limits::RECORDS && many.next().is_some());
    for page in [page, many] {
        assert!(
            encode(
                &Body::Answer(QuestionId(u32::MAX), Answer::Records(page)),
                Epoch::LAST
            )
            .is_ok()
        );
    }
    let passed = Passed {
        octets: u64::MAX,
        packets: u64::MAX,
        age: Some(Duration::MAX),
    };
    let session = SessionReport {
        tunnel: TunnelId(u16::MAX),
        session: SessionId(u16::MAX),
        up: passed,
        down: passed,
    };
    let report = Report(vec![session; limits::REPORT]);
    assert!(encode(&Body::Message(Message::Report(report)), Epoch::LAST).is_ok());
    let query = AdminQuery {
        method: "M".repeat(limits::ADMIN_LINE),
        path: "/".repeat(limits::ADMIN_LINE),
        body: vec![0; limits::ADMIN_QUERY],
    };
    let question = Body::Question(QuestionId(u32::MAX), Question::Admin(query));
    assert!(encode(&question, Epoch::LAST).is_ok());
}

#[test]
fn a_record_that_no_page_takes_is_none() {
    let at = Position::default();
    let long = Some(vec![0; limits::RECORD + 1]);
    assert_eq!(
        PeerRecord::new("t/1".to_owned(), at, long),
        Err(RecordTooLong)
    );
    let name = "k".repeat(limits::RECORD_KEY + 1);
    assert_eq!(PeerRecord::new(name, at, None), Err(RecordTooLong));
}

#[test]
fn records_come_in_pages_that_say_where_to_go_on() {
    let at = |seq| Position {
        epoch: Epoch::new(3).unwrap(),
        seq,
    };
    let all: Vec<_> = (1..=100)
        .map(|seq| PeerRecord::new(format!("s/1/{seq}"), at(seq), Some(vec![1; 1000])).unwrap())
        .collect();
    let (mut after, mut taken) = (Some(Position::default()), Vec::new());
    while let Some(mark) = after {
        let newer = all
            .iter()
            .filter(|record| record.position() > mark)
            .cloned();
        let page = RecordsPage::of(newer);
        after = page.next();
        taken.extend(page.into_records());
    }
    assert_eq!(taken, all);
}

#[test]
fn what_goes_into_a_log_is_one_line_of_it() {
    let hello = |identity: &str, software: &str| {
        Body::Hello(Box::new(Hello {
            cluster: ClusterId::new("lns", "edge", "7d1c").unwrap(),
            identity: identity.parse().unwrap(),
            version: 1,
            oldest: 1,
            capabilities: Capabilities::default(),
            dial: 0,
            software: software.to_owned(),
        }))
    };
    let (kind, _, octets) = cut(&encode(&hello("n1/1", "0.1\n\u{1b}[31m"), Epoch::NONE).unwrap());
    let Ok(Body::Hello(read)) = read(kind, &octets) else {
        panic!("a greeting");
    };
    assert_eq!(read.software, "0.1??[31m");
    for identity in ["n\n1/1", "n1/a b", "n1/\u{7f}"] {
        assert_eq!(
            encode(&hello(identity, ""), Epoch::NONE),
            Err(TooLong),
            "{identity:?}"
        );
    }
    let long = format!("{}/1", "n".repeat(limits::NODE_NAME + 1));
    assert_eq!(encode(&hello(&long, ""), Epoch::NONE), Err(TooLong));
}

#[test]
fn what_is_carried_is_not_printed() {
    let address: SocketAddr = "192.0.2.1:1701".parse().unwrap();
    let secret = b"secret".to_vec();
    let control = Control {
        local: address,
        remote: address,
        octets: secret.clone(),
    };
    let frame = PppFrame {
        tunnel: TunnelId(1),
        session: SessionId(2),
        local: address,
        remote: address,
        frame: secret.clone(),
    };
    let request = DynamicRequest {
        local: address,
        remote: address,
        octets: secret.clone(),
    };
    let record = PeerRecord::new("t/1".to_owned(), Position::default(), Some(secret.clone()));
    let query = AdminQuery {
        method: "POST".to_owned(),
        path: "/".to_owned(),
        body: secret.clone(),
    };
    let answer = AdminAnswer {
        status: 200,
        content_type: "text/plain".to_owned(),
        body: secret,
    };
    let all = [
        format!("{control:?}"),
        format!("{frame:?}"),
        format!("{request:?}"),
        format!("{record:?}"),
        format!("{query:?}"),
        format!("{answer:?}"),
    ];
    for text in all {
        assert!(text.contains('6') && !text.contains("115"), "{text}");
    }
}

/// The octets of version 1. Whoever changes them makes a new kind instead.
#[test]
fn the_octets_of_version_1_stay_as_they_are() {
    let at = Position {
        epoch: Epoch::new(7).unwrap(),
        seq: 300,
    };
    let ends = || {
        (
            "192.0.2.1:1701".parse().unwrap(),
            "[2001:db8::1]:1701".parse().unwrap(),
        )
    };
    let (local, remote) = ends();
    let hello = Body::Hello(Box::new(Hello {
        cluster: ClusterId::new("lns", "edge", "7d1c").unwrap(),
        identity: "n1/p/b/1".parse().unwrap(),
        version: 1,
        oldest: 1,
        capabilities: Capabilities::DATA,
        dial: 2,
        software: "0.1.0".to_owned(),
    }));
    let ask = Message::Ask(Ask {
        holder: peer(),
        epoch: at.epoch,
        sent: Instant::from_nanos(1),
    });
    let control = Message::Control(Control {
        local,
        remote,
        octets: vec![0xc8, 2],
    });
    let query = Question::Admin(AdminQuery {
        method: "GET".to_owned(),
        path: "/".to_owned(),
        body: Vec::new(),
    });
    let wanted: [(Body, &str); 6] = [
        (
            hello,
            "0000002b000000000000000000070 36c6e730465646765043764316308 6e312f702f622f31 0101 01 02 05302e312e30",
        ),
        (Body::Alive, "0000000a00030000000000000007"),
        (Body::Message(ask), "0000000c00100000000000000007 07 01"),
        (
            Body::Message(Message::Applied(at)),
            "0000000d00130000000000000007 07 ac02",
        ),
        (
            Body::Message(control),
            "0000002700200000000000000007 00c0000201a50d 0120010db8000000000000000000000001a50d 02c802",
        ),
        (
            Body::Question(QuestionId(9), query),
            "0000001200330000000000000007 09 03474554 012f 00",
        ),
    ];
    for (body, hex) in wanted {
        let octets = encode(&body, at.epoch).unwrap();
        let wanted: Vec<_> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let wanted = wanted.chunks(2).map(|pair| {
            let pair = core::str::from_utf8(pair).unwrap();
            u8::from_str_radix(pair, 16).unwrap()
        });
        assert_eq!(octets, wanted.collect::<Vec<_>>(), "{body:?}");
    }
}
