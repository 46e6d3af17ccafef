//! What the functions refuse, and that nothing changes then (rules S2 and S3).

use bytes::Bytes;
use lns_cluster::journal::{Change, Mark, Write};
use lns_store::{Error, Fenced, Refusal, Written};

use crate::rig::{
    Process, claim, config, content, down, epoch, forget, holder, key, mark, mastership, put,
    refusal, rows, store, up, write,
};

fn fenced(number: u64, node: &str) -> Fenced {
    Fenced {
        epoch: Some(epoch(number)),
        holder: holder(node).to_string().into(),
    }
}

#[tokio::test]
async fn only_the_holder_of_the_epoch_writes() {
    let server = Process::start().await;
    let store = store(&server).await;
    let first = put("t/1", mark(7, 1), "x");
    let refused = refusal(write(&store, "a", first.clone()).await);
    assert_eq!(refused, Refusal::NotHolder(Fenced::default()));
    assert_eq!(store.fence().await.unwrap(), None);

    claim(&store, "a", mark(7, 1)).await;
    let others = [("a", mark(6, 9)), ("a", mark(8, 1)), ("b", mark(7, 2))];
    for (node, mark) in others {
        let result = write(&store, node, put("t/1", mark, "x")).await;
        assert_eq!(refusal(result), Refusal::NotHolder(fenced(7, "a")));
        let result = write(&store, node, forget("t/1", mark)).await;
        assert_eq!(refusal(result), Refusal::NotHolder(fenced(7, "a")));
    }
    let beat = store.beat(epoch(6), &holder("a")).await;
    assert_eq!(refusal(beat), Refusal::NotHolder(fenced(7, "a")));
    assert_eq!(content(&store).await, rows(&[]));

    write(&store, "a", put("t/1", mark(7, 2), "x"))
        .await
        .unwrap();
    assert_eq!(content(&store).await, rows(&[("t/1", "7-2", "x")]));
}

#[tokio::test]
async fn a_claim_is_refused_to_lower_epochs_and_to_another_holder_of_the_same() {
    let server = Process::start().await;
    let store = store(&server).await;
    claim(&store, "a", mark(7, 1)).await;
    for (node, mark) in [("a", mark(6, 9)), ("b", mark(6, 9)), ("b", mark(7, 9))] {
        let result = store.claim(&mastership(node, mark)).await;
        assert_eq!(refusal(result), Refusal::StaleEpoch(fenced(7, "a")));
    }
    // The same again, under a mark of its own: after a failover of the server, for example.
    let again = store.claim(&mastership("a", mark(7, 1))).await;
    assert_eq!(refusal(again), Refusal::StaleId { last: mark(7, 1) });
    let again = store.claim(&mastership("a", mark(7, 2))).await.unwrap();
    assert!(again.again);
    let first = store.claim(&mastership("b", mark(8, 1))).await.unwrap();
    assert!(!first.again);
    let fence = store.fence().await.unwrap().unwrap();
    assert_eq!(fence.fenced, fenced(8, "b"));
    assert_eq!((&*fence.owner, &fence.roster[..]), ("uid-1", &b"a b"[..]));
}

#[tokio::test]
async fn another_owner_is_refused_while_the_master_of_the_first_is_heard() {
    let server = Process::start().await;
    let store = store(&server).await;
    claim(&store, "a", mark(7, 1)).await;
    let mut other = mastership("b", mark(8, 1));
    other.owner = "uid-2".into();
    let owner = |refusal| match refusal {
        Refusal::OtherOwner { owner, beat } => {
            assert_eq!(&*owner, "uid-1");
            beat
        }
        refusal => panic!("{refusal}"),
    };
    let seen = owner(refusal(store.claim(&other).await));
    assert_eq!(store.fence().await.unwrap().unwrap().beat, seen);

    // It was heard since.
    store.beat(epoch(7), &holder("a")).await.unwrap();
    other.seen = Some(seen.clone());
    let later = owner(refusal(store.claim(&other).await));
    assert_ne!(later, seen);

    // It was not.
    other.seen = Some(later);
    store.claim(&other).await.unwrap();
    let fence = store.fence().await.unwrap().unwrap();
    assert_eq!((&*fence.owner, fence.fenced), ("uid-2", fenced(8, "b")));
}

