#!/usr/bin/env bash
# Frames of every kind through PASS: VLAN tags, IPv6, jumbo frames, lo, several interfaces at once.
source "$(dirname "$0")/lib.sh" "$@"
host peer
host third
cable eth0 "$peer" 0
cable eth1 "$third" 1
run 0 skep prog load "$objects/globals.bpf.o" /sys/fs/bpf/globals
run 0 skep net attach xdp pinned /sys/fs/bpf/globals dev eth0
run 0 skep net attach xdp pinned /sys/fs/bpf/globals dev eth1
run 0 skep net list
equal "two interfaces" 2 "$(grep -c '^eth[01](' <<<"$out")"
equal "eth0" 3 "$(answers "$peer" 10.9.0.1 3)"
equal "eth1" 3 "$(answers "$third" 10.9.1.1 3)"
equal "IPv6" 3 "$(answers "$peer" fd00:0::1 3)"

# VLAN 5 on both ends
if ip link add link eth0 name eth0.5 type vlan id 5 2>/dev/null; then
  ip address add 10.9.5.1/24 dev eth0.5 && ip link set eth0.5 up
  on "$peer" sh -c 'ip link add link eth0 name eth0.5 type vlan id 5 && ip address add 10.9.5.2/24 dev eth0.5 && ip link set eth0.5 up'
  equal "VLAN" 3 "$(answers "$peer" 10.9.5.1 3)"
else
  echo "no VLAN check: this machine's kernel has no 8021q module (test_hooks sends tagged frames by hand)"
fi

# jumbo frames
ip link set eth0 mtu 9000
on "$peer" ip link set eth0 mtu 9000
equal "jumbo" 3 "$(on "$peer" ping -n -q -c 3 -i 0.05 -W 1 -M "do" -s 8900 10.9.0.1 | sed -n 's/.* \([0-9]*\) received.*/\1/p')"

# lo
run 0 skep net attach xdp pinned /sys/fs/bpf/globals dev lo
equal "lo" 3 "$(ping -n -q -c 3 -i 0.05 -W 1 127.0.0.1 | sed -n 's/.* \([0-9]*\) received.*/\1/p')"
equal "lo, IPv6" 3 "$(ping -n -q -c 3 -i 0.05 -W 1 ::1 | sed -n 's/.* \([0-9]*\) received.*/\1/p')"
run 0 skep net detach xdp dev lo
equal "lo after detach" 3 "$(ping -n -q -c 3 -i 0.05 -W 1 127.0.0.1 | sed -n 's/.* \([0-9]*\) received.*/\1/p')"
equal "route_localnet is as it was" 0 "$(cat /proc/sys/net/ipv4/conf/lo/route_localnet)"

# an interface that goes away under the program
ip link delete eth1
sleep 0.3
run 0 skep net list
equal "eth1 is gone" 1 "$(grep -c '^eth[01](' <<<"$out")"
equal "eth0 goes on" 3 "$(answers "$peer" 10.9.0.1 3)"
run 0 skep net detach xdp dev eth0
finish
