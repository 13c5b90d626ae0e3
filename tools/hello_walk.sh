#!/usr/bin/env bash
# The chapter's commands, one after the other, each printed before it runs; inside `skep shell`, so that
# /sys/fs/bpf and trace_pipe are skep's. hello.sh prepares the surroundings.
set -uo pipefail
peer=$1
failed=0

step() { printf '\n\033[1m# %s\033[0m\n' "$*"; }
# run COMMAND: prints and runs it; it must succeed.
run() {
  printf '\033[32m$ %s\033[0m\n' "$1"
  bash -c "$1" || {
    echo "hello: this failed with exit code $?" >&2
    failed=1
  }
}
# refuse COMMAND: prints and runs it; it must fail.
refuse() {
  printf '\033[32m$ %s\033[0m\n' "$1"
  if bash -c "$1"; then
    echo "hello: this should have been refused" >&2
    failed=1
  fi
}
expect() { # WHAT TEXT COMMAND: the command's output must contain the text
  local out
  out=$(bash -c "$3" 2>&1)
  [[ $out == *"$2"* ]] || {
    echo "hello: $1: expected '$2', got: $out" >&2
    failed=1
  }
}
clang=$(command -v clang-19 || command -v clang)

step "Compile: the same object that the kernel loads"
run "$(basename "$clang") -target bpf -g -O2 -I/usr/include/$(uname -m)-linux-gnu -c hello.bpf.c -o hello.bpf.o"
step "Load and pin"
run 'skep prog load hello.bpf.o /sys/fs/bpf/hello'
run 'ls /sys/fs/bpf'
step "Look at it"
run 'skep prog list'
id=$(skep prog list | sed -n '1s/:.*//p')
run "skep prog show id $id --pretty"
run 'skep prog dump xlated name hello'
run 'skep prog dump xlated name hello opcodes'
run 'skep prog dump xlated name hello linum'
run 'skep prog dump xlated name hello visual | head -n 12'
run 'skep -j prog dump xlated name hello'; echo
step "Attach it to eth0"
run "skep net attach xdp id $id dev eth0"
run 'skep net list'
step "Packets: the other end pings; every one is answered, every one runs the program"
run "nsenter -t $peer -n ping -c 5 -i 0.2 10.10.10.1"
step "The trace"
run 'timeout 1 cat /sys/kernel/debug/tracing/trace_pipe; true'
nsenter -t "$peer" -n ping -c 2 -i 0.2 10.10.10.1 >/dev/null
run 'timeout 1 skep prog tracelog; true'
step "Global variables"
run 'skep map list'
run 'skep map dump name hello.bss'
run 'skep -j map dump name hello.bss'; echo
run 'skep map dump name hello.rodata'
step ".rodata is frozen: an update is refused"
refuse 'skep map update name hello.rodata key 0 0 0 0 value 42 0 0 0 0 0 0 0 0 0 0 0 0 0 0'
step "Detach, remove the pin: nothing is left"
run 'skep net detach xdp dev eth0'
run 'skep net list'
run 'rm /sys/fs/bpf/hello'
printf '\033[32m$ %s\033[0m\n' 'skep prog show name hello'
expect "prog list after rm" "" 'skep prog list'
[[ -z $(skep prog list) && -z $(skep map list) ]] || { echo "hello: something is left" >&2; failed=1; }
((failed == 0)) && printf '\n\033[1mAll of the chapter ran, with no kernel eBPF.\033[0m\n'
exit $failed
