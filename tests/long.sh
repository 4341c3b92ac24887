# What tests/run --long does beyond tests/run; sourced by it.
#
# The same tests with more time, more clients and more random choices, and what needs programs that take long to install.
# `LONG_SECONDS` is the time of each soak, 600 by default. Whatever the machine refuses becomes an entry of `not_run`.

# java_gzip: Java's own gzip reader in front of the gateway that cargo test built.
java_gzip() {
    java tests/clients/GzipEvents.java "${CARGO_TARGET_DIR:-target}/debug/rillgate"
}

# image: builds the image without a registry, and runs it. What the machine refuses becomes an entry of `not_run`.
image() {
    local status=0 folder="$PWD/target/image"
    rm -rf "$folder"
    tests/image/build "$folder" && python3 tests/image/check.py "$folder" 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    while read -r line; do not_run+=("${line#not run: }"); done < <(grep '^not run: ' "$log")
    buildah --root "$folder/images" --runroot "$folder/run" --storage-driver vfs rmi --all --force > /dev/null
    rm -rf "$folder"
    return "$status"
}

# package: the Debian package, and cargo install.
package() {
    tool cargo-deb
    tests/package
}

long_steps() {
    local seconds="${LONG_SECONDS:-600}"
    longest=$((seconds + 4 * 3600))s
    PATH="$PATH:/usr/sbin" packages java=openjdk-17-jdk-headless

    tests "histories for $seconds s" env RILLGATE_SECONDS="$seconds" cargo test --locked --test endurance histories
    tests "clients beside attackers for $seconds s" env RILLGATE_SOAK_SECONDS="$seconds" \
        cargo test --locked --test endurance attackers
    tests "gateways and engine that fail for $seconds s" env RILLGATE_SECONDS="$seconds" \
        cargo test --locked --test cluster system::checker
    tests "a rollout with 2,000 clients and the chart's times" env RILLGATE_CLIENTS=2000 RILLGATE_SCALE=1 \
        cargo test --locked --test cluster system::rollout
    tests "10,000 streams that lose owners" env RILLGATE_STREAMS=10000 cargo test --locked --test cluster system::many
    tests "100,000 schedules of the protocol" env RILLGATE_SCHEDULES=100000 cargo test --locked --lib cluster::tests::clients
    tests "10,000 random configurations" env RILLGATE_DRAWS=10000 cargo test --locked --test configurations
    tests "interleavings, 100,000 of each" env RILLGATE_ORDERS=100000 \
        cargo test --locked --manifest-path tests/interleavings/Cargo.toml --target-dir "${CARGO_TARGET_DIR:-target}"
    if has_nightly; then
        check "fuzzing for $((seconds / 10)) s each" fuzz $((seconds / 10))
    fi
    tests "a proxy's idle limit of 10 s" env RILLGATE_IDLE_SECONDS=10 cargo test --locked --test gateway doctor::an_idle_limit
    tests "proxies with the idle limits of their page" env RILLGATE_IDLE_SECONDS=60 \
        cargo test --locked --test gateway beyond_the_idle_limit
    check "Java's gzip reader" java_gzip
    # dpkg makes a root of its own, whose files belong to root.
    if [ "$(id -u)" -eq 0 ] && command -v dpkg > /dev/null; then
        check "package" package
    else
        not_run+=("the Debian package: it needs root and dpkg")
    fi
    # buildah works in a chroot, and needs root for it.
    if [ "$(id -u)" -eq 0 ]; then
        packages buildah=buildah podman=podman runc=runc
        check "image" image
    else
        not_run+=("the image: buildah builds it in a chroot, as root only")
    fi
}
