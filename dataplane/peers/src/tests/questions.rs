//! Questions and their answers.

use core::time::Duration;

use lns_cluster::Epoch;

use super::bed::{Bed, Node, PATIENCE, Plan, TIMING, introduce, node, run};
use crate::limits::{ADMIN_ANSWER, PART, QUESTIONS};
use crate::wire::{
    AdminAnswer, AdminQuery, Answer, Body, DynamicRequest, Failure, Kind, PeerRecord, Position,
    Question, QuestionId, RecordsPage,
};
use crate::{Event, NotTaken, Timing};

fn admin(path: &str) -> Question {
    Question::Admin(AdminQuery {
        method: "GET".to_owned(),
        path: path.to_owned(),
        body: b"all".to_vec(),
    })
}

/// Answers questions until `count` are answered.
async fn serve(
    node: &mut Node,
    count: usize,
    answer: impl Fn(&Question) -> Result<Answer, Failure>,
) {
    let mut answered = 0;
    while answered < count {
        if let Event::Question(question, responder) = node.next().await {
            match answer(question.value()) {
                Ok(answer) => responder.answer(answer),
                Err(failure) => responder.fail(failure),
            }
            answered += 1;
        }
    }
}

#[test]
fn each_question_is_answered_by_who_was_asked() {
    run(async {
        let [a, mut b] = Bed::new().nodes(["a", "b"]).await;
        let at = Position {
            epoch: super::bed::epoch(3),
            seq: 17,
        };
        let address = "192.0.2.1:3799".parse().unwrap();
        let request = DynamicRequest {
            local: address,
            remote: address,
            octets: vec![40],
        };
        let answers = |question: &Question| match question {
            Question::Position => Ok(Answer::Position(at)),
            Question::Records(_) => Err(Failure::NotMaster),
            Question::Dynamic(request) => Ok(Answer::Dynamic(Some(request.octets.clone()))),
            Question::Admin(query) => Ok(Answer::Admin(AdminAnswer {
                status: 200,
                content_type: "text/plain".to_owned(),
                body: query.path.clone().into_bytes(),
            })),
        };
        let peer = node("b");
        let ask = |question| a.speaker.ask(&peer, question);
        let asking = async {
            tokio::join!(
                ask(Question::Position),
                ask(Question::Records(at)),
                ask(Question::Dynamic(request)),
                ask(admin("/v1/status")),
            )
        };
        let ((position, records, reply, status), ()) =
            tokio::join!(asking, serve(&mut b, 4, answers));
        assert_eq!(position.unwrap().into_value(), Answer::Position(at));
        assert_eq!(records.unwrap_err(), Failure::NotMaster);
        let reply = reply.unwrap();
        assert_eq!(reply.from().node(), &node("b"));
        assert_eq!(reply.into_value(), Answer::Dynamic(Some(vec![40])));
        let Answer::Admin(answer) = status.unwrap().into_value() else {
            panic!("of the admin interface");
        };
        assert_eq!((answer.status, &answer.body[..]), (200, &b"/v1/status"[..]));
    });
}

fn long() -> Vec<u8> {
    (0..4_000_000_u32)
        .map(|number| number.to_be_bytes()[3])
        .collect()
}

fn page(body: Vec<u8>) -> Answer {
    Answer::Admin(AdminAnswer {
        status: 200,
        content_type: "text/plain".to_owned(),
        body,
    })
}

#[test]
fn a_long_answer_comes_whole_though_nothing_else_is_written_meanwhile() {
    run(async {
        let bed = Bed::new();
        // Nothing is written because time has passed.
        let timing = Timing {
            alive: PATIENCE,
            ..TIMING
        };
        let start = |name| {
            Node::start(Plan {
                timing,
                ..bed.plan(name)
            })
        };
        let (mut a, mut b) = (start("a").await, start("b").await);
        introduce(&mut [&a, &b].into_iter());
        a.connected().await;
        b.connected().await;
        let peer = node("b");
        let answers = |_: &Question| Ok(page(long()));
        let (answer, ()) =
            tokio::join!(a.speaker.ask(&peer, admin("/")), serve(&mut b, 1, answers));
        assert!(answer.unwrap().into_value() == page(long()));
    });
}

