#!/usr/bin/env bash
# skep shell: the chapter's commands letter for letter, with bpftool's name and the kernel's paths.
source "$(dirname "$0")/lib.sh" "$@"
host peer
cable eth0 "$peer" 0
cp "$source_dir/examples/hello/hello.bpf.c" .
"$(command -v clang-19 || command -v clang)" -target bpf -g -O2 "-I/usr/include/$(uname -m)-linux-gnu" -c hello.bpf.c -o hello.bpf.o
cat >book.sh <<B
set -e
bpftool prog load hello.bpf.o /sys/fs/bpf/hello
ls /sys/fs/bpf
bpftool prog list
bpftool prog show name hello --pretty
bpftool net attach xdp name hello dev eth0
bpftool net list
nsenter -t $peer -n ping -n -q -c 3 -i 0.1 10.9.0.1
timeout 1 cat /sys/kernel/debug/tracing/trace_pipe || true
nsenter -t $peer -n ping -n -q -c 3 -i 0.1 10.9.0.1
timeout 1 cat /sys/kernel/tracing/trace_pipe || true
nsenter -t $peer -n ping -n -q -c 3 -i 0.1 10.9.0.1
timeout 1 bpftool prog tracelog || true
bpftool map list
bpftool map dump name hello.bss
bpftool net detach xdp dev eth0
rm /sys/fs/bpf/hello
bpftool prog show name hello || echo "none, exit status \$?"
echo the end
B
run 0 skep shell bash book.sh
contains "the book" "hello" "$out"
contains "prog show --pretty" '"name": "hello"' "$out"
contains "net list" "eth0(" "$out"
equal "traced" 9 "$(grep -c 'bpf_trace_printk: Hello World [0-9]*$' <<<"$(grep -v 'ARP' <<<"$out")" | awk '{print ($1 >= 9) ? 9 : $1}')"
contains "map dump" '"counter": ' "$out"
contains "the end" "none, exit status 255
the end" "$out"
run 0 skep prog list
equal "outside: nothing left" "" "$out"
run 3 skep shell sh -c 'exit 3'
run 0 skep shell true
run 127 skep shell nosuchcommand
# a pin made in the shell is a pin outside, and the other way round
run 0 skep prog load hello.bpf.o /sys/fs/bpf/hello
run 0 skep shell sh -c 'ls /sys/fs/bpf && mkdir /sys/fs/bpf/dir && mv /sys/fs/bpf/hello /sys/fs/bpf/dir/h && bpftool prog show pinned /sys/fs/bpf/dir/h'
contains "mv keeps the pin" "name hello" "$out"
run 0 skep prog show pinned /sys/fs/bpf/dir/h
run 0 skep shell rm -r /sys/fs/bpf/dir
run 0 skep prog list
equal "rm -r drops it" "" "$out"
finish
