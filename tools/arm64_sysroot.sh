#!/usr/bin/env bash
# tools/arm64_sysroot.sh DIR: Debian's arm64 libraries that skep needs, unpacked under DIR, for cross builds and for
# qemu-user. apt works on lists and a package state of its own: nothing of the machine changes, and root is not needed.
set -euo pipefail
(($# == 1)) || { echo "usage: tools/arm64_sysroot.sh DIR" >&2; exit 2; }

packages=(libc6-dev libstdc++6 linux-libc-dev libasmjit-dev libelf-dev libfmt-dev liburcu-dev libmnl-dev libpcap-dev
  nettle-dev libseccomp-dev libcapstone-dev zlib1g-dev libgtest-dev libgmock-dev nlohmann-json3-dev)

mkdir -p "$1"
root=$(cd "$1" && pwd)
stamp="$root/.packages"
[[ -f $stamp && $(<"$stamp") == "${packages[*]}" ]] && exit 0

state=$(mktemp -d)
trap 'rm -rf "$state"' EXIT
mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
: >"$state/status"
cat >"$state/apt.conf" <<TEXT
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Install-Recommends "false";
APT::Sandbox::User "";
Dir::State "$state";
Dir::State::status "$state/status";
Dir::State::lists "$state/lists";
Dir::Cache "$state/cache";
Debug::NoLocking "1";
TEXT
export APT_CONFIG=$state/apt.conf
echo "arm64 libraries: downloading ${#packages[@]} packages and what they need" >&2
if ! { apt-get -q update && apt-get -q -y --download-only install "${packages[@]}"; } >"$state/log" 2>&1; then
  cat "$state/log" >&2
  exit 1
fi

# As on an installed system /lib is a link to usr/lib, and links do not lead out of the root.
mkdir -p "$root/usr/lib" "$root/usr/bin" "$root/usr/sbin"
for dir in lib bin sbin; do ln -sfn "usr/$dir" "$root/$dir"; done
for deb in "$state"/cache/archives/*.deb; do dpkg-deb -x "$deb" "$root"; done
find "$root" -type l -lname '/*' -print0 | while IFS= read -r -d '' link; do
  ln -sfn "$root$(readlink "$link")" "$link"
done
echo "${packages[*]}" >"$stamp"
