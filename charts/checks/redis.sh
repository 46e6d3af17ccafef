# The Redis for trials, as far as a redis-server without Kubernetes shows it. Sourced by charts/test.

redis_checks() {
    hold "the trial's Redis gives lnsd the rights that it asks for, and no others" rights_are_those_of_the_store
    hold "the trial's Redis keeps records, and tells strangers nothing" redis_is_safe
    hold "a password that nobody names is drawn at random" password_is_drawn
}

# What the server reads: redis.conf or users.acl.
redis_file() { # KEY
    objects trial | jq --raw-output --arg key "$1" '.[] | select(.kind == "ConfigMap" or .kind == "Secret") | (.data // .stringData)[$key] // empty'
}

rights_are_those_of_the_store() {
    local wanted
    wanted=$(sed -nE 's/^pub const ACL: &str = "(.*)";/\1/p' dataplane/store/src/remote/functions.rs)
    [[ -n $wanted ]] || echo "dataplane/store does not say what it needs"
    [[ $(redis_file users.acl | grep '^user lns ') == "user lns on >0123456789abcdef resetchannels -@all $wanted" ]] ||
        echo "it is: $(redis_file users.acl), and not: $wanted"
}

redis_is_safe() {
    local socket=$work/redis/socket pid told
    mkdir -p "$work/redis"
    redis_file users.acl >"$work/redis/users.acl"
    redis_file redis.conf | sed "s|^dir .*|dir $work/redis|; s|^aclfile .*|aclfile $work/redis/users.acl|; s|^port .*|port 0|" >"$work/redis/redis.conf"
    redis-server "$work/redis/redis.conf" --unixsocket "$socket" >"$work/redis/log" 2>&1 &
    pid=$!
    for _ in {1..100}; do [[ -S $socket ]] && break || sleep 0.1; done
    says() { # ANSWER ARGUMENT...
        told=$(redis-cli -s "$socket" "${@:2}" 2>&1 | head -1)
        [[ $told == "$1"* ]] || echo "redis-cli ${*:2}: $told, not $1"
    }
    local lns=(--no-auth-warning --user lns --pass 0123456789abcdef)
    says PONG -e ping
    says NOPERM get '{lns:x'
    says NOPERM info
    says NOPERM "${lns[@]}" set other 1
    says NOPERM "${lns[@]}" flushall
    says OK "${lns[@]}" set '{lns:x' 1
    told=$(redis-cli -s "$socket" "${lns[@]}" info | tr -d '\r')
    for line in maxmemory_policy:noeviction aof_enabled:1 role:master cluster_enabled:0; do
        grep -qx "$line" <<<"$told" || echo "INFO does not say $line"
    done
    kill "$pid" && wait "$pid" || cat "$work/redis/log"
}

password_is_drawn() {
    local first second
    first=$(drawn) second=$(drawn)
    [[ $first =~ ^[A-Za-z0-9]{32}$ ]] || echo "it is \"$first\""
    [[ $first != "$second" ]] || echo "it is the same one twice"
}

drawn() {
    objects default --set redis.embedded.enabled=true | jq --raw-output '.[] | select(.kind == "Secret") | .stringData.password'
}
