# What a real API server says of it. There is no node: nothing runs. Sourced by charts/test.

server_checks() {
    if ! start_server; then
        skip server "no API server: $(tail -n 1 "$work/server.log")"
        return
    fi
    hold "a release of lns-crds defines both kinds, and its uninstall leaves them" definitions_stay
    hold "resources of others that the charts use can be had" others_are_defined
    hold "Kubernetes takes every object of every snapshot" objects_are_taken
    hold "Kubernetes takes the examples for Flux" flux_examples_are_taken
    hold "a namespace that enforces the restricted profile lets the pods in" pods_are_let_in
    hold "a release can be installed and upgraded, and its password stays" release_is_upgraded
    hold "what NOTES says works: commands, and a store that an LnsCluster takes" notes_are_true
    hold "two releases are in two namespaces, and not in one" one_release_is_one_namespace
    hold "the operator can give members their rights, and no others" rights_suffice
    hold "what is added to the roles view and edit is what they need" people_have_rights
    hold "an uninstall leaves nothing of the release" release_is_uninstalled
}

start_server() {
    local address=127.85.$((RANDOM % 256)).$((RANDOM % 254 + 1))
    e2e/kubernetes/apiserver up "$work/server" "$address" >"$work/server.log" 2>&1 || return 1
    export KUBECONFIG=$work/server/kubeconfig KUBECACHEDIR=$work/kubectl
    export HELM_CACHE_HOME=$work/helm HELM_CONFIG_HOME=$work/helm HELM_DATA_HOME=$work/helm
    for name in lns lns-b confined; do kubectl create namespace "$name" >/dev/null || return 1; done
} 2>>"$work/server.log"

end_server() {
    [[ ! -d $work/server/pid ]] || e2e/kubernetes/apiserver down "$work/server"
}

definitions_stay() {
    # The API server came with them; a release has to own what it keeps.
    quiet kubectl delete --filename crds/
    quiet helm install lns-crds charts/lns-crds --namespace lns
    quiet kubectl wait --for=condition=Established --timeout=30s crd/lnsclusters.kubelns.io crd/sessionpolicies.kubelns.io
    quiet helm uninstall lns-crds --namespace lns
    # One that is on its way out is there still for a moment.
    kubectl get crd lnsclusters.kubelns.io sessionpolicies.kubelns.io --output json |
        jq --raw-output '.items[] | select(.metadata.deletionTimestamp) | "\(.metadata.name) is deleted"'
    quiet helm install lns-crds charts/lns-crds --namespace lns
    quiet helm upgrade lns-crds charts/lns-crds --namespace lns --set keep=false
    quiet helm uninstall lns-crds --namespace lns
    quiet kubectl wait --for=delete --timeout=30s crd/lnsclusters.kubelns.io crd/sessionpolicies.kubelns.io
    quiet helm install lns-crds charts/lns-crds --namespace lns
    quiet kubectl wait --for=condition=Established --timeout=30s crd/lnsclusters.kubelns.io crd/sessionpolicies.kubelns.io
}

# Definitions out of the Go modules of those who make them, each with the sum that it must have.
others_are_defined() {
    local module sum pattern folder
    command -v go >/dev/null || PATH=$PATH:/usr/local/go/bin
    while read -r module sum pattern; do
        folder=$(cd "$work" && go mod download -json "$module" | jq --raw-output --arg sum "$sum" 'select(.Sum == $sum) | .Dir')
        [[ -d $folder ]] || { echo "$module cannot be had, or is another" && continue; }
        quiet kubectl apply --server-side --filename "$(echo "$folder"/$pattern)"
    done <charts/checks/others.txt
    quiet kubectl wait --for=condition=Established --timeout=60s --all crd
}

# Says what kubectl said, if it failed, of a stream of YAML.
taken() { # WHAT KUBECTL-ARGUMENT... <STREAM
    local told
    told=$(kubectl apply --server-side --dry-run=server --validate=strict "${@:2}" --filename - 2>&1) || echo "$1: $told"
}

objects_are_taken() {
    local name told accounts=(default lns lns-operator)
    # Nobody makes pods' accounts here, and a pod without its account is refused.
    for name in "${accounts[@]}"; do quiet kubectl create --namespace lns serviceaccount "$name"; done
    for name in $(cases); do render "$name" | taken "$name"; done
    quiet kubectl delete --namespace lns serviceaccount "${accounts[@]}"
    told=$(render trial | sed 's/terminationMessagePolicy:/terminationMessagePolcy:/' | taken "a misspelt field")
    grep -q 'terminationMessagePolcy: field not declared' <<<"$told" || echo "a misspelt field is taken: nothing was looked at"
}

# That of a Kustomization is not among others.txt.
flux_examples_are_taken() {
    kubectl create --dry-run=client --output=yaml --filename charts/gitops/flux/operator.yaml | taken operator.yaml
}

# Each pod template as a pod of its own.
pods_are_let_in() {
    local name
    quiet kubectl label namespace confined pod-security.kubernetes.io/enforce=restricted
    quiet kubectl create --namespace confined serviceaccount default
    for name in default trial; do
        objects "$name" | jq '.[] | select(.kind == "Deployment" or .kind == "StatefulSet" or .kind == "Pod") as $owner | ($owner.spec.template.spec // $owner.spec)
            | {apiVersion: "v1", kind: "Pod", metadata: {name: $owner.metadata.name, namespace: "confined"},
               spec: (. + {serviceAccountName: "default"} | .topologySpreadConstraints[]? |= del(.matchLabelKeys)
                   | .volumes += [{name: "data", emptyDir: {}}])}' >"$work/pods.json"
        quiet kubectl create --dry-run=server --filename "$work/pods.json"
    done
}

