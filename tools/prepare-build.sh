#!/usr/bin/env bash
# Makes ready what a build (protoc) and the tests of the store (etcd) need beyond Rust: Debian's packages, where this is root
# and they are missing. Says what to install where it cannot. Does nothing when all is there.
#
# usage: tools/prepare-build.sh protoc|etcd ...
set -euo pipefail

# Debian has the compiler and the files that come with it, which the protocol of etcd imports, in two packages
has_protoc() {
    command -v protoc >/dev/null || return 1
    local directory rc=0
    directory=$(mktemp -d)
    echo 'syntax = "proto3"; import "google/protobuf/descriptor.proto";' >"$directory/probe.proto"
    protoc -I "$directory" -o /dev/null "$directory/probe.proto" 2>/dev/null || rc=1
    rm -r "$directory"
    return $rc
}

missing=()
for program in "$@"; do
    case $program in
        protoc) has_protoc || missing+=(protobuf-compiler libprotobuf-dev) ;;
        etcd) command -v etcd >/dev/null || missing+=(etcd-server etcd-client) ;;
        *) echo "usage: $0 protoc|etcd ..." >&2 && exit 2 ;;
    esac
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "prepare-build: install ${missing[*]} (so they are called in Debian): $* must be in PATH" >&2
    exit 1
fi
echo "prepare-build: installing ${missing[*]}"
# Debian's etcd-server would start a cluster of its own; RUNLEVEL=1 is how its invoke-rc.d is told to start nothing, and the
# services are masked so that a later boot does not either
mask() {
    [[ " ${missing[*]} " == *" etcd-server "* ]] || return 0
    mkdir -p /etc/systemd/system
    [ -e /etc/systemd/system/etcd.service ] || ln -s /dev/null /etc/systemd/system/etcd.service
    echo "prepare-build: etcd.service is masked, so that no etcd starts by itself; systemctl unmask etcd.service allows it"
}
install() { RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; }
mask
# the package lists of a fresh machine are empty or old, those of others may do
install >/dev/null 2>&1 || { apt-get update -qq && install >/dev/null; }