#[tokio::test]
async fn a_record_takes_no_change_that_is_not_later_than_its_own() {
    let server = Process::start().await;
    let store = store(&server).await;
    claim(&store, "a", mark(7, 1)).await;
    write(&store, "a", put("s/1/1", mark(7, 5), "x"))
        .await
        .unwrap();
    for seq in [2, 4, 5] {
        let result = write(&store, "a", put("s/1/1", mark(7, seq), "y")).await;
        assert_eq!(refusal(result), Refusal::StaleSeq { stored: mark(7, 5) });
    }
    // Another record, but the stream has that place already.
    let result = write(&store, "a", put("s/1/2", mark(7, 4), "y")).await;
    assert_eq!(refusal(result), Refusal::StaleId { last: mark(7, 5) });
    // Numbers, not texts.
    write(&store, "a", put("s/1/1", mark(7, 10), "z"))
        .await
        .unwrap();
    assert_eq!(content(&store).await, rows(&[("s/1/1", "7-10", "z")]));
}

#[tokio::test]
async fn a_record_is_forgotten_unless_it_is_as_new() {
    let server = Process::start().await;
    let store = store(&server).await;
    claim(&store, "a", mark(7, 1)).await;
    for seq in [2, 5] {
        write(&store, "a", put("s/1/1", mark(7, seq), "x"))
            .await
            .unwrap();
    }
    // Whichever of its own marks the record has.
    for seq in [4, 5] {
        let result = write(&store, "a", forget("s/1/1", mark(7, seq))).await;
        assert_eq!(refusal(result), Refusal::StaleSeq { stored: mark(7, 5) });
    }
    assert_eq!(content(&store).await, rows(&[("s/1/1", "7-5", "x")]));
    write(&store, "a", put("s/1/2", mark(7, 6), "y"))
        .await
        .unwrap();
    let late = write(&store, "a", forget("s/1/1", mark(7, 6))).await;
    assert_eq!(refusal(late), Refusal::StaleId { last: mark(7, 6) });
    write(&store, "a", forget("s/1/1", mark(7, 7)))
        .await
        .unwrap();
    // Of an earlier master, too.
    claim(&store, "b", mark(8, 1)).await;
    write(&store, "b", forget("s/1/2", mark(8, 2)))
        .await
        .unwrap();
    assert_eq!(content(&store).await, rows(&[]));
    // What is gone is gone: who asks again has what it wants.
    write(&store, "b", forget("s/1/1", mark(8, 3)))
        .await
        .unwrap();
}

#[tokio::test]
async fn numbers_that_the_store_does_not_compare_exactly_are_refused() {
    let server = Process::start().await;
    let store = store(&server).await;
    let mut large = mastership("a", mark(7, 1));
    large.mark.epoch = epoch(Mark::INEXACT);
    let refused = refusal(store.claim(&large).await);
    assert_eq!(refused, Refusal::Inexact(large.mark));
    assert_eq!(store.fence().await.unwrap(), None);
}

