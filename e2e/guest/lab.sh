# The laboratory: three network namespaces, the LNS, a server behind it, and the guest.
# Sourced by `run`; all names carry the process id, so that two runs do not meet.
#
#   guest ──tap0── lac ──lns0/lac0── lns ──core0/lns1── core
#   198.51.100.2      198.51.100.1   192.0.2.1          203.0.113.1   203.0.113.2
# shellcheck shell=bash

lac=guest-$$-lac lns=guest-$$-lns core=guest-$$-core
declare -A got=()
order_number=0 guest_pid='' lnsd_pid='' helper_pids=()

# Not for what runs in the background: `$!` would be a shell's id, not the program's.
inside() { ip netns exec "$@"; }

make_namespaces() {
    local namespace
    for namespace in "$lac" "$lns" "$core"; do
        ip netns add "$namespace"
        inside "$namespace" ip link set lo up
    done
    link_up "$lac" lns0 192.0.2.2/24 "$lns" lac0 192.0.2.1/24
    link_up "$lns" core0 203.0.113.1/24 "$core" lns1 203.0.113.2/24
    inside "$lac" ip tuntap add dev tap0 mode tap
    inside "$lac" ip address add 198.51.100.1/24 dev tap0
    inside "$lac" ip link set tap0 up
    for namespace in "$lac" "$lns"; do inside "$namespace" sysctl -qw net.ipv4.ip_forward=1; done
    inside "$lns" ip route add 198.51.100.0/24 via 192.0.2.2
    inside "$core" ip route add 100.64.0.0/24 via 203.0.113.1
}

link_up() { # NAMESPACE INTERFACE ADDRESS NAMESPACE INTERFACE ADDRESS
    ip link add "$2" netns "$1" type veth peer name "$5" netns "$4"
    inside "$1" ip address add "$3" dev "$2"
    inside "$4" ip address add "$6" dev "$5"
    inside "$1" ip link set "$2" up
    inside "$4" ip link set "$5" up
}

start_lnsd() {
    ip netns exec "$lns" "$lnsd" run --manifest "$work/etc/lnsd.yaml" --admin 127.0.0.1:9171 --state "$work/state" \
        >"$work/lnsd.log" 2>&1 &
    lnsd_pid=$!
    within 30 serves || { why="lnsd did not become ready: $(tail -n 1 "$work/lnsd.log")"; return 1; }
}

serves() { inside "$lns" curl -fsS -m 2 -o "$work/readyz" http://127.0.0.1:9171/readyz 2>"$work/curl.log"; }

start_server() {
    mkdir -p "$work/www"
    head -c "$octets" /dev/urandom >"$work/www/big"
    head -c 10000 /dev/urandom >"$work/www/small"
    ip netns exec "$core" "$image/busybox" httpd -f -p 203.0.113.2:80 -h "$work/www" &
    helper_pids+=($!)
    # Takes an upload and answers with its checksum.
    ip netns exec "$core" "$image/busybox" nc -ll -p 5001 -e md5sum >"$work/nc.log" 2>&1 &
    helper_pids+=($!)
}

# Sum of a metric's samples, narrowed to those whose labels contain every further argument.
metric() { # NAME [LABEL="VALUE"]...
    inside "$lns" curl -fsS -m 5 http://127.0.0.1:9171/metrics |
        awk -v name="$1" -v labels="${*:2}" '
            BEGIN { wanted = split(labels, label, " ") }
            $1 == name || index($1, name "{") == 1 {
                for (i = 1; i <= wanted; i++) if (!index($0, label[i])) next
                sum += $NF
            }
            END { print sum + 0 }'
}

metric_is() { [[ $(metric "${@:2}") == "$1" ]]; } # VALUE NAME [LABEL]...

within() { # SECONDS COMMAND...: retries until it succeeds
    local end=$((SECONDS + $1))
    until "${@:2}"; do
        ((SECONDS < end)) || return 1
        sleep 0.1
    done
}

# With one processor only, TCG leaves out the barriers that virtio needs against its own thread.
boot_guest() {
    rm -f "$work"/orders.*
    mkfifo "$work/orders.in" "$work/orders.out"
    ip netns exec "$lac" qemu-system-x86_64 -accel tcg -smp 1,maxcpus=2 -m 512 \
        -nodefaults -no-user-config -no-reboot -display none \
        -kernel "$image/vmlinuz" -initrd "$image/initramfs" \
        -append "console=ttyS0 quiet panic=-1 $guest_parameters" \
        -chardev file,id=console,path="$work/console.log",append=on -serial chardev:console \
        -chardev pipe,id=orders,path="$work/orders" -serial chardev:orders \
        -netdev tap,id=line,ifname=tap0,script=no,downscript=no -device virtio-net-pci,netdev=line,romfile= \
        </dev/null >>"$work/qemu.log" 2>&1 &
    guest_pid=$!
    exec {to_guest}<>"$work/orders.in" {from_guest}<>"$work/orders.out"
    answer 60 ready yes || { why="the guest did not boot: $(tail -n 1 "$work/console.log" "$work/qemu.log")"; return 1; }
}

guest_parameters="guest.address=198.51.100.2/24 guest.gateway=198.51.100.1 guest.lns=192.0.2.1 guest.core=203.0.113.0/24"

# As a power cut does it: nothing is said to anyone.
kill_guest() {
    kill -KILL "$guest_pid"
    wait "$guest_pid" 2>/dev/null
    guest_pid=''
    exec {to_guest}>&- {from_guest}>&-
}

order() { # SECONDS WORD...: fills `got`; the order's own status is the result
    got=()
    order_number=$((order_number + 1))
    echo "$order_number ${*:2}" >&"$to_guest"
    answer "$1" "done" "$order_number" || { why="the guest gave no answer to: ${*:2}"; return 1; }
    [[ ${got[done]} == "$order_number 0" ]] || { why="the guest failed at: ${*:2}"; return 1; }
}

answer() { # SECONDS LAST-KEY [ORDER-NUMBER]
    local end=$((SECONDS + $1)) line
    while ((SECONDS < end)); do
        IFS= read -r -t 1 line <&"$from_guest" || { kill -0 "$guest_pid" 2>/dev/null || return 1; continue; }
        line=${line%$'\r'}
        [[ $line == *=* ]] || continue
        got[${line%%=*}]=${line#*=}
        [[ ${line%%=*} == "$2" && ${line#*=} == "${3:-}"* ]] && return 0
    done
    return 1
}

# lnsd first: it takes leave of a LAC that still answers.
stop_lab() {
    local pid namespace
    if [[ -n $lnsd_pid ]]; then
        kill "$lnsd_pid" 2>/dev/null
        within 15 is_gone "$lnsd_pid" || kill -KILL "$lnsd_pid"
    fi
    for pid in "$guest_pid" "${helper_pids[@]}"; do
        [[ -n $pid ]] && kill "$pid" 2>/dev/null
    done
    wait 2>/dev/null
    for namespace in "$lac" "$lns" "$core"; do
        ip netns del "$namespace" 2>/dev/null
    done
    return 0
}

is_gone() { ! kill -0 "$1" 2>/dev/null; }
