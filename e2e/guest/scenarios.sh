# What real peers must see. Each function is one scenario: it returns 0, or sets `why` and
# returns 1; `note` may carry a figure for the report. Sourced by `run`.
# shellcheck shell=bash

user=alice@isp.example password=correct-horse secret=tunnel-secret

# NAME|FUNCTION in the order in which they run.
scenarios=(
    "pap|login_with_pap"
    "chap|login_with_chap"
    "mschapv2|login_with_mschapv2"
    "static-address|login_with_static_address"
    "wrong-password|wrong_password"
    "wrong-secret|wrong_secret"
    "lac-hangs-up|lac_hangs_up"
    "redial|redial"
    "idle|idle_timeout"
    "mtu|packet_sizes"
    "mss|segment_sizes"
    "transfer|transfer"
    "killed|killed_without_goodbye"
    "nothing-overdue|nothing_overdue"
)

# --- steps ------------------------------------------------------------------------------------

wrong() { why=$*; return 1; }

# The tunnel of the right secret is up or will come up with the next call; the line is free.
fresh_line() { order 15 hangup && order 15 tunnel "$secret" both; }

log_in() { # METHOD USER PASSWORD [MRU]
    order 40 dial "$1" "$2" "$3" "${4:-1492}" || return
    [[ ${got[up]-} == yes ]] || wrong "no login with $1: ${got[reason]:-no reason given}"
}

is_refused() { # METHOD USER PASSWORD
    order 40 dial "$1" "$2" "$3" 1492 || return
    [[ ${got[up]-} == no ]] || wrong "logged in with $1, $2 and a wrong secret"
}

hang_up() {
    order 15 hangup || return
    [[ ${got[down]-} == yes ]] || wrong "the line is not free after a hang-up" || return
    within 5 metric_is 0 lns_sessions || wrong "$(metric lns_sessions) sessions after a hang-up"
}

reaches_core() { # OCTETS COUNT
    order 20 ping 203.0.113.2 "$1" "$2" || return
    [[ ${got[received]-} == "$2" ]] || wrong "${got[received]:-0} of $2 echo replies of $1 octets"
}

in_pool() { # ADDRESS
    [[ $1 =~ ^100\.64\.0\.([0-9]+)$ ]] && ((BASH_REMATCH[1] >= 16 && BASH_REMATCH[1] <= 254)) ||
        wrong "address $1 is outside the pool"
}

login() { # METHOD NAME-IN-PPPD
    fresh_line && log_in "$1" "$user" "$password" || return
    local seconds=${got[seconds]-}
    [[ ${got[offered]-} == "$2" ]] || wrong "authenticated with ${got[offered]-nothing}" || return
    in_pool "${got[address]-}" || return
    [[ ${got[peer]-} == 100.64.0.1 ]] || wrong "the LNS's address is ${got[peer]-}" || return
    metric_is 1 lns_sessions || wrong "lnsd counts $(metric lns_sessions) sessions" || return
    reaches_core 56 3 && hang_up || return
    note="IPCP open after $seconds s"
}

# --- logins -----------------------------------------------------------------------------------

login_with_pap() { login pap pap; }
login_with_chap() { login chap "chap MD5"; }
login_with_mschapv2() { login mschap-v2 "chap MS-v2"; }

login_with_static_address() {
    fresh_line && log_in chap bob@isp.example battery-staple || return
    [[ ${got[address]-} == 100.64.0.9 ]] || wrong "address ${got[address]-} is not bob's" || return
    reaches_core 56 3 && hang_up
}

wrong_password() {
    local method before
    for method in pap chap mschap-v2; do
        fresh_line || return
        before=$(metric lns_session_failures_total 'stage="Authentication"')
        is_refused "$method" "$user" not-the-password || return
        [[ ${got[reason]-} == *"authentication failed"* ]] || wrong "$method: the guest saw '${got[reason]-}'" || return
        within 3 metric_is $((before + 1)) lns_session_failures_total 'stage="Authentication"' ||
            wrong "$method: lnsd counts no failed authentication" || return
    done
    order 15 hangup || return
    within 5 metric_is 0 lns_sessions || wrong "a refused session stays"
}