#[tokio::test]
async fn a_zombie_is_refused_even_with_the_fence_rewound_by_hand() {
    let server = Process::start().await;
    let store = store(&server).await;
    claim(&store, "zombie", mark(6, 1)).await;
    write(&store, "zombie", put("s/1/1", mark(6, 2), "old"))
        .await
        .unwrap();
    claim(&store, "b", mark(7, 1)).await;
    write(&store, "b", put("s/1/1", mark(7, 2), "new"))
        .await
        .unwrap();

    let fence = "{lns:isp/edge}:fence";
    let zombie = holder("zombie").to_string();
    server
        .tell(&["HSET", fence, "epoch", "6", "holder", &zombie])
        .await;
    store.beat(epoch(6), &holder("zombie")).await.unwrap();
    // The record protects itself; the stream protects what is new.
    let result = write(&store, "zombie", put("s/1/1", mark(6, 9), "zombie")).await;
    assert_eq!(refusal(result), Refusal::StaleSeq { stored: mark(7, 2) });
    let result = write(&store, "zombie", put("s/1/2", mark(6, 9), "zombie")).await;
    assert_eq!(refusal(result), Refusal::StaleId { last: mark(7, 2) });
    let result = write(&store, "zombie", forget("s/1/1", mark(6, 9))).await;
    assert_eq!(refusal(result), Refusal::StaleSeq { stored: mark(7, 2) });
    let result = store.claim(&mastership("zombie", mark(6, 10))).await;
    assert_eq!(refusal(result), Refusal::StaleId { last: mark(7, 2) });

    // Without the stream, too.
    server.tell(&["DEL", "{lns:isp/edge}:stream"]).await;
    let result = write(&store, "zombie", put("s/1/1", mark(6, 9), "zombie")).await;
    assert_eq!(refusal(result), Refusal::StaleSeq { stored: mark(7, 2) });
    assert_eq!(content(&store).await, rows(&[("s/1/1", "7-2", "new")]));
}

#[tokio::test]
async fn changes_are_made_in_their_order_and_an_error_is_said_of_all_that_went_together() {
    let server = Process::start().await;
    let store = store(&server).await;
    claim(&store, "a", mark(7, 1)).await;
    let writes = [
        put("t/1", mark(7, 2), "a"),
        put("t/1", mark(7, 2), "b"),
        put("t/2", mark(7, 3), "c"),
        forget("t/1", mark(7, 4)),
    ];
    let written = store.write(&holder("a"), &writes).await;
    assert_eq!(written.link, Some(up(&store).await.0));
    let results = |written: &Written| -> Vec<_> {
        let results = written.results.iter();
        results.map(Result::is_ok).collect()
    };
    // The first is made, and nothing behind the second of those that go together.
    assert_eq!(results(&written), [false, false, false, true]);
    assert_eq!(content(&store).await, rows(&[]));
    // Whoever gives them again has them made, under marks behind all that may be there.
    let again = [put("t/1", mark(7, 5), "a"), put("t/2", mark(7, 6), "c")];
    let written = store.write(&holder("a"), &again).await;
    assert_eq!(results(&written), [true, true]);
    let stored = rows(&[("t/1", "7-5", "a"), ("t/2", "7-6", "c")]);
    assert_eq!(content(&store).await, stored);
    assert!(store.write(&holder("a"), &[]).await.results.is_empty());
}

#[tokio::test]
async fn a_blob_is_any_octets() {
    let server = Process::start().await;
    let store = store(&server).await;
    claim(&store, "a", mark(7, 1)).await;
    let all: Vec<u8> = (0..=255_u8).cycle().take(70_000).collect();
    let blobs = [
        Bytes::new(),
        Bytes::from_static(b"\r\n \0"),
        Bytes::from(all),
    ];
    for (number, blob) in (2..).zip(&blobs) {
        let (key, mark) = (key("s/1/1"), mark(7, number));
        let change = Change::Put(blob[..].into());
        let one = Write { key, mark, change };
        write(&store, "a", one).await.unwrap();
        let records = store.load().await.unwrap().page().await.unwrap().unwrap();
        assert_eq!(records[0].blob, blobs[usize::try_from(number).unwrap() - 2]);
    }
}