release_is_upgraded() {
    local before after
    quiet helm install lns charts/lns --namespace lns --set redis.embedded.enabled=true
    before=$(password)
    quiet helm upgrade lns charts/lns --namespace lns --reuse-values --set operator.replicas=3
    after=$(password)
    [[ ${#before} == 32 && $before == "$after" ]] || echo "it was $before and is $after"
    [[ $(kubectl --namespace lns get deployment lns-operator --output jsonpath={.spec.replicas}) == 3 ]] || echo "nothing was upgraded"
}

password() { kubectl --namespace lns get secret lns-redis --output jsonpath={.data.password} | base64 --decode; }

notes_are_true() {
    local notes
    notes=$(helm get notes lns --namespace lns)
    grep -q 'rollout status deployment/lns-operator' <<<"$notes" || echo "it does not say how to see that the operator works"
    quiet kubectl --namespace lns get deployment/lns-operator
    grep -q 'kubectl -n lns get lns,spol ' <<<"$notes" || echo "it does not say how to see clusters"
    quiet kubectl --namespace lns get lns,spol
    grep -q 'WARNING: lns-redis is a Redis for trials' <<<"$notes" || echo "it does not warn of the Redis"
    # The least that serves, with that store.
    sed -n '/^  spec:$/,/^$/ s/^  //p' <<<"$notes" >"$work/store.yaml"
    yq --slurp '(.[0] * .[-1]) | .spec.peers = {tlsSecretRef: {name: "peers"}}' crds/examples/minimal.yaml "$work/store.yaml" >"$work/cluster.json"
    jq --exit-status '.spec.store.redis.url == "redis://lns-redis.lns.svc:6379"' "$work/cluster.json" >/dev/null || echo "it shows no store"
    taken "its store" --namespace lns <"$work/cluster.json"
}

one_release_is_one_namespace() {
    local told
    told=$(helm install other charts/lns --namespace lns 2>&1) && echo "a second one is taken"
    grep -qF "namespace lns has the operator of the release lns already" <<<"$told" || echo "it says: $told"
    quiet helm install lns charts/lns --namespace lns-b
    quiet helm uninstall lns --namespace lns-b
}

as_operator() { kubectl --namespace lns --as=system:serviceaccount:lns:lns-operator "$@"; }

rights_suffice() {
    local file told
    # What members need is in the rooms of those who ask for it.
    for file in dataplane/lease/rbac.yaml dataplane/objects/rbac.yaml; do
        quiet as_operator create --filename "$file"
    done
    printf '%s\n' 'apiVersion: rbac.authorization.k8s.io/v1' 'kind: Role' 'metadata: { name: more }' \
        'rules: [{ apiGroups: [""], resources: [configmaps], verbs: [get] }]' >"$work/more.yaml"
    told=$(as_operator create --filename "$work/more.yaml" 2>&1) && echo "it can give rights that it has not got"
    grep -q 'attempting to grant RBAC permissions not currently held' <<<"$told" || echo "it is told: $told"
    for file in "get secrets --namespace lns-b" "list secrets --all-namespaces" "create pods" "delete nodes" "patch nodes" \
        "create clusterroles" "create secrets" "get configmaps" "create lnsclusters" "delete lnsclusters"; do
        [[ $(as_operator auth can-i $file 2>/dev/null) == no ]] || echo "it may $file"
    done
    for file in "list nodes" "patch lnsclusters/status" "update sessionpolicies/finalizers" "create events.events.k8s.io" \
        "delete daemonsets" "update leases" "watch secrets" "delete pods"; do
        [[ $(as_operator auth can-i $file 2>/dev/null) == yes ]] || echo "it may not $file"
    done
}

people_have_rights() {
    local role
    for role in view edit; do
        quiet kubectl --namespace lns create rolebinding "$role" --clusterrole="$role" --user="$role"
    done
    # Kubernetes' own controller puts the rights together, and there is none here: it is asked for by its labels.
    for role in view edit; do
        kubectl get clusterrole --selector "rbac.authorization.k8s.io/aggregate-to-$role=true,app.kubernetes.io/part-of=kubelns" \
            --output json | jq --raw-output '[.items[].rules[] | select(.resources | any(. == "lnsclusters")) | .verbs[]] | unique | join(",")'
    done | diff <(printf '%s\n' get,list,watch create,delete,deletecollection,get,list,patch,update,watch) -
}

release_is_uninstalled() {
    quiet kubectl --namespace lns delete --filename dataplane/lease/rbac.yaml --filename dataplane/objects/rbac.yaml
    quiet helm uninstall lns --namespace lns
    for kind in deployment statefulset configmap secret serviceaccount role rolebinding pdb networkpolicy service; do
        kubectl --namespace lns get "$kind" --selector app.kubernetes.io/part-of=kubelns --output name
    done
    kubectl get clusterrole,clusterrolebinding --selector app.kubernetes.io/part-of=kubelns --output name
}
