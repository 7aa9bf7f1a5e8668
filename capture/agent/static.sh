#!/usr/bin/env bash
# Builds kcap-agent as one static file, with libpcap linked in: target/<arch>-unknown-linux-musl/agent/kcap-agent.
#
# libpcap comes from Debian's source package and is built for musl, without what brings further libraries. Needs Debian,
# musl-tools, flex, bison and make; run as root it installs what is missing.
set -euo pipefail
cd "$(dirname "$0")/../.."

arch=$(uname -m)
target=$arch-unknown-linux-musl
out=${CARGO_TARGET_DIR:-$PWD/target}/libpcap-$arch
# The original tarball of libpcap 1.10.3 as its authors released it.
version=1.10.3
sha256=2a8885c403516cf7b0933ed4b14d6caa30e02052489ebd414dc75ac52e7559e6

packages=(bison dpkg-dev flex gcc make musl-tools)
missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    [ "$(id -u)" = 0 ] || { echo "install these first: ${missing[*]}" >&2; exit 1; }
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update
    apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null
fi

# A sources list of its own: the machine's has no source packages as a rule.
fetch() {
    local work=$1 suite
    suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
    mkdir -p "$work/lists/partial"
    { cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null || true; } |
        awk -v suite="$suite" '
            $1 == "deb" && $2 ~ /^http/ && !found { print "deb-src", $2, suite, "main"; found = 1 }
            $1 == "URIs:" && !found { print "deb-src", $2, suite, "main"; found = 1 }
        ' >"$work/sources.list"
    local apt=(-o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=/dev/null -o "Dir::State::lists=$work/lists")
    apt-get -qq "${apt[@]}" update
    (cd "$work" && apt-get -qq "${apt[@]}" source --download-only libpcap="$version"-'*' 2>/dev/null ||
        apt-get -qq "${apt[@]}" source --download-only libpcap)
}

if [ ! -f "$out/lib/libpcap.a" ]; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    fetch "$work"
    tarball=$(ls "$work"/libpcap_*.orig.tar.*z)
    echo "$sha256  $tarball" | sha256sum --check --quiet
    mkdir "$work/source" "$work/headers"
    tar -xf "$tarball" -C "$work/source" --strip-components=1
    # musl-gcc looks at musl's headers only; these are the kernel's.
    ln -s /usr/include/linux /usr/include/asm-generic "/usr/include/$arch-linux-gnu/asm" "$work/headers/"
    (
        cd "$work/source"
        CC=musl-gcc CFLAGS="-O2 -fPIC -w -I$work/headers" ./configure --quiet --prefix="$out" --disable-shared --disable-usb \
            --disable-bluetooth --disable-dbus --disable-rdma --disable-netmap --without-libnl --without-dag \
            --without-snf --without-dpdk --disable-remote >/dev/null
        make -s -j"$(nproc)" >/dev/null
        make -s install >/dev/null
    )
fi

rustup target list --installed | grep -qx "$target" || rustup target add "$target"
LIBPCAP_LIBDIR=$out/lib LIBPCAP_VER=$version CC_x86_64_unknown_linux_musl=musl-gcc CC_aarch64_unknown_linux_musl=musl-gcc \
    cargo build --profile agent --target "$target" -p kcap-agent
ls -l "${CARGO_TARGET_DIR:-target}/$target/agent/kcap-agent"
