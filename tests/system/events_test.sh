#!/usr/bin/env bash
# map event_pipe: events of a program that real packets run, and of prog run; text and JSON, lost events.
source "$(dirname "$0")/lib.sh" "$@"
host peer
cable eth0 "$peer" 0
# Test runs happen on the CPU that the daemon's thread is on.
run 0 taskset -c 0 skep daemon start
run 0 skep prog load "$objects/events.bpf.o" /sys/fs/bpf/output
head -c 64 /dev/zero >packet
refused() { skep -j map dump name events.bss | grep -o '"refused":[0-9]*' | cut -d: -f2; }

run 0 skep prog run pinned /sys/fs/bpf/output data_in packet
equal "nobody reads: the helper says so" 1 "$(refused)"

# pipe ARGUMENT...: an event_pipe in the background, reading; $pipe is its process.
pipe() {
  skep "$@" >events 2>errors &
  pipe=$!
  local i
  for i in {1..200}; do
    # Once its events stand in the slots, outputs are not refused any more.
    local were
    were=$(refused)
    skep prog run pinned /sys/fs/bpf/output data_in packet >/dev/null
    (($(refused) == were)) && return
    sleep 0.05
  done
  bad "event_pipe does not read: $(cat errors)"
}
stop() { kill -INT "$pipe"; wait "$pipe"; equal "event_pipe's exit status" 0 $?; }

pipe map event_pipe name events
# shellcheck disable=SC2046
run 0 skep net attach xdp pinned /sys/fs/bpf/output dev eth0
equal "pings pass" 5 "$(answers "$peer" 10.9.0.1 5)"
run 0 skep net detach xdp dev eth0
sleep 0.2
stop
# struct event of a ping of 98 bytes, and the packet's first 6: the interface's address
address=$(ip -o link show dev eth0 | sed 's/.*ether \([0-9a-f:]*\).*/\1/')
if (($(grep -c "^70 65 6b 73 62 00 00 00  ${address//:/ }" events) >= 5)); then ok
else bad "the pings' events: $(cat events)"; fi
if grep -Eq '^== @[0-9]+\.[0-9]{9} CPU: ([01]) index: \1 =====$' events; then ok; else bad "the headers: $(cat events)"; fi

# one slot, JSON: prog run is CPU 0
pipe -j map event_pipe name events cpu 0 index 0
run 0 skep prog run pinned /sys/fs/bpf/output data_in packet repeat 3
sleep 0.2
stop
if python3 - events <<'PY'; then ok; else bad "JSON: $(cat events)"; fi
import json, sys
events = json.load(open(sys.argv[1]))
assert len(events) >= 4, events
for e in events:
    assert e["type"] == 9 and e["cpu"] == 0 and e["index"] == 0 and e["timestamp"] > 0, e
    assert e["data"][:8] == [0x70, 0x65, 0x6b, 0x73, 64, 0, 0, 0], e
    assert len(e["data"]) == 20, e   # 8 + 6 of the packet, rounded up as perf does
assert [e["timestamp"] for e in events] == sorted(e["timestamp"] for e in events)
PY

# a reader that does not keep up is told how much it lost
pipe map event_pipe name events
kill -STOP "$pipe"
run 0 skep prog run pinned /sys/fs/bpf/output data_in packet repeat 5000
kill -CONT "$pipe"
sleep 0.3
run 0 skep prog run pinned /sys/fs/bpf/output data_in packet
sleep 0.2
stop
lost=$(sed -n 's/^lost \([0-9]*\) events$/\1/p' events | awk '{ s += $1 } END { print s + 0 }')
seen=$(grep -c '^== @' events)
if ((lost > 0 && lost + seen == 5002)); then ok; else bad "$lost lost and $seen seen are not 5002"; fi

# words
run 255 skep map event_pipe name events cpu 0
contains "half" "cpu and index must be specified together" "$err"
run 255 skep map event_pipe name events cpu x index 0
contains "no number" "can't parse x as CPU ID" "$err"
run 255 skep map event_pipe name events cpu 0 index 8
contains "no slot" "failed to create perf buffer: Argument list too long (7)" "$err"
run 255 skep map event_pipe name events.bss
contains "another map" "map is not a perf event array" "$err"
# a reader that the daemon leaves
pipe map event_pipe name events
run 0 skep daemon stop
wait "$pipe"
equal "the daemon has ended" 255 $?
contains "it says so" "perf buffer polling failed" "$(cat errors)"
finish
