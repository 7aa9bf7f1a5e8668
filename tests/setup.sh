#!/usr/bin/env bash
# Installs what building and testing need: libpcap's headers, and the tools that tests compare with.
# `setup.sh build` is enough to build; `setup.sh test` adds the oracles; `setup.sh e2e` adds what a Kubernetes
# is made of, but for Go; `setup.sh bench` adds the peers, `setup.sh fuzz` what libFuzzer is built with.
set -euo pipefail

build=(gcc libpcap-dev make pkg-config)
test=(bsdutils containerd containernetworking-plugins iproute2 python3 runc tcpdump tshark zstd)
e2e=(busybox conntrack etcd-server iptables openssl procps util-linux)
bench=(softflowd tcptrace valgrind)
fuzz=(g++)

case "${1:-test}" in
    build) wanted=("${build[@]}") ;;
    test) wanted=("${build[@]}" "${test[@]}") ;;
    e2e) wanted=("${build[@]}" "${test[@]}" "${e2e[@]}") ;;
    bench) wanted=("${build[@]}" "${test[@]}" "${bench[@]}") ;;
    fuzz) wanted=("${build[@]}" "${fuzz[@]}") ;;
    *) echo "usage: $0 build|test|e2e|bench|fuzz" >&2; exit 2 ;;
esac

if ! command -v cargo >/dev/null; then
    echo "Rust is missing: install it with rustup (https://rustup.rs), then run this again." >&2
    exit 1
fi
if ! command -v dpkg-query >/dev/null; then
    echo "Not a Debian system: make sure that these are installed: ${wanted[*]}" >&2
    exit 0
fi

missing=()
for package in "${wanted[@]}"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" != 0 ]; then
    echo "These packages are missing. Install them, then run this again:" >&2
    echo "  sudo apt-get install ${missing[*]}" >&2
    exit 1
fi
echo "installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null
