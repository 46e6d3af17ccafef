//! The pods of a cluster's members: `lnsd run --cluster`, one on each node that the selector names, on the node's
//! own network.
//!
//! A member reads its objects and Secrets itself. Nothing of them is in the template but which nodes are meant, so a
//! changed policy, secret or pool replaces no pod.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetSpec, DaemonSetUpdateStrategy};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, EmptyDirVolumeSource, EnvVar, EnvVarSource, HTTPGetAction,
    HostPathVolumeSource, ObjectFieldSelector, PodSpec, PodTemplateSpec, Probe, SeccompProfile,
    SecurityContext, Toleration, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use sha2::{Digest as _, Sha256};

use super::Plan;
use crate::labels::{LNSD, TEMPLATE, labels, object_name, selector};
use crate::settings::{Security, Settings};

/// Where members answer probes and Prometheus, on their node and nowhere else.
const ADMIN: (&str, i32) = ("127.0.0.1", 9171);

/// Where the image has the program: it has no shell that would look for it.
const PROGRAM: &str = "/usr/local/bin/lnsd";

/// The folder of the admin socket, which goes with the pod.
const STATE: &str = "/run/lnsd";

/// What the subscribers' interface is made by.
const TUN: &str = "/dev/net/tun";

/// What a member needs where it does not get everything: routes, interfaces, the packet filter, and packets that
/// the kernel does not make.
const CAPABILITIES: [&str; 2] = ["NET_ADMIN", "NET_RAW"];

/// Where the node's own settings of its network are, for a container that does not have them.
const SYSCTLS: &str = "/host/proc/sys/net";

pub(super) fn daemon_set(plan: &Plan, settings: &Settings) -> DaemonSet {
    DaemonSet {
        metadata: plan.metadata(),
        spec: Some(DaemonSetSpec {
            selector: LabelSelector {
                match_labels: Some(selector(&plan.cluster)),
                ..LabelSelector::default()
            },
            template: stamped(template(plan, settings)),
            // Which pod is replaced when is decided by who is master and who has all records.
            update_strategy: Some(DaemonSetUpdateStrategy {
                type_: Some("OnDelete".to_owned()),
                rolling_update: None,
            }),
            ..DaemonSetSpec::default()
        }),
        status: None,
    }
}

/// The template with a digest of itself: a pod carries that of the template that it was made of.
fn stamped(mut template: PodTemplateSpec) -> PodTemplateSpec {
    let text = serde_json::to_string(&template).unwrap_or_default();
    let digest = Sha256::digest(text);
    let first = digest.first_chunk().copied().map_or(0, u64::from_be_bytes);
    let metadata = template.metadata.get_or_insert_default();
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.insert(TEMPLATE.to_owned(), format!("{first:016x}"));
    template
}

fn template(plan: &Plan, settings: &Settings) -> PodTemplateSpec {
    let mut all = settings.pod_labels.clone();
    all.extend(labels(&plan.cluster));
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(all),
            annotations: Some(settings.pod_annotations.clone()).filter(|it| !it.is_empty()),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            service_account_name: Some(object_name(&plan.cluster)),
            host_network: Some(true),
            // Names of the cluster's services mean something on the node's network, too.
            dns_policy: Some("ClusterFirstWithHostNet".to_owned()),
            node_selector: Some(plan.node_selector.clone()),
            tolerations: Some(tolerations(settings)),
            priority_class_name: settings.priority_class_name.clone(),
            termination_grace_period_seconds: Some(settings.termination_grace_period_seconds),
            image_pull_secrets: Some(settings.image_pull_secrets.clone())
                .filter(|it| !it.is_empty()),
            // Services are of no use to a member, and their number would be in its environment.
            enable_service_links: Some(false),
            containers: vec![container(plan, settings)],
            volumes: Some(volumes(settings)),
            ..PodSpec::default()
        }),
    }
}

fn tolerations(settings: &Settings) -> Vec<Toleration> {
    let any = || {
        vec![Toleration {
            operator: Some("Exists".to_owned()),
            ..Toleration::default()
        }]
    };
    settings.tolerations.clone().unwrap_or_else(any)
}

