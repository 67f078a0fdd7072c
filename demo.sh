#!/bin/sh
# The main job from nothing: installs what is needed, builds, brings up six real hosts, and restarts their clusters
# node by node under load. `./demo.sh --keep` leaves the hosts up; `target/release/lab --help` is the way around them.
set -eu
root=$(cd "$(dirname "$0")" && pwd)
printf 'What is needed\n'
sh "$root/tests/setup.sh"
sh "$root/tests/build.sh"
printf '\n'
exec "${CARGO_TARGET_DIR:-$root/target}/release/demo" "$@"
