#!/usr/bin/env bash
# TCP through PASS with the interface's default offloads: at least half of the interface's own throughput.
# Both are measured in turn, and the best of three rounds counts: the machine has other things to do.
source "$(dirname "$0")/lib.sh" "$@"
command -v iperf3 >/dev/null || skip "no iperf3"
host peer
cable eth0 "$peer" 0
iperf3 -s -1 -B 10.9.0.1 >/dev/null 2>&1 & sleep 0.3; on "$peer" iperf3 -c 10.9.0.1 -t 1 >/dev/null 2>&1 || skip "iperf3 does not run here"
measure() { # bits a second from the peer to here
  iperf3 -s -1 -B 10.9.0.1 >/dev/null 2>&1 &
  local server=$!
  sleep 0.3
  on "$peer" iperf3 -c 10.9.0.1 -t 2 -J 2>/dev/null | python3 -c 'import json,sys; print(int(json.load(sys.stdin)["end"]["sum_received"]["bits_per_second"]))' 2>/dev/null || echo 0
  wait "$server" 2>/dev/null
}
run 0 skep prog loadall "$objects/verdicts.bpf.o" /sys/fs/bpf/verdicts
best=0
for round in 1 2 3; do
  plain=$(measure)
  run 0 skep net attach xdp name pass dev eth0
  through=$(measure)
  run 0 skep net detach xdp dev eth0
  ratio=$((plain > 0 ? through * 100 / plain : 0))
  echo "round $round: $((plain / 1000000)) Mbit/s plain, $((through / 1000000)) through PASS: $ratio %"
  ((ratio > best)) && best=$ratio
  ((best >= 50)) && break
done
if ((best >= 50)); then ok; else bad "TCP through PASS: $best % of the interface's own throughput"; fi
finish
