# What the charts render: definitions, snapshots, rights, pods. Sourced by charts/test.

rendered_checks() {
    hold "helm lint finds nothing, with any values of lns/ci" lints
    hold "lns-crds has the files of crds/" definitions_are_those_of_crds
    hold "lns-crds renders them as they are, with the annotation that keeps them" definitions_are_rendered
    hold "what lns renders is as in lns/snapshots" snapshots_are_met
    hold "the operator has the rights of the table, and no more" rights_are_those_of_the_table
    hold "nobody has a right on everything, or on Secrets of all namespaces" no_right_is_boundless
    hold "pods have what the restricted profile asks for, and more" pods_are_confined
    hold "the pods of helm test are confined, and run when they are asked for" tests_are_confined
    hold "preflight runs on each node, before an install, with the rights of members" preflight_is_as_members_are
    hold "the operator's pods are two, apart, probed, and budgeted" operator_is_kept_up
    hold "a changed dataplane file, and nothing else, changes its checksum" checksum_follows_the_file
    if [[ -f operator/src/settings.rs ]]; then
        hold "the dataplane file has the fields that the operator reads, and no others" file_is_understood
    else
        echo "note  operator/ is not here: nobody looks at the fields of the dataplane file"
    fi
    hold "a package has what a release needs, and no tests" package_is_clean
}

cases() { find charts/lns/ci -name '*.yaml' -printf '%f\n' | sed 's/\.yaml$//' | sort; }

# As for the oldest Kubernetes that the charts are for.
template() { helm template --kube-version 1.31.0 "$@"; }

# One stream of YAML.
render() { # CASE [HELM-ARGUMENT...]
    template lns charts/lns --namespace lns --values "charts/lns/ci/$1.yaml" "${@:2}"
}

# One array of JSON.
objects() { # CASE [HELM-ARGUMENT...]
    render "$@" | yq --slurp 'map(select(. != null))'
}

# Dashboards are left out: they are files of their own.
snapshot() { # CASE
    render "$1" | awk '/^  lns-.*\.json: \|$/ { print $0 " (dashboards/" substr($1, 5, length($1) - 5) ")"; cut = 1; next }
        /^---$/ { cut = 0 } !cut'
}

