# The product's image, for whoever has Docker and a registry:
#
#   docker build -f e2e/images.d/lns.Dockerfile .
#
# It holds what e2e/images puts into its image of the same name, which it makes without either: our
# programs, Debian's nft with the libraries that the loader finds, no shell, and nothing else that runs.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --locked --release --bins && \
    mkdir -p /image/usr/local/bin && \
    for program in lnsd lns-operator; do \
        if [ -x "target/release/$program" ]; then \
            install -s "target/release/$program" /image/usr/local/bin/; \
        fi; \
    done

RUN apt-get update && apt-get install -y --no-install-recommends nftables && \
    for program in /usr/sbin/nft /image/usr/local/bin/*; do \
        for file in "$program" $(ldd "$program" | grep -o '/[^ ]*'); do \
            case $file in /image/*) continue ;; esac; \
            install -D "$(readlink -f "$file")" "/image$file"; \
            package=$(dpkg -S "$file" 2>/dev/null || dpkg -S "/usr$file"); \
            notice=/usr/share/doc/${package%%:*}/copyright; \
            install -D -m 644 "$notice" "/image$notice"; \
        done; \
    done && \
    mkdir -p /image/dev /image/etc /image/proc /image/run/lnsd /image/sys /image/tmp && \
    chmod 1777 /image/tmp && \
    echo 'root:x:0:0:root:/:/sbin/nologin' >/image/etc/passwd && \
    echo 'root:x:0:' >/image/etc/group && \
    echo 'hosts: files dns' >/image/etc/nsswitch.conf

FROM scratch
COPY --from=build /image/ /
USER 0:0
ENTRYPOINT ["/usr/local/bin/lnsd"]