#[tokio::test]
async fn a_full_server_takes_no_record_but_still_what_makes_room_and_what_fences() {
    let server = Process::start().await;
    let store = store(&server).await;
    claim(&store, "a", mark(7, 1)).await;
    write(&store, "a", put("s/1/1", mark(7, 2), "x"))
        .await
        .unwrap();
    server.tell(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let result = write(&store, "a", put("s/1/1", mark(7, 3), "y")).await;
    assert_eq!(refusal(result), Refusal::Full);
    store.beat(epoch(7), &holder("a")).await.unwrap();
    claim(&store, "b", mark(8, 1)).await;
    write(&store, "b", forget("s/1/1", mark(8, 2)))
        .await
        .unwrap();
}

#[tokio::test]
async fn an_older_library_is_replaced_and_a_newer_one_is_left_alone() {
    let server = Process::start().await;
    let library = |version: u32| {
        format!(
            "#!lua name=lns\nlocal function f() return {version} end\n\
             redis.register_function{{function_name='lns_version', callback=f, flags={{'no-writes'}}}}\n\
             redis.register_function('lns_of_{version}', f)"
        )
    };
    let has = async |function: &str| {
        let list: redis::Value = server.say(&["FUNCTION", "LIST"]).await;
        format!("{list:?}").contains(function)
    };
    server.tell(&["FUNCTION", "LOAD", &library(0)]).await;
    drop(store(&server).await);
    assert!(has("lns_put").await && !has("lns_of_0").await);
    server
        .tell(&["FUNCTION", "LOAD", "REPLACE", &library(1_000)])
        .await;
    drop(store(&server).await);
    assert!(!has("lns_put").await && has("lns_of_1000").await);
}

#[tokio::test]
async fn a_library_that_is_deleted_is_loaded_again() {
    let server = Process::start().await;
    let store = store(&server).await;
    claim(&store, "a", mark(7, 1)).await;
    server.tell(&["FUNCTION", "DELETE", "lns"]).await;
    let result = write(&store, "a", put("t/1", mark(7, 2), "x")).await;
    let said = result.unwrap_err().to_string();
    assert!(said.contains("the function library is gone"), "{said}");
    down(&store).await;
    up(&store).await;
    write(&store, "a", put("t/1", mark(7, 3), "x"))
        .await
        .unwrap();
}

#[tokio::test]
async fn clusters_do_not_see_each_other() {
    let server = Process::start().await;
    let one = store(&server).await;
    let mut other = config(&server.url());
    other.space = lns_store::Space::new("isp", "edge2").unwrap();
    let other = lns_store::Redis::start(other).unwrap();
    up(&other).await;
    claim(&one, "a", mark(7, 1)).await;
    claim(&other, "b", mark(1, 1)).await;
    write(&one, "a", put("t/1", mark(7, 2), "x")).await.unwrap();
    write(&other, "b", put("t/1", mark(1, 2), "y"))
        .await
        .unwrap();
    assert_eq!(content(&one).await, rows(&[("t/1", "7-2", "x")]));
    assert_eq!(content(&other).await, rows(&[("t/1", "1-2", "y")]));
}

#[tokio::test]
async fn an_owner_can_have_all_that_it_has_deleted_and_nobody_else_can() {
    let server = Process::start().await;
    let store = store(&server).await;
    claim(&store, "a", mark(7, 1)).await;
    for number in 0..600_u64 {
        let record = put(&format!("s/1/{number}"), mark(7, 2 + number), "x");
        write(&store, "a", record).await.unwrap();
    }
    write(&store, "a", put("t/1", mark(7, 900), "x"))
        .await
        .unwrap();
    let refused = store.erase("uid-2").await.unwrap_err();
    assert!(
        matches!(refused, Error::Refused(Refusal::OtherOwner { .. })),
        "{refused}"
    );
    assert_eq!(content(&store).await.len(), 601);
    assert_eq!(store.erase("uid-1").await.unwrap(), 601);
    assert_eq!(content(&store).await, rows(&[]));
    assert_eq!(store.fence().await.unwrap(), None);
    assert_eq!(store.position().await.unwrap(), Mark::ZERO);
    // Whoever was master may not write any more.
    let late = write(&store, "a", put("t/2", mark(7, 901), "x")).await;
    assert_eq!(refusal(late), Refusal::NotHolder(Fenced::default()));
    // Nothing more is nobody's.
    assert_eq!(store.erase("uid-2").await.unwrap(), 0);
}
