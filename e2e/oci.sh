# OCI images from folders, without a registry and without Docker. Sourced, not run; needs jq.

# Copies programs into ROOT with the libraries that the loader finds for them, each under the path by
# which it is known. FROM is where they are: "" for this machine, or the root of an unpacked system.
copy_programs() { # FROM ROOT PROGRAM...
    local from=$1 root=$2 program file
    shift 2
    for program; do
        for file in "$program" $(libraries_of "$from" "$program"); do
            install -D -m 755 "$(resolved "$from" "$file")" "$root$file"
        done
    done
}

# The loader of the root itself lists them: another root may have another libc than this machine.
libraries_of() { # FROM PROGRAM
    if [[ -n $1 ]]; then
        chroot "$1" /lib64/ld-linux-x86-64.so.2 --list "$2" 2>/dev/null | grep -o '/[^ ]*' || true
    else
        ldd "$2" 2>/dev/null | grep -o '/[^ ]*' || true
    fi
}

# The file that a path means, as seen from inside FROM: links there may be absolute.
resolved() { # FROM PATH
    if [[ -n $1 ]]; then echo "$1$(chroot_link "$1" "$2")"; else readlink -f "$2"; fi
}

chroot_link() { # ROOT PATH
    local path=$2 target
    while [[ -L $1$path ]]; do
        target=$(readlink "$1$path")
        [[ $target == /* ]] && path=$target || path=${path%/*}/$target
    done
    echo "$path"
}

# Writes one archive with one image of one layer: the same folder gives the same octets. `docker load`
# takes it as well as `ctr images import`. OCI_CONFIG may hold more of the image's configuration, as JSON.
oci_archive() { # FILE NAME ROOT COMMAND...
    local file=$1 name=$2 root=$3 work layout layer config manifest
    shift 3
    work=$(mktemp -d "$(dirname "$file")/oci.XXXXXX")
    layout=$work/layout
    mkdir -p "$layout/blobs/sha256"
    archive "$root" >"$work/layer"
    gzip -n -1 <"$work/layer" >"$work/layer.gz"
    image_config "$(digest "$work/layer")" "$@" >"$work/config"
    config=$(blob "$layout" "$work/config" config.v1+json)
    layer=$(blob "$layout" "$work/layer.gz" layer.v1.tar+gzip)
    jq -nSc '{schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json", $config, layers: [$layer]}' \
        --argjson config "$config" --argjson layer "$layer" >"$work/manifest"
    manifest=$(blob "$layout" "$work/manifest" manifest.v1+json)
    image_index "$name" "$manifest" >"$layout/index.json"
    docker_manifest "$name" "$config" "$layer" >"$layout/manifest.json"
    echo '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"
    archive "$layout" >"$file.new"
    mv "$file.new" "$file"
    rm -rf "$work"
}

# A folder as tar, without what differs from one run or machine to the next.
archive() { # FOLDER
    tar -C "$1" --sort=name --format=gnu --mtime=@0 --owner=0 --group=0 --numeric-owner -c .
}

digest() { echo "sha256:$(sha256sum <"$1" | cut -d' ' -f1)"; } # FILE

# Puts a file into a layout and prints its descriptor.
blob() { # LAYOUT FILE KIND
    local digest
    digest=$(digest "$2")
    jq -nSc '{mediaType: "application/vnd.oci.image.\($kind)", digest: $digest, size: $size}' --arg kind "$3" \
        --arg digest "$digest" --argjson size "$(stat -c %s "$2")"
    mv "$2" "$1/blobs/sha256/${digest#sha256:}"
}

image_config() { # DIGEST-OF-LAYER COMMAND...
    local digest=$1
    shift
    jq -nSc '{architecture: "amd64", os: "linux", created: "1970-01-01T00:00:00Z",
        config: ({Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            Entrypoint: $ARGS.positional, User: "0:0", WorkingDir: "/"} + $more),
        rootfs: {type: "layers", diff_ids: [$digest]},
        history: [{created: "1970-01-01T00:00:00Z"}]}' --arg digest "$digest" \
        --argjson more "${OCI_CONFIG:-null}" --args -- "$@"
}

image_index() { # NAME MANIFEST
    jq -nSc '{schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: [$manifest + {
        platform: {architecture: "amd64", os: "linux"},
        annotations: {"io.containerd.image.name": $name, "org.opencontainers.image.ref.name": $name}}]}' \
        --arg name "$1" --argjson manifest "$2"
}

# The same in the words of `docker save`, which is all that older releases of Docker read.
docker_manifest() { # NAME CONFIG LAYER
    jq -nSc 'def file: "blobs/" + (.digest | sub(":"; "/"));
        [{Config: ($config | file), RepoTags: [$name], Layers: [$layer | file]}]' \
        --arg name "$1" --argjson config "$2" --argjson layer "$3"
}
