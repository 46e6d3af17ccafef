//! What news make of what is known.

use serde_json::json;

use super::*;

fn cluster(secret: &str) -> Value {
    json!({
        "metadata": {
            "name": "edge", "namespace": "lns", "uid": "u1", "generation": 3,
            "annotations": { "kubelns.io/paused": "true" },
        },
        "spec": {
            "service": { "addresses": ["192.0.2.1"] },
            "lacs": [{
                "name": "a", "from": ["198.51.100.0/24"],
                "tunnelAuthentication": { "mode": "Secret", "secretRef": { "name": secret } },
                "authentication": ["None"],
            }],
            "pools": [{
                "name": "p", "localAddress": "100.64.0.1", "prefixes": [{ "cidr": "100.64.0.0/24" }],
            }],
        },
    })
}

fn policy(name: &str, cluster: &str) -> Value {
    json!({
        "metadata": { "name": name, "namespace": "lns" },
        "spec": { "clusterRefs": [{ "name": cluster }] },
    })
}

fn secret(name: &str, value: &str) -> Value {
    // A base64 text is enough of one.
    json!({
        "metadata": { "name": name, "namespace": "lns" },
        "type": "Opaque",
        "data": { "current": value },
    })
}

fn all(one: Value) -> Said {
    Said::All(vec![one])
}

fn of(name: &str) -> Source {
    Source::Secret(name.to_owned())
}

fn seen(book: &Book) -> Seen {
    let Look::With(parts) = book.look() else {
        panic!("{:?}", book.look());
    };
    parts.read()
}

/// One that has seen everything.
fn full() -> Book {
    let mut book = Book::new("edge");
    assert!(book.note(&Source::Cluster, all(cluster("a"))));
    book.rename();
    assert!(book.note(&Source::Policies, Said::All(Vec::new())));
    assert!(book.note(&of("a"), all(secret("a", "AAECAwQFBgcICQoLDA0ODw=="))));
    book
}

#[test]
fn nothing_is_told_until_everything_has_been_looked_at() {
    let mut book = Book::new("edge");
    assert!(matches!(book.look(), Look::Unknown));
    book.note(&Source::Cluster, all(cluster("a")));
    let (new, old) = book.rename();
    assert_eq!((new.len(), old.len()), (1, 0));
    book.note(&Source::Policies, Said::All(Vec::new()));
    assert!(matches!(book.look(), Look::Unknown), "the Secret");
    book.note(&of("a"), all(secret("a", "AAECAwQFBgcICQoLDA0ODw==")));
    let seen = seen(&book);
    assert_eq!((&*seen.uid, seen.generation), ("u1", 3));
    assert_eq!(seen.annotations["kubelns.io/paused"], "true");
    assert!(!seen.is_being_deleted);
    assert!(seen.manifest.unwrap().secrets.contains_key("a"));
}

#[test]
fn a_secret_that_is_not_there_is_what_is_wrong() {
    let mut book = full();
    assert!(book.note(&of("a"), Said::Gone("a".to_owned())));
    assert_eq!(
        seen(&book).manifest.unwrap_err(),
        [
            "LnsCluster/edge: spec.lacs[0].tunnelAuthentication.secretRef.name: \"a\" is no Secret of this manifest"
        ]
    );
}

#[test]
fn secrets_are_followed_as_they_are_named() {
    let mut book = full();
    book.note(&Source::Cluster, Said::Changed(cluster("b")));
    let (new, old) = book.rename();
    assert_eq!(new, BTreeSet::from(["b".to_owned()]));
    assert_eq!(old, BTreeSet::from(["a".to_owned()]));
    assert!(matches!(book.look(), Look::Unknown), "the new one");
    let late = all(secret("a", "AAECAwQFBgcICQoLDA0ODw=="));
    assert!(!book.note(&of("a"), late), "that of another time");
    assert!(book.note(&of("b"), all(secret("b", "AAECAwQFBgcICQoLDA0ODw=="))));
    assert!(seen(&book).manifest.is_ok());
}

#[test]
fn policies_of_other_clusters_are_none_of_it() {
    let mut book = full();
    book.note(
        &Source::Policies,
        Said::All(vec![policy("gold", "edge"), policy("far", "rim")]),
    );
    let names = |book: &Book| -> Vec<_> {
        let policies = seen(book).manifest.unwrap().policies.into_iter();
        policies.filter_map(|it| it.metadata.name).collect()
    };
    assert_eq!(names(&book), ["gold"]);
    assert!(book.note(&Source::Policies, Said::Changed(policy("far", "edge"))));
    assert_eq!(names(&book), ["far", "gold"]);
    assert!(!book.note(&Source::Policies, Said::Changed(policy("far", "edge"))));
    assert!(book.note(&Source::Policies, Said::Gone("gold".to_owned())));
    assert_eq!(names(&book), ["far"]);
}

#[test]
fn a_cluster_that_never_was_is_another_thing_than_one_that_is_gone() {
    let mut book = Book::new("edge");
    book.note(&Source::Cluster, Said::All(Vec::new()));
    assert!(matches!(book.look(), Look::Without(Sight::Absent)));
    let mut book = full();
    assert!(book.note(&Source::Cluster, Said::Gone("edge".to_owned())));
    let Look::Without(sight) = book.look() else {
        panic!("{:?}", book.look());
    };
    assert_eq!(
        sight,
        Sight::Gone {
            uid: "u1".to_owned()
        }
    );
    let (_, old) = book.rename();
    assert_eq!(old.len(), 1, "its Secret is followed no more");
}

#[test]
fn trouble_is_told_by_its_place_and_changes_nothing() {
    let mut book = full();
    assert_eq!(book.trouble(), None);
    let refused = || Said::Trouble("the API server answers 403: no".to_owned());
    assert!(!book.note(&of("a"), refused()));
    assert!(!book.note(&of("unnamed"), refused()));
    assert_eq!(
        book.trouble().as_deref(),
        Some("Secret/a: the API server answers 403: no")
    );
    book.note(&Source::Cluster, refused());
    assert_eq!(
        book.trouble().as_deref(),
        Some("LnsCluster/edge: the API server answers 403: no (and 1 more)")
    );
    assert!(seen(&book).manifest.is_ok());
    book.note(&Source::Cluster, Said::Well);
    book.note(&of("a"), Said::Well);
    assert_eq!(book.trouble(), None);
}

#[test]
fn no_text_of_it_has_a_value_of_a_secret() {
    let mut book = full();
    book.note(&of("a"), all(secret("a", "hunter-hunter")));
    let seen = seen(&book);
    assert!(seen.manifest.is_err());
    assert!(!format!("{seen:?}").contains("hunter"));
}