# The guest challenges nobody here: only the LNS can find the secret wrong (RFC 2661, 5.1.1).
wrong_secret() {
    local before
    before=$(metric lns_tunnel_ends_total 'reason="not_authorized"')
    order 15 hangup && order 15 tunnel not-the-secret answer || return
    is_refused chap "$user" "$password" || return
    [[ -n ${got[reason]-} ]] || wrong "the guest saw no reason" || return
    note=${got[reason]-}
    within 5 metric_is $((before + 1)) lns_tunnel_ends_total 'reason="not_authorized"' ||
        wrong "lnsd counts no refused tunnel" || return
    fresh_line && log_in chap "$user" "$password" && hang_up
}

# --- sessions over time -----------------------------------------------------------------------

# The LAC ends the tunnel with the call in it; pppd has no say in it.
lac_hangs_up() {
    local before
    before=$(metric lns_session_ends_total 'reason="tunnel_closed"')
    fresh_line && log_in chap "$user" "$password" && order 5 drop || return
    within 5 metric_is 0 lns_sessions || wrong "the session lives on after its tunnel" || return
    metric_is $((before + 1)) lns_session_ends_total 'reason="tunnel_closed"' || wrong "lnsd does not blame the tunnel"
}

redial() {
    local i sum=0
    fresh_line || return
    for ((i = 1; i <= 20; i++)); do
        log_in chap "$user" "$password" || { why="call $i: $why"; return 1; }
        sum=$((sum + 10#${got[seconds]//./}))
        { in_pool "${got[address]-}" && reaches_core 56 1 && hang_up; } || { why="call $i: $why"; return 1; }
    done
    note="20 calls, IPCP open after $((sum / 2)) ms on average"
}

reload_with_idle() { # SECONDS
    sed -i "s/idleSeconds: [0-9]*/idleSeconds: $1/" "$work/etc/lnsd.yaml"
    kill -HUP "$lnsd_pid"
    sleep 1
    serves || wrong "lnsd does not serve after a reload"
}

# The manifest changes while lnsd runs, and back again whatever came of it.
idle_timeout() {
    local result=0
    fresh_line && reload_with_idle 4 || return
    ends_when_idle || result=1
    reload_with_idle 0 && return "$result"
}

# Traffic keeps a session past its idle time; silence ends it. LCP echoes are no traffic.
ends_when_idle() {
    local i before
    before=$(metric lns_session_ends_total 'reason="idle_timeout"')
    log_in chap "$user" "$password" || return
    for i in 1 2 3; do
        sleep 2
        reaches_core 56 1 || { why="after $((2 * i)) s with traffic: $why"; return 1; }
    done
    order 20 watch 12 || return
    [[ ${got[down]-} == yes ]] || wrong "still up after 12 s of silence" || return
    ((10#${got[seconds]%.*} >= 3)) || wrong "ended after ${got[seconds]-} s of silence, not 4" || return
    note="ended after ${got[seconds]-} s of silence: ${got[reason]-}"
    within 5 metric_is 0 lns_sessions || wrong "lnsd still counts the session" || return
    metric_is $((before + 1)) lns_session_ends_total 'reason="idle_timeout"' ||
        wrong "lnsd gives another reason than the idle time"
}

killed_without_goodbye() {
    local start before
    before=$(metric lns_session_ends_total 'reason="lost_carrier"')
    fresh_line && log_in chap "$user" "$password" && reaches_core 56 1 || return
    kill_guest
    start=$SECONDS
    within 30 metric_is 0 lns_sessions || wrong "the session lives on 30 s after its guest" || return
    metric_is $((before + 1)) lns_session_ends_total 'reason="lost_carrier"' || wrong "lnsd does not blame the line" || return
    start="noticed after $((SECONDS - start)) s"
    boot_guest && login chap "chap MD5" || return
    note="$start, then a new guest dialled in"
}

# What lnsd found overdue behind its timers, or could not tell its workers, in all of the above.
nothing_overdue() {
    metric_is 0 lns_overdue_total || wrong "lns_overdue_total is $(metric lns_overdue_total)" || return
    metric_is 0 lns_table_updates_refused_total || wrong "table updates were refused"
}

# --- packets ----------------------------------------------------------------------------------

# Sends one packet of that size from the core to the subscriber, never to be fragmented.
core_ping() { # ADDRESS IP-OCTETS: prints `reply`, `mtu N` or `lost`
    local output
    inside "$core" ip route flush cache
    output=$(inside "$core" ping -n -M "do" -s $(($2 - 28)) -c 1 -W 2 "$1" 2>&1)
    case $output in
        *" 1 received"*) echo reply ;;
        *"mtu = "*) echo "mtu $(sed -n 's/.*mtu = \([0-9]*\).*/\1/p' <<<"$output" | head -n 1)" ;;
        *) echo lost ;;
    esac
}

# The guest's MRU is the edge downstream; 36 octets of headers below the path MTU the one upstream.
packet_sizes() {
    local address answer
    fresh_line && log_in chap "$user" "$password" 1400 || return
    address=${got[address]-}
    answer=$(core_ping "$address" 1400)
    [[ $answer == reply ]] || wrong "1400 octets to an MRU of 1400: $answer" || return
    answer=$(core_ping "$address" 1401)
    [[ $answer == "mtu 1400" ]] || wrong "1401 octets to an MRU of 1400: $answer" || return
    hang_up && fresh_line && log_in chap "$user" "$password" 1492 || return
    address=${got[address]-}
    [[ ${got[mtu]-} == 1492 ]] || wrong "the guest's MTU is ${got[mtu]-}, not the LNS's MRU" || return
    reaches_core $((1460 - 28)) 3 || return
    answer=$(core_ping "$address" 1460)
    [[ $answer == reply ]] || wrong "1460 octets downstream: $answer" || return
    # Between the path and the MRU: cut outside or refused with the path's size, never lost.
    answer=$(core_ping "$address" 1492)
    [[ $answer == reply || $answer == "mtu 1460" ]] || wrong "1492 octets to an MRU of 1492: $answer" || return
    note="1492 octets: $answer"
    answer=$(core_ping "$address" 1500)
    [[ $answer == mtu\ * ]] || wrong "1500 octets to an MRU of 1492: $answer" || return
    note+=", 1500 octets: $answer"
    inside "$core" ping -n -q -M dont -s 4000 -c 2 -W 2 "$address" >"$work/ping.log" 2>&1 ||
        wrong "fragmented packets of 4000 octets are lost" || return
    hang_up
}

# The MSS that the core sees in the guest's SYN, and the guest in the core's.
segment_sizes() {
    fresh_line && clamped 1492 1420 && fresh_line && clamped 1400 1360
}

clamped() { # MRU MSS
    local capture seen
    log_in chap "$user" "$password" "$1" || return
    # tcpdump shows packet contents where it knows the port, hence `grep -a`.
    for capture in "core lns1" "lac lns0"; do
        ip netns exec "guest-$$-${capture% *}" timeout 20 tcpdump -lnn -i "${capture#* }" >"$work/${capture% *}.dump" 2>"$work/${capture% *}.err" &
        helper_pids+=($!)
    done
    within 5 grep -q listening "$work/core.err" && within 5 grep -q listening "$work/lac.err" || wrong "no capture" || return
    order 20 fetch http://203.0.113.2/small || return
    within 5 grep -aq 'Flags \[S\]' "$work/core.dump" && within 5 grep -aq 'Flags \[S\.\]' "$work/lac.dump" ||
        wrong "no SYN in the captures" || return
    seen=$(grep -a 'Flags \[S\]' "$work/core.dump" | sed -n 's/.*mss \([0-9]*\).*/\1/p' | head -n 1)
    [[ $seen == "$2" ]] || wrong "MRU $1: the core was told an MSS of $seen, not $2" || return
    seen=$(grep -a 'Flags \[S\.\]' "$work/lac.dump" | sed -n 's/.*mss \([0-9]*\).*/\1/p' | head -n 1)
    [[ $seen == "$2" ]] || wrong "MRU $1: the guest was told an MSS of $seen" || return
    hang_up
}

# One large file down, the same one up again, compared with the original at both ends.
transfer() {
    local original down
    original=$(md5sum <"$work/www/big" | cut -d' ' -f1)
    fresh_line && log_in chap "$user" "$password" || return
    order 120 fetch http://203.0.113.2/big || return
    [[ ${got[octets]-} == "$octets" && ${got[md5]-} == "$original" ]] || wrong "download: ${got[octets]-} octets, wrong checksum" || return
    down=$(speed "${got[seconds]-}")
    order 120 send 203.0.113.2 5001 || return
    [[ ${got[md5]-} == "$original" ]] || wrong "upload: wrong checksum" || return
    note="$((octets / 1000000)) MB down at $down, up at $(speed "${got[seconds]-}")"
    hang_up
}

speed() { awk -v octets="$octets" -v seconds="$1" 'BEGIN { printf "%.1f MB/s", octets / 1e6 / (seconds + 0.001) }'; }