write_anew() {
    local name
    cp crds/*.yaml charts/lns-crds/files/
    for name in $(cases); do snapshot "$name" >"charts/lns/snapshots/$name.yaml"; done
}

lints() {
    local name told
    told=$(helm lint --kube-version 1.31.0 --strict --quiet charts/lns-crds 2>&1) || echo "$told"
    for name in $(cases); do
        told=$(helm lint --kube-version 1.31.0 --strict --quiet charts/lns --namespace lns --values "charts/lns/ci/$name.yaml" 2>&1) ||
            echo "$name: $told"
    done
}

definitions_are_those_of_crds() {
    diff --recursive --brief --exclude=src --exclude=examples --exclude=released --exclude=tests --exclude=Cargo.toml \
        crds charts/lns-crds/files ||
        echo "run charts/test --update"
}

definitions_are_rendered() {
    local given kept bare
    given=$(yq --slurp 'sort_by(.metadata.name)' crds/*.yaml)
    kept=$(template lns-crds charts/lns-crds | yq --slurp 'sort_by(.metadata.name)')
    bare=$(template lns-crds charts/lns-crds --set keep=false | yq --slurp 'sort_by(.metadata.name)')
    jq --exit-status 'length > 1 and all(.metadata.annotations == {"helm.sh/resource-policy": "keep"})' <<<"$kept" >/dev/null ||
        echo "not each definition has helm.sh/resource-policy: keep"
    diff <(jq . <<<"$given") <(jq 'map(del(.metadata.annotations))' <<<"$kept")
    diff <(jq . <<<"$given") <(jq . <<<"$bare")
}

snapshots_are_met() {
    local name
    for name in $(cases); do
        diff --unified "charts/lns/snapshots/$name.yaml" <(snapshot "$name") || echo "$name: if that is meant, run charts/test --update"
    done
    diff <(cases) <(find charts/lns/snapshots -name '*.yaml' -printf '%f\n' | sed 's/\.yaml$//' | sort)
}

# Each right in a line: the kind, the group, the resource, the verbs.
rights() {
    jq --raw-output '.[] | select(.kind == "Role" or .kind == "ClusterRole")
        | select(.metadata.labels | keys | any(startswith("rbac.authorization.k8s.io/aggregate-to-")) | not)
        | .kind as $kind | .rules[] | (.verbs | join(",")) as $verbs
        | (keys - ["apiGroups", "resources", "verbs"] | map("UNEXPECTED " + .) | .[]),
          (.apiGroups[] as $group | .resources[] | "\($kind) \($group)/\(.) \($verbs)")' | sort
}

rights_are_those_of_the_table() {
    diff <(sort charts/checks/rights.txt) <(objects default | rights)
    diff <(sort charts/checks/rights.txt) <(objects production | rights)
    diff <(echo -n) <(objects given-rights | rights)
}

no_right_is_boundless() {
    local name
    for name in $(cases); do
        objects "$name" | jq --raw-output --arg case "$name" '.[] | select(.kind == "Role" or .kind == "ClusterRole") as $role
            | $role.rules[] | select(([.. | strings] | any(contains("*"))) or ($role.kind == "ClusterRole" and (.resources | any(. == "secrets"))))
            | "\($case): \($role.kind) \($role.metadata.name): \(tojson)"'
    done
}

pods_are_confined() {
    local name
    for name in $(cases); do
        objects "$name" | jq --raw-output --arg case "$name" '
            def wants(what; $told): if what then empty else $told end;
            .[] | select(.kind == "Deployment" or .kind == "StatefulSet") as $owner | $owner.spec.template.spec
            | . as $pod | (
                wants(.securityContext.runAsNonRoot == true and (.securityContext.runAsUser // 0) > 0; "may run as root"),
                wants(.securityContext.seccompProfile.type == "RuntimeDefault"; "has no seccomp profile"),
                wants([.hostNetwork, .hostPID, .hostIPC] | any | not; "shares something with the node"),
                wants([.volumes[]? | keys[] | select(. == "hostPath")] == []; "has a path of the node"),
                (.containers[], .initContainers[]? | .name as $name | (
                    wants(.securityContext.allowPrivilegeEscalation == false; "may gain privileges"),
                    wants(.securityContext.readOnlyRootFilesystem == true; "may write to its image"),
                    wants(.securityContext.capabilities == {drop: ["ALL"]}; "has capabilities"),
                    wants(.resources.requests.memory; "asks for no memory"),
                    wants(.readinessProbe and .livenessProbe; "has no probes"),
                    wants(.terminationMessagePolicy == "FallbackToLogsOnError"; "does not say why it ended"))
                  | "container \($name) " + .))
            | "\($case): \($owner.kind) \($owner.metadata.name): \(.)"'
    done
}

# Without probes: they come to an end.
tests_are_confined() {
    local name
    for name in $(cases); do
        objects "$name" | jq --raw-output --arg case "$name" '
            def wants(what; $told): if what then empty else $told end;
            (map(select(.kind == "Pod") | .metadata.name) | wants(.[0] == "lns-test-verify"; "there is no test")),
            (.[] | select(.kind == "Pod") as $pod | $pod.spec | (
                wants($pod.metadata.annotations["helm.sh/hook"] == "test"; "is no test"),
                wants(.restartPolicy == "Never" and .activeDeadlineSeconds > 0; "has no end"),
                wants(.securityContext.runAsNonRoot == true and .securityContext.seccompProfile.type == "RuntimeDefault"; "may do more than it must"),
                wants([.volumes[]? | keys[] | select(. == "hostPath")] == []; "has a path of the node"),
                (.containers[] | wants(.securityContext == {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true,
                    capabilities: {drop: ["ALL"]}}; "container \(.name) may do more than it must")))
              | "\($pod.metadata.name): " + .)
            | "\($case): \(.)"'
    done
    # A secret stands in no command line, and nobody else's right is there beside it.
    objects production | jq --raw-output '.[] | select(.metadata.name == "lns-test-handshake") | .spec
        | select(.automountServiceAccountToken or ([.containers[].args[]] | map(select(startswith("--secret-file="))) | length != 2)) | "it is \(tojson)"'
}

preflight_is_as_members_are() {
    local wanted
    [[ $(objects default | jq 'any(.kind == "Job")') == false ]] || echo "it runs though nobody has asked for it"
    wanted=$(sed -nE 's/^const CAPABILITIES: .* = (\[.*\]);$/\1/p' operator/src/cluster/build/pods.rs)
    objects production | jq --raw-output --argjson wanted "${wanted:-null}" '
        def wants(what; $told): if what then empty else $told end;
        (.[] | select(.kind == "Job")) as $job | $job.spec.template.spec as $pod | $pod.containers[0] as $container
        | wants($job.metadata.annotations["helm.sh/hook"] == "pre-install,pre-upgrade"; "comes at another time"),
          wants($job.spec.parallelism == 3 and $job.spec.completions == 3 and $job.spec.backoffLimit == 0; "does not look once at each of three nodes"),
          wants($pod.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey == "kubernetes.io/hostname"; "may look twice at one node"),
          wants($pod.hostNetwork and $pod.nodeSelector == {"kubelns.io/edge": ""}; "does not look at the nodes"),
          wants($container.securityContext == {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true,
              capabilities: {add: $wanted, drop: ["ALL"]}, seccompProfile: {type: "RuntimeDefault"}}; "has other rights than members: \($container.securityContext)"),
          wants($container.resources.requests == {cpu: "10m", memory: "32Mi"} and $container.resources.limits == {memory: "4Gi"}; "takes room from members")'
    rendered_with --set dataplane.security=Privileged | yq --slurp --raw-output '.[] | select(.kind == "Job") | .spec.template.spec.containers[0].securityContext
        | select(. != {privileged: true, readOnlyRootFilesystem: true}) | "privileged, it is \(tojson)"'
}

operator_is_kept_up() {
    objects default | jq --raw-output '
        def wants(what; $told): if what then empty else $told end;
        (.[] | select(.kind == "Deployment")) as $deployment
        | (.[] | select(.kind == "PodDisruptionBudget")) as $budget
        | $deployment.spec.template.spec as $pod | $pod.containers[0] as $container
        | wants($deployment.spec.replicas == 2; "is not two"),
          wants($pod.topologySpreadConstraints[0].topologyKey == "kubernetes.io/hostname"; "is not spread over nodes"),
          wants($pod.priorityClassName == "system-cluster-critical"; "has another priority"),
          wants($container.startupProbe.httpGet.path == "/healthz"; "has no startup probe"),
          wants($container.readinessProbe.httpGet.path == "/readyz"; "has no readiness probe"),
          wants($container.livenessProbe.httpGet.path == "/healthz"; "has no liveness probe"),
          wants($container.args == ["run", "--namespace=lns", "--dataplane=/etc/lns-operator/dataplane.yaml", "--listen=0.0.0.0:8080"]; "is called otherwise"),
          wants([$container.env[].name] == ["POD_NAME", "POD_NAMESPACE", "POD_UID", "NODE_NAME"]; "is told other things"),
          wants($budget.spec.selector == $deployment.spec.selector; "has no budget"),
          wants($budget.spec.unhealthyPodEvictionPolicy == "AlwaysAllow"; "holds up a drain while it is ill")'
}

checksum_follows_the_file() {
    local before after same
    before=$(checksum)
    after=$(checksum --set dataplane.logFormat=text)
    same=$(checksum --set operator.replicas=5)
    [[ ${#before} == 64 && $before != "$after" ]] || echo "it is $before, and with another file $after"
    [[ $before == "$same" ]] || echo "it is another without a change of the file"
}

file_is_understood() {
    diff <(objects default | jq --raw-output '.[] | select(.kind == "ConfigMap") | .data["dataplane.yaml"]' | sed -nE 's/^([A-Za-z]+):.*/\1/p' | sort) \
        <(sed -n '/^pub(crate) struct Settings {/,/^}/p' operator/src/settings.rs |
            sed -nE 's/^    pub\(crate\) ([a-z_]+):.*/\1/p' | sed -E 's/_([a-z])/\U\1/g' | sort)
}

checksum() { # HELM-ARGUMENT...
    objects default "$@" | jq --raw-output '.[] | select(.kind == "Deployment") | .spec.template.metadata.annotations["checksum/dataplane"]'
}

package_is_clean() {
    local files file
    helm package charts/lns --destination "$work" >/dev/null && helm package charts/lns-crds --destination "$work" >/dev/null || return 1
    files=$(tar -tzf "$work"/lns-0*.tgz | sort)
    grep -E '/(ci|snapshots)/|test|runbooks' <<<"$files"
    for file in alerts.yaml dashboards/cluster.json values.schema.json templates/deployment.yaml; do
        grep -qx "lns/$file" <<<"$files" || echo "$file is not in it"
    done
    files=$(tar -tzf "$work"/lns-crds-*.tgz)
    grep -qx 'lns-crds/files/lnsclusters.kubelns.io.yaml' <<<"$files" || echo "lns-crds has no definitions"
}
