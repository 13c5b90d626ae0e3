#!/usr/bin/env bash
# The daemon: started on first use, one per directory, its owner's only, and gone without a trace when killed.
source "$(dirname "$0")/lib.sh" "$@"
host peer
cable eth0 "$peer" 0
run 0 skep prog list
run 0 skep daemon status
contains "status" "pid" "$out"
pid=$(sed -n 's/.*pid[ :]*\([0-9]*\).*/\1/p' <<<"$out" | head -n 1)
[[ $pid =~ ^[0-9]+$ && -d /proc/$pid ]] || bad "status names no living process: $out"
equal "socket mode" "srw-------" "$(stat -c %A "$SKEP_DIR"/*.sock "$SKEP_DIR"/socket 2>/dev/null | head -n 1)"

run 0 skep prog load "$objects/verdicts.bpf.o" /sys/fs/bpf/one type xdp
run 0 skep prog load "$objects/globals.bpf.o" /sys/fs/bpf/two
run 0 skep net attach xdp name globals dev eth0
tables=$(nft list tables 2>/dev/null)
contains "attached: an nftables table is there" netdev "$tables"
on "$peer" ping -n -q -c 200 -i 0.01 -W 1 10.9.0.1 >"$work/pings" 2>/dev/null &
pinging=$!
sleep 0.7
kill -9 "$pid"
wait "$pinging"
received=$(sed -n 's/.* \([0-9]*\) received.*/\1/p' "$work/pings")
if ((received >= 198)); then ok; else bad "kill -9 lost pings: $received of 200 answered"; fi
sleep 0.3
equal "no table stays" "" "$(nft list tables 2>/dev/null)"
equal "no qdisc stays" "" "$(tc qdisc show dev eth0 | grep -E 'clsact|ingress')"
equal "no device stays" "eth0 lo" "$(ip -o link | awk -F'[ @:]+' '{print $2}' | sort | xargs)"

run 0 skep prog list
equal "a new daemon, and the old one's pins are gone" "" "$out"
equal "no leftover pin" "" "$(ls "$SKEP_DIR/fs")"
run 0 skep prog load "$objects/globals.bpf.o" /sys/fs/bpf/again
run 0 skep daemon stop
run 0 skep daemon status
contains "status after stop" "no daemon is running" "$out"

# what attaching to lo changes comes back after kill -9, too, with the next start
setting=/proc/sys/net/ipv4/conf/lo/route_localnet
equal "before" 0 "$(cat $setting)"
run 0 skep prog load "$objects/globals.bpf.o" /sys/fs/bpf/on_lo
run 0 skep net attach xdp name globals dev lo
equal "while attached" 1 "$(cat $setting)"
kill -9 "$(skep daemon status | sed -n 's/.*pid[ :]*\([0-9]*\).*/\1/p' | head -n 1)"
sleep 0.3
equal "left behind" 1 "$(cat $setting)"
run 0 skep daemon start
equal "after the next start" 0 "$(cat $setting)"
run 0 skep daemon status
contains "status says so" "$setting is 0 again" "$out"
run 0 skep daemon stop

# many clients at once start one daemon
for i in {1..12}; do skep -j prog list >"$work/par.$i" 2>&1 & done
wait %2 %3 %4 %5 %6 %7 %8 %9 2>/dev/null
sleep 1
for i in {1..12}; do equal "client $i" "[]" "$(cat "$work/par.$i")"; done

# another user's socket
if ((EUID == 0)) && setpriv --reuid=65534 --regid=65534 --clear-groups true 2>/dev/null; then
  cp "$skep_binary" "$work/bin/skep.copy" && chmod -R a+rX "$work" && chmod 755 "$work"
  run 255 setpriv --reuid=65534 --regid=65534 --clear-groups env SKEP_DIR="$SKEP_DIR" "$work/bin/skep.copy" prog list
  one_line "another user's daemon" "$err"
fi
# a directory that cannot hold a daemon
run 255 env SKEP_DIR=/proc/nowhere skep prog list
one_line "no directory" "$err"
finish
