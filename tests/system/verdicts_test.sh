#!/usr/bin/env bash
# All five verdicts, of objects from clang, on real interfaces with real traffic behind them.
source "$(dirname "$0")/lib.sh" "$@"
host peer
host third
cable eth0 "$peer" 0
cable eth1 "$third" 1

equal "pings before" 3 "$(answers "$peer" 10.9.0.1 3)"
run 0 skep prog loadall "$objects/verdicts.bpf.o" /sys/fs/bpf/verdicts
run 0 skep net attach xdp name pass dev eth0
equal "PASS" 5 "$(answers "$peer" 10.9.0.1 5)"
equal "PASS, IPv6" 5 "$(answers "$peer" fd00:0::1 5)"
run 0 skep -j map dump name counts
run 0 skep net attach xdp name drop dev eth0 overwrite
equal "DROP" 0 "$(answers "$peer" 10.9.0.1 3)"
run 0 skep net attach xdp name aborted dev eth0 overwrite
equal "ABORTED" 0 "$(answers "$peer" 10.9.0.1 3)"
# echo answers ICMP echo requests itself: the stack never sees one.
run 0 skep net attach xdp name echo dev eth0 overwrite
before=$(awk '/^IcmpMsg:.*InType8/{getline; print}' /proc/net/snmp; sed -n 's/^Icmp: \([0-9]* [0-9]*\).*/\1/p' /proc/net/snmp)
equal "TX" 5 "$(answers "$peer" 10.9.0.1 5)"
after=$(awk '/^IcmpMsg:.*InType8/{getline; print}' /proc/net/snmp; sed -n 's/^Icmp: \([0-9]* [0-9]*\).*/\1/p' /proc/net/snmp)
equal "TX: the stack saw no echo request" "$before" "$after"
# modified PASS: UDP to port 7777 arrives at port 7778
run 0 skep net attach xdp name rewrite dev eth0 overwrite
socat -u UDP4-RECV:7778 CREATE:"$work/udp" &
listener=$!
sleep 0.3
for _ in 1 2 3; do on "$peer" bash -c 'echo changed >/dev/udp/10.9.0.1/7777'; sleep 0.1; done
kill "$listener" 2>/dev/null
contains "PASS of a changed packet" changed "$(cat "$work/udp" 2>/dev/null)"
# REDIRECT: what comes in on eth0 goes out of eth1 (the index is patched into the program's .rodata-free map)
index=$(ip -o link show eth1 | cut -d: -f1)
run 0 skep map update name target key 0 0 0 0 value "$index" 0 0 0
run 0 skep net attach xdp name redirect dev eth0 overwrite
on "$third" timeout 5 tcpdump -Z root -n -l -c 2 -i eth0 icmp >"$work/seen" 2>/dev/null &
capture=$!
sleep 0.7
answers "$peer" 10.9.0.1 3 >/dev/null
wait "$capture"
contains "REDIRECT" "10.9.0.2 > 10.9.0.1: ICMP echo request" "$(cat "$work/seen")"
run 0 skep net list
contains "net list" "eth0(" "$out"
run 0 skep net detach xdp dev eth0
equal "after detach" 5 "$(answers "$peer" 10.9.0.1 5)"
equal "no qdisc stays" "" "$(tc qdisc show dev eth0 | grep clsact)"
finish