fn container(plan: &Plan, settings: &Settings) -> Container {
    let mut arguments = vec![
        "run".to_owned(),
        format!("--cluster={}/{}", plan.namespace, plan.cluster),
        format!("--admin={}:{}", ADMIN.0, ADMIN.1),
        format!("--state={STATE}"),
        format!("--log-format={}", settings.log_format.word()),
    ];
    if settings.security == Security::Capabilities {
        arguments.push(format!("--sysctls={SYSCTLS}"));
    }
    Container {
        name: LNSD.to_owned(),
        image: Some(settings.image.clone()),
        image_pull_policy: settings.image_pull_policy.map(|it| it.word().to_owned()),
        command: Some(vec![PROGRAM.to_owned()]),
        args: Some(arguments),
        env: Some(vec![
            of_pod("NODE_NAME", "spec.nodeName"),
            of_pod("POD_UID", "metadata.uid"),
            of_pod("HOST_IP", "status.hostIP"),
        ]),
        resources: Some(settings.resources.clone()),
        security_context: Some(security(settings.security)),
        volume_mounts: Some(mounts(settings)),
        // A start reads all records: 200,000 sessions within seconds, and a store that is slow gets minutes.
        startup_probe: Some(probe("/healthz", 2, 150)),
        liveness_probe: Some(probe("/healthz", 5, 3)),
        readiness_probe: Some(probe("/readyz", 2, 2)),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        ..Container::default()
    }
}

fn of_pod(name: &str, field: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                api_version: None,
                field_path: field.to_owned(),
            }),
            ..EnvVarSource::default()
        }),
    }
}

/// What the process itself answers, on the node that it is on.
fn probe(path: &str, period: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            host: Some(ADMIN.0.to_owned()),
            path: Some(path.to_owned()),
            port: IntOrString::Int(ADMIN.1),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(2),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

fn security(security: Security) -> SecurityContext {
    let names = |all: &[&str]| all.iter().map(|&name| name.to_owned()).collect();
    match security {
        Security::Privileged => SecurityContext {
            privileged: Some(true),
            read_only_root_filesystem: Some(true),
            ..SecurityContext::default()
        },
        Security::Capabilities => SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities {
                add: Some(names(&CAPABILITIES)),
                drop: Some(names(&["ALL"])),
            }),
            read_only_root_filesystem: Some(true),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                localhost_profile: None,
            }),
            ..SecurityContext::default()
        },
    }
}

/// Each volume with where it is mounted.
fn places(settings: &Settings) -> Vec<(Volume, &'static str)> {
    let empty = Volume {
        name: "state".to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            medium: Some("Memory".to_owned()),
            size_limit: None,
        }),
        ..Volume::default()
    };
    let of_node = |name: &str, path: &str, kind: &str| Volume {
        name: name.to_owned(),
        host_path: Some(HostPathVolumeSource {
            path: path.to_owned(),
            type_: Some(kind.to_owned()),
        }),
        ..Volume::default()
    };
    let mut all = vec![(empty, STATE), (of_node("tun", TUN, "CharDevice"), TUN)];
    if settings.security == Security::Capabilities {
        all.push((of_node("sysctls", "/proc/sys/net", "Directory"), SYSCTLS));
    }
    all
}

fn volumes(settings: &Settings) -> Vec<Volume> {
    places(settings)
        .into_iter()
        .map(|(volume, _)| volume)
        .collect()
}

fn mounts(settings: &Settings) -> Vec<VolumeMount> {
    let mount = |(volume, path): (Volume, &str)| VolumeMount {
        name: volume.name,
        mount_path: path.to_owned(),
        ..VolumeMount::default()
    };
    places(settings).into_iter().map(mount).collect()
}

/// The digest of the template that a pod was made of.
pub(crate) fn digest_of(annotations: Option<&BTreeMap<String, String>>) -> Option<&str> {
    annotations?.get(TEMPLATE).map(String::as_str)
}
