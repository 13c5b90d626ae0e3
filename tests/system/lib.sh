# Sourced by every system test: `source lib.sh "$@"`. Re-executes the test in network and mount namespaces of
# its own (and a user namespace where not root), with a daemon directory of its own, and gives it words for
# hosts, traffic and checks. Two hosts: this one (10.9.0.1 on eth0) and a peer at the other end of the cable.
# shellcheck shell=bash
set -uo pipefail
skep_binary=$(realpath "$1")
objects=$(realpath "$2")
source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
failures=0
checks=0

skip() { echo "skipped: $*"; exit 77; }

if [[ -z ${SKEP_TEST_INSIDE:-} ]]; then
  flags=(--net --mount)
  if ((EUID != 0)); then
    unshare --user --map-root-user --net true 2>/dev/null || skip "neither root nor unprivileged user namespaces"
    flags+=(--user --map-root-user)
  fi
  unshare "${flags[@]}" true 2>/dev/null || skip "unshare ${flags[*]} is not allowed"
  work=$(mktemp -d "${TMPDIR:-/tmp}/skep-test.XXXXXX")
  export SKEP_TEST_INSIDE=1 SKEP_DIR=$work/run work
  unshare "${flags[@]}" bash "$0" "$@"
  code=$?
  rm -rf "$work"
  exit $code
fi

mkdir -p "$work/bin"
ln -sf "$skep_binary" "$work/bin/skep"
ln -sf "$skep_binary" "$work/bin/bpftool"
export PATH=$work/bin:$PATH
cd "$work" || exit 1
hosts=()
cleanup() {
  skep daemon stop >/dev/null 2>&1
  local pid
  for pid in "${hosts[@]}"; do kill "$pid" 2>/dev/null; done
}
trap cleanup EXIT
ip link set lo up

# host NAME: a network namespace held by a process of ours; $NAME becomes its pid.
host() {
  unshare --net sleep 170 &
  local pid=$!
  hosts+=("$pid")
  printf -v "$1" %s "$pid"
  local i
  for i in {1..200}; do
    [[ $(readlink "/proc/$pid/ns/net") != "$(readlink /proc/self/ns/net)" ]] && break
    sleep 0.01
  done
  on "$pid" ip link set lo up
}
on() { local pid=$1; shift; nsenter -t "$pid" -n -- "$@"; }
# cable DEV PID NET: veth DEV here, eth0 there, 10.9.NET.1/2 and fd00:NET::1/2.
cable() {
  ip link add "$1" type veth peer name eth0 netns "$2"
  ip address add "10.9.$3.1/24" dev "$1"
  ip address add "fd00:$3::1/64" dev "$1" nodad
  ip link set "$1" up
  on "$2" ip address add "10.9.$3.2/24" dev eth0
  on "$2" ip address add "fd00:$3::2/64" dev eth0 nodad
  on "$2" ip link set eth0 up
}

ok() { checks=$((checks + 1)); }
bad() {
  checks=$((checks + 1))
  failures=$((failures + 1))
  echo "FAILED: $*"
}
# run CODE COMMAND...: its exit code must be CODE; output in $out, errors in $err.
run() {
  local want=$1 code
  shift
  "$@" >"$work/out" 2>"$work/err" </dev/null
  code=$?
  out=$(<"$work/out")
  err=$(<"$work/err")
  if ((code == want)); then ok; else bad "'$*' exited with $code, not $want; out: $out; err: $err"; fi
}
contains() { # contains WHAT TEXT IN
  if [[ $3 == *"$2"* ]]; then ok; else bad "$1: '$2' is not in: $3"; fi
}
equal() { # equal WHAT WANT GOT
  if [[ $2 == "$3" ]]; then ok; else bad "$1: wanted '$2', got '$3'"; fi
}
one_line() { # one_line WHAT TEXT
  if [[ -n $2 && $(wc -l <<<"$2") -eq 1 ]]; then ok; else bad "$1: not one line: $2"; fi
}
# answers PID ADDRESS COUNT: how many of COUNT pings from the host are answered.
answers() {
  on "$1" ping -n -q -c "$3" -i 0.05 -W 1 "$2" 2>/dev/null | sed -n 's/.* \([0-9]*\) received.*/\1/p'
}
finish() {
  echo "$checks checks, $failures failed"
  ((failures == 0))
  exit
}
