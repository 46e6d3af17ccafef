//! Requests over real sockets, with a node that does as it is told.

use core::net::Ipv4Addr;

use lns_crypto::Secret;
use lns_crypto::radius::{NO_AUTHENTICATOR, sign_message, sign_request, verify_response};
use lns_radius::config::{Require, Secrets};
use lns_radius::dynamic::Client;
use lns_wire::radius::{AttributeList, Code, HEADER, Id, Packet, kind};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;
use crate::run::control::inputs;

const SECRET: &[u8] = b"a-coa-secret-of-some-length";
const PATIENCE: Duration = Duration::from_secs(10);
const LOCALHOST: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn config(from: &str) -> Config {
    let client = Client {
        name: "oss".into(),
        from: vec![from.parse().unwrap()],
        secrets: Secrets {
            current: Secret::new(SECRET),
            previous: None,
        },
        message_authenticator: Require::Always,
    };
    Config {
        clients: vec![client],
        identity: AttributeList::new(),
    }
}

fn request(code: Code, id: u8, attributes: &[(u8, &[u8])]) -> Vec<u8> {
    let mut list = AttributeList::new();
    list.push(kind::MESSAGE_AUTHENTICATOR, &NO_AUTHENTICATOR)
        .unwrap();
    for (kind, value) in attributes {
        list.push(*kind, value).unwrap();
    }
    let (mut out, secret) = (Vec::new(), Secret::new(SECRET));
    list.emit(code, Id(id), &NO_AUTHENTICATOR, &mut out)
        .unwrap();
    sign_message(&mut out, HEADER + 2, &NO_AUTHENTICATOR, &secret).unwrap();
    sign_request(&mut out, &secret).unwrap();
    out
}

/// A served socket, who asks, and what was asked of the node.
struct Stage {
    client: UdpSocket,
    configs: watch::Sender<Config>,
    orders: mpsc::UnboundedReceiver<Order>,
    figures: Figures,
    task: JoinHandle<()>,
}

async fn stage() -> Stage {
    let socket = UdpSocket::bind(LOCALHOST).await.unwrap();
    let client = UdpSocket::bind(LOCALHOST).await.unwrap();
    client.connect(socket.local_addr().unwrap()).await.unwrap();
    let (configs, changes) = watch::channel(config("127.0.0.1/32"));
    let figures = Figures::default();
    let (asked, orders) = mpsc::unbounded_channel();
    let ask = move |order: Box<Order>| {
        let done = match order.target.user.as_deref() {
            Some(b"alice") => Ok(vec![(TunnelId(1), SessionId(2))]),
            _ => Err(ErrorCause::SessionContextNotFound),
        };
        let sent = asked.send(*order);
        async move { sent.map(|()| done).map_err(|_| Gone) }
    };
    let task = tokio::spawn(serve(socket, changes, figures.clone(), ask));
    Stage {
        client,
        configs,
        orders,
        figures,
        task,
    }
}

impl Stage {
    async fn ask(&self, octets: &[u8]) -> Vec<u8> {
        self.client.send(octets).await.unwrap();
        let mut answer = vec![0; MAX_PACKET];
        let length = timeout(PATIENCE, self.client.recv(&mut answer)).await;
        answer.truncate(length.expect("an answer").unwrap());
        answer
    }

    fn counted(&self, client: Option<&str>, command: Option<Command>, result: &str) -> u64 {
        let rows = self.figures.rows();
        let row = rows.iter().find(|((of, what, how), _)| {
            of.as_deref() == client && *what == command && *how == result
        });
        row.map_or(0, |(_, count)| *count)
    }
}

