#!/bin/sh
# All tests: formatting, lints, unit and property tests, and the scenarios on real hosts.
# `./test.sh quick` leaves out what needs packages and hosts: it is done in a minute or two once everything is built.
set -eu
root=$(cd "$(dirname "$0")" && pwd)
cd "$root"
PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
step() { printf '\n== %s\n' "$1"; }

step 'What is needed'
if [ "${1:-all}" = quick ]; then
    sh tests/setup.sh
else
    sh tests/setup.sh tests
    sh tests/build.sh
fi

step 'Formatting and lints'
cargo fmt --all --check
cargo clippy --workspace --all-targets --locked --quiet -- -D warnings

if [ "${1:-all}" = quick ]; then
    step 'Quick tests'
    exec cargo test --workspace --locked --exclude kfleet-tests
fi
step 'Tests'
exec cargo test --workspace --locked