#[test]
fn a_long_answer_holds_up_no_short_one() {
    run(async {
        let bed = Bed::new();
        let mut a = bed.node("a").await;
        let mut b = bed.stranger("b", &a, |_| {}).await;
        a.connected().await;
        for (id, question) in [(1, admin("/")), (2, Question::Position)] {
            b.say(&Body::Question(QuestionId(id), question), Epoch::NONE)
                .await;
        }
        let answers = |question: &Question| match question {
            Question::Position => Ok(Answer::Position(Position::default())),
            _ => Ok(page(long())),
        };
        serve(&mut a, 2, answers).await;
        let (mut before, mut after) = (0, 0);
        let mut is_short = false;
        loop {
            match b.hear().await.unwrap().0 {
                Body::Part(..) if is_short => after += 1,
                Body::Part(..) => before += 1,
                Body::Answer(QuestionId(2), _) => is_short = true,
                Body::Answer(QuestionId(1), _) => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(before + after, 4_000_000 / PART);
        // Those that the kernel had taken before the short one was there.
        assert!(is_short && after > 0, "{before} before, {after} after");
    });
}

#[test]
fn an_answer_that_is_too_long_fails_by_name() {
    run(async {
        let [a, mut b] = Bed::new().nodes(["a", "b"]).await;
        let answers = |_: &Question| {
            Ok(Answer::Admin(AdminAnswer {
                status: 200,
                content_type: String::new(),
                body: vec![0; ADMIN_ANSWER + 1],
            }))
        };
        let peer = node("b");
        let (answer, ()) =
            tokio::join!(a.speaker.ask(&peer, admin("/")), serve(&mut b, 1, answers));
        assert_eq!(answer.unwrap_err(), Failure::TooLong);
        let long = admin(&"/".repeat(10_000));
        assert_eq!(
            a.speaker.ask(&peer, long).await.unwrap_err(),
            Failure::TooLong
        );
    });
}

#[test]
fn records_newer_than_a_mark_are_taken_page_by_page() {
    run(async {
        let [a, mut b] = Bed::new().nodes(["a", "b"]).await;
        let at = |seq| Position {
            epoch: super::bed::epoch(3),
            seq,
        };
        let record = |seq| {
            let octets = (seq % 5 > 0).then(|| vec![7; 400]);
            PeerRecord::new(format!("s/1/{seq}"), at(seq), octets).unwrap()
        };
        let all: Vec<_> = (1..=500).map(record).collect();
        let theirs = all.clone();
        let answers = move |question: &Question| {
            let Question::Records(after) = question else {
                return Err(Failure::Unanswered);
            };
            let newer = theirs.iter().filter(|record| record.position() > *after);
            Ok(Answer::Records(RecordsPage::of(newer.cloned())))
        };
        let serving = tokio::spawn(async move { serve(&mut b, usize::MAX, answers).await });
        let (mut after, mut taken) = (Some(at(100)), Vec::new());
        while let Some(mark) = after {
            let page = a
                .speaker
                .ask(&node("b"), Question::Records(mark))
                .await
                .unwrap();
            let Answer::Records(page) = page.into_value() else {
                panic!("records");
            };
            after = page.next();
            taken.extend(page.into_records());
        }
        assert!(taken == all[100..]);
        serving.abort();
    });
}

#[test]
fn a_peer_that_is_gone_or_silent_or_answers_something_else_fails_the_question() {
    run(async {
        let bed = Bed::new();
        let mut a = Node::start(Plan {
            timing: Timing {
                answer: Duration::from_millis(200),
                ..TIMING
            },
            ..bed.plan("a")
        })
        .await;
        let peer = node("b");
        let ask = || a.speaker.ask(&peer, Question::Position);
        assert_eq!(ask().await.unwrap_err(), Failure::NotConnected);
        let mut b = bed.stranger("b", &a, |_| {}).await;
        a.connected().await;
        let ask = || a.speaker.ask(&peer, Question::Position);
        assert_eq!(ask().await.unwrap_err(), Failure::Timeout);
        let Some((Body::Question(id, _), epoch)) = b.hear().await else {
            panic!("a question");
        };
        // Too late: nobody waits for it any more.
        b.say(
            &Body::Answer(id, Answer::Position(Position::default())),
            epoch,
        )
        .await;
        a.until("b", |figures| figures.not_taken == [(NotTaken::Unasked, 1)])
            .await;
        let mismatch = async {
            let Some((Body::Question(id, _), epoch)) = b.hear().await else {
                panic!("a question");
            };
            b.say(&Body::Answer(id, Answer::Dynamic(None)), epoch).await;
            b
        };
        let (answer, b) = tokio::join!(ask(), mismatch);
        assert_eq!(answer.unwrap_err(), Failure::Mismatch);
        let (answer, ()) = tokio::join!(ask(), async { drop(b) });
        assert!(matches!(
            answer.unwrap_err(),
            Failure::Disconnected | Failure::NotConnected
        ));
    });
}

#[test]
fn a_peer_that_asks_more_than_may_wait_is_told_that_we_are_busy() {
    run(async {
        let bed = Bed::new();
        let mut a = bed.node("a").await;
        let mut b = bed.stranger("b", &a, |_| {}).await;
        a.connected().await;
        let count = u32::try_from(QUESTIONS).unwrap();
        for id in 0..=count {
            b.say(
                &Body::Question(QuestionId(id), Question::Position),
                a.epochs.known(),
            )
            .await;
        }
        let busy = Body::Failed(QuestionId(count), Failure::Busy);
        assert_eq!(b.hear().await.map(|(body, _)| body), Some(busy));
        a.until("b", |figures| figures.not_taken == [(NotTaken::Busy, 1)])
            .await;
        // Those that were taken are answered, by nobody's doing when they are dropped.
        for id in 0..count {
            let Event::Question(_, responder) = a.next().await else {
                panic!("a question");
            };
            drop(responder);
            let unanswered = Body::Failed(QuestionId(id), Failure::Unanswered);
            assert_eq!(b.hear().await.map(|(body, _)| body), Some(unanswered));
        }
        b.say(
            &Body::Question(QuestionId(9), Question::Position),
            a.epochs.known(),
        )
        .await;
        assert!(matches!(a.next().await, Event::Question(..)));
    });
}

#[test]
fn we_ask_no_more_than_may_wait() {
    run(async {
        let bed = Bed::new();
        let mut a = bed.node("a").await;
        let _silent = bed.stranger("b", &a, |_| {}).await;
        a.connected().await;
        let mut asked = tokio::task::JoinSet::new();
        for _ in 0..=QUESTIONS {
            let speaker = a.speaker.clone();
            asked.spawn(async move { speaker.ask(&node("b"), Question::Position).await });
        }
        let first = asked.join_next().await.unwrap().unwrap();
        assert_eq!(first.unwrap_err(), Failure::Full);
        let all = u64::try_from(QUESTIONS).unwrap();
        a.until("b", |figures| {
            figures.sent.contains(&(Kind::AskPosition, all))
        })
        .await;
        // Whoever stops waiting makes room.
        asked.shutdown().await;
        let speaker = a.speaker.clone();
        let again = async move { speaker.ask(&node("b"), Question::Position).await };
        let again = tokio::time::timeout(Duration::from_millis(200), again).await;
        assert!(again.is_err(), "it waits for an answer");
    });
}
