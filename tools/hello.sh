#!/usr/bin/env bash
# Walks the chapter on a real interface: hello.sh PATH-OF-SKEP. Everything happens in namespaces of its own
# (network, mount, and user where not root) with a daemon of its own; nothing of it is left afterwards.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
skep=$(realpath "$1")

if [[ -z ${SKEP_HELLO_INSIDE:-} ]]; then
  flags=(--net --mount)
  if ((EUID != 0)); then
    flags+=(--user --map-root-user)
    unshare --user --map-root-user true 2>/dev/null || {
      echo "hello: needs root, or unprivileged user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone)" >&2
      exit 1
    }
    [[ -w /dev/net/tun ]] || {
      echo "hello: needs /dev/net/tun to be writable" >&2
      exit 1
    }
  fi
  work=$(mktemp -d /tmp/skep-hello.XXXXXX)
  trap 'rm -rf "$work"' EXIT
  SKEP_HELLO_INSIDE=1 SKEP_DIR=$work/run unshare "${flags[@]}" "$0" "$skep" "$work"
  exit
fi

work=$2
mkdir -p "$work/bin"
ln -s "$skep" "$work/bin/skep"
export PATH=$work/bin:$PATH

# The other end of the cable: a network namespace held by a sleeping process of ours.
unshare --net sleep 300 &
peer=$!
finish() {
  skep daemon stop >/dev/null 2>&1 || true
  kill "$peer" 2>/dev/null || true
}
trap finish EXIT
for _ in {1..100}; do
  [[ $(readlink "/proc/$peer/ns/net") != "$(readlink /proc/self/ns/net)" ]] && break
  sleep 0.02
done
ip link set lo up
ip link add eth0 type veth peer name eth0 netns "$peer"
ip address add 10.10.10.1/24 dev eth0
ip link set eth0 up
nsenter -t "$peer" -n sh -c 'ip address add 10.10.10.2/24 dev eth0; ip link set eth0 up; ip link set lo up'

cp "$here/../examples/hello/hello.bpf.c" "$work/"
cd "$work"
skep shell bash "$here/hello_walk.sh" "$peer"
