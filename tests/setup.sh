#!/bin/sh
# Installs what building kfleet and running its lab need on a Debian machine that has the Rust toolchain.
#
# Safe to run again: it looks first, and is done at once when everything is there. It needs root for packages only,
# so it works as root and for a user with sudo. Without either, what only containers need is left out: the lab then
# makes its hosts of plain processes. Nothing outside Debian's packages and target/tools is touched.
set -eu

CARGO_DEB_VERSION=3.8.0
SUPERVISOR_VERSION=4.3.0

root=$(cd "$(dirname "$0")/.." && pwd)
began=$(date +%s)

say() { printf '  %-24s %s\n' "$1" "$2"; }
fail() {
    printf 'error: %s\n' "$1" >&2
    exit 1
}

# What a tool or header stands for, and the package that brings it. The build compiles C and C++ (aws-lc, librdkafka,
# SQLite); dpkg-dev finds out which libraries a package depends on. maven brings a JRE, kcat asks brokers for metadata.
always='
cc                  gcc
c++                 g++
make                make
pkg-config          pkg-config
dpkg-shlibdeps      dpkg-dev
/usr/include/stdio.h libc6-dev
/etc/ssl/certs/ca-certificates.crt ca-certificates
openssl             openssl
setsid              util-linux
mvn                 maven
java                default-jre-headless
kcat                kcat
'
# Only containers need these, and only root can have containers. faketime shows an agent another clock.
containers='
faketime            faketime
debootstrap         debootstrap
systemd-nspawn      systemd-container
ip                  iproute2
nft                 nftables
nsenter             util-linux
'
may_be_root() { [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null 2>&1; }
if may_be_root; then
    wanted="$always$containers"
else
    wanted="$always"
fi

is_there() {
    case $1 in
    /*) [ -e "$1" ] ;;
    # Tools of the administrator are not on every user's PATH.
    *) PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1 ;;
    esac
}

missing_packages() {
    echo "$wanted" | while read -r thing package; do
        [ -z "$thing" ] || is_there "$thing" || printf '%s ' "$package"
    done
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        DEBIAN_FRONTEND=noninteractive "$@"
    else
        sudo DEBIAN_FRONTEND=noninteractive "$@"
    fi
}

# Runs a command quietly, and shows all it said when it fails.
quietly() {
    log=$(mktemp)
    if ! "$@" >"$log" 2>&1; then
        cat "$log" >&2
        rm -f "$log"
        fail "\`$*\` failed; its output is above"
    fi
    rm -f "$log"
}

packages=$(missing_packages)
if [ -z "$packages" ]; then
    say 'Debian packages' 'ready'
else
    command -v apt-get >/dev/null 2>&1 ||
        fail "no apt-get here; the lab needs a Debian machine, or install by hand: $packages"
    may_be_root || fail "packages need root; run this as root, or install sudo, or have them installed: $packages"
    say 'Debian packages' "installing $packages"
    quietly as_root apt-get update
    # Word splitting is wanted: the variable is a list of package names.
    # shellcheck disable=SC2086
    quietly as_root apt-get install --yes --no-install-recommends $packages
    still=$(missing_packages)
    [ -z "$still" ] || fail "apt-get installed the packages, and yet nothing is there of: $still"
    say 'Debian packages' 'installed'
fi

# Under sudo the toolchain of the user is not on the PATH.
PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
command -v cargo >/dev/null 2>&1 || fail 'no cargo on the PATH; install the Rust toolchain from https://rustup.rs first'
say 'Rust toolchain' "$(cargo --version)"

tools="$root/target/tools"
if [ "$("$tools/bin/cargo-deb" --version 2>/dev/null)" = "cargo-deb $CARGO_DEB_VERSION" ]; then
    say 'cargo-deb' "ready, $CARGO_DEB_VERSION"
else
    say 'cargo-deb' "building $CARGO_DEB_VERSION (about two minutes)"
    # Its own target folder: a build of the workspace that runs meanwhile would make this one wait.
    quietly env CARGO_TARGET_DIR="$root/target/tools-build" \
        cargo install cargo-deb --version "$CARGO_DEB_VERSION" --locked --force --root "$tools"
    rm -rf "$root/target/tools-build"
    say 'cargo-deb' "installed in target/tools"
fi

# Keeps the services of hosts that are plain processes. Debian's package would start a supervisord of the machine's own,
# so it is taken from PyPI into a folder of its own where Python can do that, else from the package.
supervisor="$tools/supervisor"
supervisor_from_pypi() {
    python3 -m venv --clear "$supervisor" && "$supervisor/bin/pip" install --quiet "supervisor==$SUPERVISOR_VERSION"
}
if command -v supervisord >/dev/null 2>&1; then
    say 'supervisord' "ready, $(supervisord --version)"
elif [ "$("$supervisor/bin/supervisord" --version 2>/dev/null)" = "$SUPERVISOR_VERSION" ]; then
    say 'supervisord' "ready, $SUPERVISOR_VERSION"
elif supervisor_from_pypi >/dev/null 2>&1; then
    say 'supervisord' 'installed in target/tools'
elif may_be_root; then
    rm -rf "$supervisor"
    quietly as_root apt-get update
    quietly as_root apt-get install --yes --no-install-recommends supervisor
    say 'supervisord' 'installed from the package'
else
    say 'supervisord' 'missing: only needed where containers can not boot (Debian package python3-venv or supervisor)'
fi

# `setup.sh tests`: the pages of reports are looked at in a real browser. A machine without one skips those tests and says so.
if [ "${1:-}" = tests ]; then
    if command -v chromium >/dev/null 2>&1; then
        say 'Chromium' 'ready'
    elif may_be_root && command -v apt-get >/dev/null 2>&1 &&
        { as_root apt-get update && as_root apt-get install --yes --no-install-recommends chromium; } >/dev/null 2>&1; then
        say 'Chromium' 'installed'
    else
        say 'Chromium' 'missing: the pages of reports are not looked at'
    fi
fi

say 'setup' "done in $(($(date +%s) - began)) s"
