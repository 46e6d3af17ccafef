//! `status`: what the `LnsCluster` says of itself, which needs no pod, and what a member says, where one serves.

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::DynamicObject;
use serde_json::{Value, json};
use tabled::builder::Builder;
use tabled::settings::{Padding, Style};

use crate::cli::{Place, Remote};
use crate::cluster::Access;
use crate::exec;
use crate::failure::Failure;
use crate::fence;
use crate::member::{self, Member};
use crate::remote;

/// What the command is called at a member.
const COMMAND: &str = "status";

/// `kubectl lns status`
///
/// # Errors
/// The cluster cannot be read, or a member could not be asked.
pub(crate) async fn status(
    access: &Access,
    place: &Place,
    arguments: Vec<String>,
) -> Result<u8, Failure> {
    let remote = Remote::new(COMMAND, arguments);
    if remote.is_help() {
        return remote::run(access, place, remote).await;
    }
    let cluster = access.cluster(place).await?;
    let is_json = wants_json(&remote.arguments);
    if !is_json {
        print!("{}", in_words(&cluster, Timestamp::now()));
    }
    let members = member::members(access, &cluster.name_any()).await;
    let chosen = members
        .as_deref()
        .map_err(ToString::to_string)
        .and_then(|all| {
            member::choose(all, place.node.as_deref(), false).map_err(|why| why.to_string())
        });
    match chosen {
        Ok(member) => of_member(access, &cluster, member, remote.arguments, is_json).await,
        // It was answered all the same.
        Err(why) => {
            if is_json {
                println!("{:#}", as_json(&cluster, None, &Value::Null));
            }
            eprintln!("kubectl-lns: {why}");
            Ok(0)
        }
    }
}

async fn of_member(
    access: &Access,
    cluster: &DynamicObject,
    member: &Member,
    arguments: Vec<String>,
    is_json: bool,
) -> Result<u8, Failure> {
    let mut words = vec![COMMAND.to_owned()];
    words.extend(arguments);
    if !is_json {
        println!("\nlnsd on {}:", member.node);
        return exec::run(access, member, &words, false, &mut std::io::stdout()).await;
    }
    let mut answer = Vec::new();
    let code = exec::run(access, member, &words, false, &mut answer).await?;
    let answer = serde_json::from_slice(&answer).unwrap_or(Value::Null);
    println!("{:#}", as_json(cluster, Some(member), &answer));
    Ok(code)
}

fn wants_json(arguments: &[String]) -> bool {
    let pairs = arguments.iter().zip(arguments.iter().skip(1));
    let mut apart = pairs.map(|(option, value)| (option.as_str(), value.as_str()));
    apart.any(|it| it == ("-o", "json") || it == ("--output", "json"))
        || arguments
            .iter()
            .any(|it| it == "-ojson" || it == "-o=json" || it == "--output=json")
}

fn as_json(cluster: &DynamicObject, member: Option<&Member>, answer: &Value) -> Value {
    json!({
        "lnsCluster": {
            "name": cluster.name_any(),
            "namespace": cluster.namespace(),
            "generation": cluster.metadata.generation,
            "fenced": fence::of(cluster).unwrap_or_default(),
            "status": cluster.data.get("status"),
        },
        "node": member.map(|it| &it.node),
        "lnsd": answer,
    })
}

fn in_words(cluster: &DynamicObject, now: Timestamp) -> String {
    let status = cluster.data.get("status").unwrap_or(&Value::Null);
    let text = |pointer: &str| match status.pointer(pointer) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Null) | None => None,
        Some(other) => Some(other.to_string()),
    };
    let mut facts = vec![("LnsCluster", name(cluster))];
    facts.push((
        "Master",
        match (text("/active/node"), text("/active/epoch")) {
            (Some(node), Some(epoch)) => format!(
                "{node} (epoch {epoch}{})",
                since(text("/active/since").as_deref(), now)
            ),
            _ => "none that is known".to_owned(),
        },
    ));
    if let (Some(ready), Some(desired)) = (text("/members/ready"), text("/members/desired")) {
        facts.push(("Members", format!("{ready} of {desired} ready")));
    }
    facts.extend(text("/sessions").map(|sessions| ("Sessions", format!("about {sessions}"))));
    facts.extend(text("/version").map(|version| ("Version", version)));
    match fence::of(cluster) {
        Ok(nodes) if nodes.is_empty() => {}
        Ok(nodes) => facts.push(("Fenced", nodes.join(", "))),
        Err(why) => facts.push(("Fenced", why.to_string())),
    }
    let facts = facts
        .into_iter()
        .map(|(what, value)| [what.to_owned(), value]);
    let mut shown = aligned(facts);
    let conditions = conditions(status, now);
    if conditions.len() > 1 {
        shown.push('\n');
        shown.push_str(&aligned(conditions.into_iter()));
    }
    shown
}

/// What is said may be of an older spec than what is there.
fn name(cluster: &DynamicObject) -> String {
    let name = format!(
        "{}/{}",
        cluster.namespace().unwrap_or_default(),
        cluster.name_any()
    );
    let seen = cluster
        .data
        .pointer("/status/observedGeneration")
        .and_then(Value::as_i64);
    match seen {
        Some(seen) if Some(seen) == cluster.metadata.generation => name,
        Some(seen) if seen >= 0 => format!(
            "{name}: its last change was not looked at yet; what is said is of the spec before"
        ),
        _ => format!("{name}: nobody has looked at it yet; does the operator run?"),
    }
}

