# Shared by e2e/demo and e2e/test: packages and root. Sourced, not run.

# Installs those Debian packages whose programs are missing: need PACKAGE PROGRAM [PACKAGE PROGRAM]...
need() {
    local missing=()
    while (($#)); do
        command -v "$2" >/dev/null || missing+=("$1")
        shift 2
    done
    ((${#missing[@]})) || return 0
    echo "installing ${missing[*]}"
    as_root apt-get update -qq && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# Runs a command as root.
as_root() {
    if ((EUID == 0)); then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo -E "$@"
    else
        echo "${0##*/}: this needs root, and there is no sudo" >&2
        return 1
    fi
}

# Where cargo puts what it builds.
built() { echo "${CARGO_TARGET_DIR:-target}/debug"; }

export PATH="$PATH:/usr/sbin:/sbin:$HOME/.cargo/bin"
