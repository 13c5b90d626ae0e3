#!/usr/bin/env bash
# A TAP interface of skep's own: what the host sends into it runs the program; PASS and TX come back to the host.
source "$(dirname "$0")/lib.sh" "$@"
[[ -w /dev/net/tun ]] || skip "/dev/net/tun is not ours to open"
run 0 skep link add skep0
ip address add 10.9.9.1/24 dev skep0
ip link set skep0 up
ip neighbour add 10.9.9.2 lladdr 02:00:00:00:00:02 dev skep0
run 0 skep prog loadall "$objects/verdicts.bpf.o" /sys/fs/bpf/verdicts
run 0 skep net attach xdp name echo dev skep0
run 0 skep net list
contains "net list" "skep0(" "$out"
equal "the program answers for the whole network behind it" 3 \
  "$(ping -n -q -c 3 -i 0.1 -W 1 10.9.9.2 | sed -n 's/.* \([0-9]*\) received.*/\1/p')"
run 0 skep net attach xdp name drop dev skep0 overwrite
equal "DROP" 0 "$(ping -n -q -c 2 -i 0.1 -W 1 10.9.9.2 | sed -n 's/.* \([0-9]*\) received.*/\1/p')"
run 0 skep net detach xdp dev skep0
run 0 skep net attach xdp name echo dev skep0
equal "attached again" 2 "$(ping -n -q -c 2 -i 0.1 -W 1 10.9.9.2 | sed -n 's/.* \([0-9]*\) received.*/\1/p')"
run 255 skep link add skep0
one_line "there already" "$err"
run 255 skep link add a-name-that-is-too-long
one_line "a bad name" "$err"
run 255 skep link delete nosuch0
one_line "no such interface" "$err"
run 0 skep link delete skep0
equal "gone" "" "$(ip -o link | grep skep0)"
run 0 skep link add skep1
run 0 skep daemon stop
equal "gone with the daemon" "" "$(ip -o link | grep skep1)"
finish
