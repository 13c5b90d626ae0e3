#!/usr/bin/env bash
# The walk that a newcomer sees, as whoever runs the tests and as an ordinary user; nothing stays behind.
set -uo pipefail
skep=$1
here=$(cd "$(dirname "$0")" && pwd)
if ((EUID != 0)) && ! unshare --user --map-root-user --net true 2>/dev/null; then
  echo "skipped: neither root nor unprivileged user namespaces"
  exit 77
fi
failed=0
walk() { # walk WHO COMMAND...
  local who=$1 log
  shift
  log=$(mktemp)
  if ! "$@" >"$log" 2>&1; then
    echo "FAILED as $who:"
    cat "$log"
    failed=1
  fi
  local text
  for text in 'hello' '5 packets transmitted, 5 received' 'bpf_trace_printk: Hello World' '"counter": ' \
    'Operation not permitted' 'All of the chapter ran'; do
    grep -qF -- "$text" "$log" || {
      echo "FAILED as $who: no '$text' in the walk:"
      cat "$log"
      failed=1
      break
    }
  done
  rm -f "$log"
}
walk "$(id -un)" bash "$here/../../tools/hello.sh" "$skep"
if ((EUID == 0)); then
  # The tree and the binary may lie where only root can read: give the user copies.
  copy=$(mktemp -d /tmp/skep-user.XXXXXX)
  chmod 755 "$copy"
  mkdir -p "$copy/tools" "$copy/examples/hello"
  cp "$skep" "$copy/skep"
  cp "$here"/../../tools/hello*.sh "$copy/tools/"
  cp "$here"/../../examples/hello/hello.bpf.c "$copy/examples/hello/"
  chmod -R a+rX "$copy"
  user=(setpriv --reuid=65534 --regid=65534 --clear-groups env -u XDG_RUNTIME_DIR HOME=/ USER=nobody)
  if ! "${user[@]}" test -w /dev/net/tun; then
    echo "not as an ordinary user: /dev/net/tun is not theirs to open here"
  elif "${user[@]}" unshare --user --map-root-user --net true 2>/dev/null; then
    walk nobody "${user[@]}" bash "$copy/tools/hello.sh" "$copy/skep"
  else
    echo "not as an ordinary user: user namespaces are not allowed to them here"
  fi
  rm -rf "$copy"
fi
exit $failed