fn conditions(status: &Value, now: Timestamp) -> Vec<[String; 5]> {
    let mut rows = vec![["CONDITION", "STATUS", "FOR", "REASON", "MESSAGE"].map(str::to_owned)];
    let conditions = status.get("conditions").and_then(Value::as_array);
    for condition in conditions.into_iter().flatten() {
        let text = |key: &str| {
            condition
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or("-")
                .to_owned()
        };
        let age = age(&text("lastTransitionTime"), now).unwrap_or_else(|| "-".to_owned());
        rows.push([
            text("type"),
            text("status"),
            age,
            text("reason"),
            text("message"),
        ]);
    }
    rows
}

fn since(text: Option<&str>, now: Timestamp) -> String {
    let age = text.and_then(|text| age(text, now));
    age.map_or_else(String::new, |age| format!(", for {age}"))
}

/// How long ago, by the largest unit that is not zero.
fn age(text: &str, now: Timestamp) -> Option<String> {
    let then: Timestamp = text.parse().ok()?;
    let seconds = now.as_second().saturating_sub(then.as_second()).max(0);
    Some(match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    })
}

fn aligned<const N: usize>(rows: impl Iterator<Item = [String; N]>) -> String {
    let mut builder = Builder::default();
    rows.for_each(|row| builder.push_record(row));
    let mut table = builder.build();
    table.with(Style::empty()).with(Padding::new(0, 2, 0, 0));
    let text = table.to_string();
    text.lines()
        .fold(String::new(), |text, line| text + line.trim_end() + "\n")
}

#[cfg(test)]
mod tests {
    use kube::api::ApiResource;
    use lns_api::LnsCluster;

    use super::*;

    fn cluster(status: &Value) -> DynamicObject {
        let kind = ApiResource::erase::<LnsCluster>(&());
        let mut cluster = DynamicObject::new("edge", &kind).within("isp");
        cluster.metadata.generation = Some(3);
        cluster.data = json!({ "status": status });
        cluster
    }

    fn now() -> Timestamp {
        "2026-11-27T20:10:00Z".parse().unwrap()
    }

    #[test]
    fn a_cluster_says_who_is_master_and_what_its_conditions_are() {
        let shown = in_words(
            &cluster(&json!({
                "observedGeneration": 3,
                "active": { "node": "worker-1", "epoch": 7, "since": "2026-11-27T20:00:00Z" },
                "members": { "desired": 3, "ready": 2 }, "sessions": 1200, "version": "0.1.0",
                "conditions": [
                    { "type": "Ready", "status": "True", "reason": "Serving", "message": "2 of 3 serve", "lastTransitionTime": "2026-11-27T20:00:01Z" },
                    { "type": "Degraded", "status": "True", "reason": "MemberNotReady", "message": "worker-3", "lastTransitionTime": "2026-11-27T20:09:00Z" },
                ],
            })),
            now(),
        );
        assert_eq!(
            shown,
            "\
LnsCluster  isp/edge
Master      worker-1 (epoch 7, for 10m)
Members     2 of 3 ready
Sessions    about 1200
Version     0.1.0

CONDITION  STATUS  FOR  REASON          MESSAGE
Ready      True    9m   Serving         2 of 3 serve
Degraded   True    60s  MemberNotReady  worker-3
"
        );
    }

    #[test]
    fn what_nobody_has_looked_at_is_not_taken_for_what_is() {
        let shown = in_words(&cluster(&json!({ "observedGeneration": -1 })), now());
        assert!(shown.contains("nobody has looked at it yet"), "{shown}");
        assert!(shown.contains("Master      none that is known"), "{shown}");
        let shown = in_words(&cluster(&json!({ "observedGeneration": 2 })), now());
        assert!(
            shown.contains("its last change was not looked at yet"),
            "{shown}"
        );
    }

    #[test]
    fn json_has_both_and_no_member_is_null() {
        for line in ["-o json", "-ojson", "--output=json", "--output json"] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert!(wants_json(&words), "{line}");
        }
        assert!(!wants_json(&["-o".to_owned(), "wide".to_owned()]));
        let told = as_json(
            &cluster(&json!({ "observedGeneration": 3 })),
            None,
            &Value::Null,
        );
        assert_eq!(told["lnsCluster"]["status"]["observedGeneration"], 3);
        assert_eq!((&told["node"], &told["lnsd"]), (&Value::Null, &Value::Null));
    }

    #[test]
    fn a_time_is_told_by_one_unit() {
        let age = |text: &str| age(text, now()).unwrap();
        assert_eq!(age("2026-11-27T20:09:30Z"), "30s");
        assert_eq!(age("2026-11-27T19:10:00Z"), "60m");
        assert_eq!(age("2026-11-26T20:10:00Z"), "24h");
        assert_eq!(age("2026-11-20T20:10:00Z"), "7d");
        // Another clock.
        assert_eq!(age("2026-11-27T20:11:00Z"), "0s");
    }
}