#[tokio::test]
async fn a_request_is_asked_of_the_node_once_and_answered_as_often_as_it_comes() {
    let mut stage = stage().await;
    let octets = request(
        Code::COA_REQUEST,
        9,
        &[(kind::USER_NAME, b"alice"), (kind::FILTER_ID, b"GOLD")],
    );
    let answer = stage.ask(&octets).await;
    let asked = Packet::parse(&octets).unwrap().authenticator;
    assert!(verify_response(&answer, &asked, &Secret::new(SECRET)));
    assert_eq!(Packet::parse(&answer).unwrap().code, Code::COA_ACK);
    assert_eq!(stage.ask(&octets).await, answer);
    let order = stage.orders.recv().await.unwrap();
    assert_eq!(order.target.user.as_deref(), Some(&b"alice"[..]));
    assert!(stage.orders.try_recv().is_err(), "asked once");
    let unknown = request(Code::DISCONNECT_REQUEST, 10, &[(kind::USER_NAME, b"bob")]);
    let answer = stage.ask(&unknown).await;
    assert_eq!(Packet::parse(&answer).unwrap().code, Code::DISCONNECT_NAK);
    let counted = [
        (Command::Change, "ack"),
        (Command::Change, "repeated"),
        (Command::Disconnect, "session_context_not_found"),
    ];
    for (command, result) in counted {
        assert_eq!(stage.counted(Some("oss"), Some(command), result), 1);
    }
}

#[tokio::test]
async fn a_reload_says_who_may_ask_from_then_on_and_the_end_of_it_ends_the_task() {
    let mut stage = stage().await;
    let octets = request(Code::DISCONNECT_REQUEST, 1, &[(kind::USER_NAME, b"alice")]);
    stage.ask(&octets).await;
    assert!(stage.orders.try_recv().is_ok());
    stage.configs.send_replace(config("192.0.2.0/24"));
    // A stranger gets no answer: what is counted says that it was read.
    while stage.counted(None, None, "stranger") == 0 {
        stage.client.send(&octets).await.unwrap();
        sleep(Duration::from_millis(10)).await;
    }
    stage.configs.send_replace(config("127.0.0.0/8"));
    // What was answered before is still kept.
    let again = request(Code::DISCONNECT_REQUEST, 2, &[(kind::USER_NAME, b"alice")]);
    let mut answer = [0; MAX_PACKET];
    loop {
        stage.client.send(&again).await.unwrap();
        let patience = Duration::from_millis(100);
        if timeout(patience, stage.client.recv(&mut answer))
            .await
            .is_ok()
        {
            break;
        }
    }
    drop(stage.configs);
    timeout(PATIENCE, stage.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_address_that_cannot_be_had_is_an_error_and_what_was_there_stays() {
    let (_punt, punts) = mpsc::channel(1);
    let (asker, _inputs) = inputs(punts);
    let mut desk = Desk::new(asker);
    let taken = UdpSocket::bind(LOCALHOST).await.unwrap();
    let free = UdpSocket::bind(LOCALHOST).await.unwrap();
    let (taken_at, address) = (taken.local_addr().unwrap(), free.local_addr().unwrap());
    drop(free);
    let wanted = |address| Wanted {
        address,
        config: config("127.0.0.1/32"),
    };
    assert_eq!(desk.configure(Some(wanted(address))).await, Ok(()));
    let error = desk.configure(Some(wanted(taken_at))).await.unwrap_err();
    let expected = format!(
        "spec.radius.dynamicAuthorization: cannot listen at {taken_at}: Address already in use"
    );
    assert!(error.starts_with(&expected), "{error}");
    assert_eq!(desk.running.as_ref().unwrap().address, address);
    assert!(UdpSocket::bind(address).await.is_err(), "still held");
    assert_eq!(desk.configure(None).await, Ok(()));
    while UdpSocket::bind(address).await.is_err() {
        sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn what_a_request_says_is_written_down_without_what_could_be_taken_for_a_line_of_its_own() {
    let target = Target {
        session: Some("00000001-00000002".into()),
        user: Some((*b"al\nice\" x").into()),
        address: Some(Ipv4Addr::new(100, 64, 0, 7)),
        ..Target::default()
    };
    assert_eq!(
        meant(&target),
        r#"session=00000001-00000002 user=al\nice\" x address=100.64.0.7"#
    );
}
