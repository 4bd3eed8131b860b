#!/usr/bin/env bash
# Makes ready what the end-to-end tests and the demo need beyond Rust: a virtual environment under target/ with a real
# Envoy in it and, where this is root and they are missing, iproute2 and nftables. Does nothing when all is there.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=target/venv
installed=$venv/requirements.txt

apt_install() {
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "prepare: not installing $* (it takes root and apt-get)"
        return 1
    fi
    echo "prepare: installing $*"
    # the package lists of a fresh machine are empty or old, those of others may do
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >/dev/null 2>&1 || {
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >/dev/null
    }
}

if ! cmp -s e2e/requirements.txt "$installed" || ! "$venv/bin/python" -c 'import envoy, grpc' 2>/dev/null; then
    echo "prepare: installing e2e/requirements.txt into $venv"
    rm -rf "$venv"
    mkdir -p target
    if ! python3 -m venv "$venv"; then
        # Debian ships venv apart from Python
        apt_install python3-venv
        python3 -m venv "$venv"
    fi
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r e2e/requirements.txt
    cp e2e/requirements.txt "$installed"
fi

missing=()
PATH=$PATH:/usr/sbin:/sbin
command -v ip >/dev/null || missing+=(iproute2)
command -v nft >/dev/null || missing+=(nftables)
if [ ${#missing[@]} -gt 0 ]; then
    apt_install "${missing[@]}" || echo "prepare: without ${missing[*]}, what runs in network namespaces is skipped"
fi
