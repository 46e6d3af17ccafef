# What values do: each changes something, and wrong ones are refused. Sourced by charts/test.

values_checks() {
    hold "every value has a comment" values_have_comments
    hold "every value changes what is rendered" values_do_something
    hold "wrong and contradictory values are refused, with what is wrong" wrong_values_are_refused
    hold "with a digest the image is always that one; without a tag it is that of the version" digest_wins
}

values_have_comments() {
    local chart
    for chart in lns lns-crds; do
        awk -v chart="$chart" '/^ *[A-Za-z]+:/ {
                key = $1; leaf = NF > 1
                if (leaf && !about && key !~ /^(requests|limits):$/) print chart ": line " NR ": " $0
            } { about = /^ *#/ }' "charts/$chart/values.yaml"
    done
}

# Everything is switched on, so that nothing hides.
rendered_with() { # HELM-ARGUMENT...
    template lns charts/lns --namespace lns --values charts/checks/everything.yaml "$@"
}

values_do_something() {
    local path value more base with
    base=$(rendered_with)
    while read -r path value more; do
        with=$(rendered_with --set-json "$path=$value" ${more:+--set-json "$more"}) || echo "$path=$value is refused"
        [[ $with != "$base" ]] || echo "$path=$value changes nothing"
    done <charts/checks/changes.txt
    # Whatever is in values.yaml is in the table.
    diff <(cut -d' ' -f1 charts/checks/changes.txt | sort) <(yq --raw-output '
        def leaves: if type == "object" and length > 0 and (keys - ["requests", "limits"] | length > 0) and (has("grafana_dashboard") | not)
            then to_entries[] | .key as $key | .value | [$key] + (leaves) else [] end;
        leaves | join(".")' charts/lns/values.yaml | sort)
}

wrong_values_are_refused() {
    local values wanted told
    while IFS='|' read -r values wanted; do
        if told=$(template lns charts/lns --namespace lns --values <(echo "{$values}") 2>&1 >/dev/null); then
            echo "$values is taken"
        else
            grep -qF -- "$wanted" <<<"$told" || echo "$values is refused otherwise: $told"
        fi
    done < <(grep -v '^#' charts/checks/refusals.txt)
    ! template lns-crds charts/lns-crds --set keep=maybe >/dev/null 2>&1 || echo "lns-crds: keep=maybe is taken"
    ! template lns-crds charts/lns-crds --set keeps=true >/dev/null 2>&1 || echo "lns-crds: keeps is taken"
}

digest_wins() {
    local digest=sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
    is_image "ghcr.io/kubelns/lns:$(yq --raw-output .appVersion charts/lns/Chart.yaml)"
    is_image ghcr.io/kubelns/lns:1.2.3 --set image.tag=1.2.3
    is_image "ghcr.io/kubelns/lns@$digest" --set image.digest=$digest
    is_image "ghcr.io/kubelns/lns:1.2.3@$digest" --set image.digest=$digest,image.tag=1.2.3
    local wanted
    wanted=$(sed -nE 's/^version = "(.*)"/\1/p' Cargo.toml)
    yq --raw-output --arg wanted "$wanted" 'select(.version != $wanted or .appVersion != $wanted) | "\(.name) is not of version \($wanted)"' \
        charts/*/Chart.yaml
}

# The image of the operator and of the members.
is_image() { # IMAGE HELM-ARGUMENT...
    local all
    all=$(objects default "${@:2}" | jq --raw-output '.[] | if .kind == "Deployment" then .spec.template.spec.containers[0].image
        elif .kind == "ConfigMap" then .data["dataplane.yaml"] | capture("image: \"(?<image>[^\"]+)\"").image else empty end')
    [[ $all == "$1"$'\n'"$1" ]] || echo "it is $all, not $1 twice"
}
