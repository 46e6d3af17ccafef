# What the scripts of e2e/kind share: where things are, and how to ask Docker and the cluster. Sourced,
# not run.
# shellcheck shell=bash

kind=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=../common.sh
source "$kind/../common.sh"

# Kept between runs: node images, Docker's data. What belongs to one run is in $run.
cache=$(cd "$kind/.." && pwd)/.cache/kind
run=$cache/run
# What to source in order to use the cluster: DOCKER_HOST, KUBECONFIG, PATH.
environment=$cache/env
# The name of the cluster, and of the namespace, the interface and the cgroup of our own dockerd.
name=kubelns-kind
cluster=kubelns
socket=unix://$run/docker.sock
# The two ends of the link to our dockerd's namespace.
outside=169.254.83.1 inside=169.254.83.2

say() { echo "kind: $*" >&2; }
fail() { say "$*"; exit 1; }

require_root() { ((EUID == 0)) || fail "this needs root: run it with sudo"; }

# Prints the first comment of a script.
usage() { sed -n '2,/^set/ { /^set/d; s/^# \{0,1\}//p }' "$0"; }

# One line for each step that is done, with the seconds since the script began.
step() { printf 'kind: %4d s  %s\n' "$SECONDS" "$*" >&2; }

# Runs what is long and talks much with its output in a log, and shows the end of it if it fails.
logged() { # NAME COMMAND...
    local log=$cache/log/$1.log
    mkdir -p "$cache/log"
    shift
    if ! "$@" >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        fail "that failed; all of it is in $log"
    fi
}

answers() { docker -H "$1" info >/dev/null 2>&1; } # DOCKER_HOST

# Takes over what `up` wrote down; there is no cluster without it.
use_cluster() {
    [[ -f $environment ]] || fail "there is no cluster: run $kind/up"
    # shellcheck disable=SC1090 # written by `up`
    source "$environment"
    answers "$DOCKER_HOST" || fail "the cluster's Docker does not answer: run $kind/down, then $kind/up"
}

nodes() { docker ps -a --filter "label=io.x-k8s.kind.cluster=$cluster" --format '{{.Names}}' | sort -V; }
workers() { nodes | grep -v -e '-control-plane$'; }

# The process that is a node's first, or 0 if the node does not run.
node_pid() { docker inspect -f '{{.State.Pid}}' "$1"; } # NODE

# A command in a node's network, with this machine's programs. `ip netns exec` is no replacement: it
# would mount another /sys, without cgroups.
in_node_network() { # NODE COMMAND...
    local pid
    pid=$(node_pid "$1")
    shift
    nsenter --net --target "$pid" -- "$@"
}
