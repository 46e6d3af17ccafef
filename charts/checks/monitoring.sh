# Alerts, dashboards, and the metrics that both read. Sourced by charts/test.

monitoring_checks() {
    hold "Prometheus takes the alerts; one that is ill has all of them, one that is well none" alerts_fire
    hold "every alert has a section in runbooks.md, and every section an alert" alerts_have_runbooks
    hold "Prometheus takes every expression of every dashboard" dashboards_can_be_asked
    hold "every panel has a place of its own and every dashboard a name of its own" dashboards_fit
    hold "lnsd has every metric that alerts and dashboards read" metrics_exist dataplane lns_ 'lns_operator_'
    if [[ -d operator/src ]]; then
        hold "the operator has every metric that alerts and dashboards read" metrics_exist operator lns_operator_
    else
        echo "note  operator/ is not here: nobody looks at the names of its metrics"
    fi
}

alerts_fire() {
    quiet promtool check rules charts/lns/alerts.yaml
    quiet promtool test rules charts/lns/alerts.test.yaml
}

# Says what a command said, if it failed.
quiet() { # COMMAND...
    local told
    told=$("$@" 2>&1) || echo "$told"
}

alerts_have_runbooks() {
    diff <(yq --raw-output '.groups[].rules[].alert' charts/lns/alerts.yaml | sort) \
        <(sed -n 's/^## //p' charts/lns/runbooks.md | sort)
    local url
    objects production | jq --raw-output '.[] | select(.kind == "PrometheusRule") | .spec.groups[].rules[]
        | (.annotations.runbook_url | split("#")[1]) as $anchor | select($anchor != (.alert | ascii_downcase)) | "\(.alert): \($anchor)"'
    url=$(objects production | jq --raw-output '[.[] | select(.kind == "PrometheusRule") | .spec.groups[].rules[].annotations.runbook_url | split("#")[0]] | unique[]')
    [[ -f ${url#*/blob/main/} ]] || echo "$url is no file of this repository"
}

expressions() { # FILE
    jq --raw-output '.panels[].targets[]?.expr, (.templating.list[] | select(.type == "query") | .definition)' "$1"
}

dashboards_can_be_asked() {
    local file
    for file in charts/lns/dashboards/*.json; do
        jq '{groups: [{name: "panels", rules: [.panels[].targets[]?.expr
            | gsub("\\$__rate_interval"; "5m") | gsub("\\$[a-z]+"; "x")] | to_entries | map({record: "r\(.key)", expr: .value})}]}' \
            "$file" >"$work/panels.json"
        quiet promtool check rules "$work/panels.json"
    done
}

dashboards_fit() {
    jq --raw-output '.uid as $uid | [.panels[] | .id as $id | .gridPos as $at
            | range($at.x; $at.x + $at.w) as $x | range($at.y; $at.y + $at.h) as $y | {at: [$x, $y], id: $id}]
        | group_by(.at)[] | select(length > 1 or .[0].at[0] > 23) | "\($uid): panels \(map(.id)) at \(.[0].at)"' charts/lns/dashboards/*.json
    jq --raw-output '.panels[] | select(.type != "row") | select(.datasource.uid != "${datasource}" or (.targets | length) == 0)
        | "\(.title) asks nobody"' charts/lns/dashboards/*.json
    jq --raw-output .uid charts/lns/dashboards/*.json | sort | uniq --repeated
}

# In the sources names stand without prefix, and those of counters and histograms without what the encoder adds;
# where it adds the unit, without that too.
metrics_exist() { # FOLDER PREFIX [OTHER-PREFIX]
    local metric name
    {
        yq --raw-output '.groups[].rules[].expr' charts/lns/alerts.yaml
        for file in charts/lns/dashboards/*.json; do expressions "$file"; done
    } | grep --only-matching "\b$2[a-z_]*" | sort --unique | while read -r metric; do
        [[ -z ${3:-} || $metric != "$3"* ]] || continue
        name=${metric#"$2"}
        name=$(sed -E 's/_(total|bucket|count|sum)$//' <<<"$name")
        find "$1" -path '*/metrics*' -name '*.rs' -exec cat {} + | grep -E "\"($2)?($name|${name%_seconds})\"" >/dev/null || echo "$metric"
    done
}
