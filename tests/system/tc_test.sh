#!/usr/bin/env bash
# tcx programs on both sides of an interface: they see real packets, in their order, beside XDP, and leave no trace.
source "$(dirname "$0")/lib.sh" "$@"
host peer
cable eth0 "$peer" 0
run 0 skep prog loadall "$objects/tc.bpf.o" /sys/fs/bpf/tc
pin() { echo pinned "/sys/fs/bpf/tc/$1"; }
counter() { skep -j map dump name tc.bss | grep -o "\"$1\":[0-9]*" | head -n 1 | cut -d: -f2; }

for side in ingress egress; do
  # shellcheck disable=SC2046
  run 0 skep net attach "tcx_$side" $(pin go_on) dev eth0
  before=$(counter seen_next)
  equal "$side: pings pass" 5 "$(answers "$peer" 10.9.0.1 5)"
  if (($(counter seen_next) >= before + 5)); then ok; else bad "$side: the program saw too little"; fi
  # shellcheck disable=SC2046
  run 0 skep net attach "tcx_$side" $(pin drop_icmp) dev eth0
  equal "$side: pings are dropped behind it" 0 "$(answers "$peer" 10.9.0.1 2)"
  # before both: its verdict is the last word
  # shellcheck disable=SC2046
  run 0 skep net attach "tcx_$side" $(pin accept) dev eth0 prepend
  equal "$side: the first verdict counts" 5 "$(answers "$peer" 10.9.0.1 5)"
  run 0 skep net list
  equal "$side: order" "accept go_on drop_icmp" "$(sed -n "s#.*tcx/$side \([a-z_]*\) .*#\1#p" <<<"$out" | xargs)"
  # shellcheck disable=SC2046
  run 239 skep net attach "tcx_$side" $(pin accept) dev eth0
  contains "$side: twice" "interface tcx_$side attach failed: File exists" "$err"
  run 0 skep net detach "tcx_$side" dev eth0
  run 0 skep net detach "tcx_$side" dev eth0
  run 0 skep net detach "tcx_$side" dev eth0
  run 254 skep net detach "tcx_$side" dev eth0
  contains "$side: nothing left" "interface tcx_$side detach failed: No such file or directory" "$err"
  equal "$side: pings pass again" 5 "$(answers "$peer" 10.9.0.1 5)"
  equal "$side: no table stays" "" "$(nft list tables 2>/dev/null)"
done

# redirects: away from here, and a copy beside the packet itself
host other
cable eth1 "$other" 1
index=$(ip -o link show dev eth1 | cut -d: -f1)
run 0 skep map update name .data.target key 0 0 0 0 value "$index" 0 0 0
sent() { on "$other" cat /proc/net/dev | awk '$1 == "eth0:" { print $3 }'; }
before=$(sent)
# shellcheck disable=SC2046
run 0 skep net attach tcx_ingress $(pin elsewhere) dev eth0
equal "redirected packets do not arrive here" 0 "$(answers "$peer" 10.9.0.1 3)"
if (($(sent) >= before + 3)); then ok; else bad "redirected packets do not leave eth1"; fi
run 0 skep net detach tcx_ingress dev eth0
before=$(sent)
# shellcheck disable=SC2046
run 0 skep net attach tcx_ingress $(pin mirror) dev eth0
equal "mirrored packets arrive" 5 "$(answers "$peer" 10.9.0.1 5)"
if (($(sent) >= before + 5)); then ok; else bad "no copies leave eth1"; fi
run 0 skep net detach tcx_ingress dev eth0
ip link delete eth1

# both sides and XDP at once
run 0 skep prog load "$objects/globals.bpf.o" /sys/fs/bpf/xdp
run 0 skep net attach xdp pinned /sys/fs/bpf/xdp dev eth0
# shellcheck disable=SC2046
run 0 skep net attach tcx_ingress $(pin go_on) dev eth0
# shellcheck disable=SC2046
run 0 skep net attach tcx_egress $(pin go_on) dev eth0
before=$(counter seen_next)
equal "XDP, ingress and egress" 5 "$(answers "$peer" 10.9.0.1 5)"
if (($(counter seen_next) >= before + 10)); then ok; else bad "both sides see each ping"; fi
run 0 skep net detach xdp dev eth0
equal "tc stays without XDP" 5 "$(answers "$peer" 10.9.0.1 5)"
pid=$(skep daemon status | sed -n 's/.*pid[ :]*\([0-9]*\).*/\1/p' | head -n 1)
kill -9 "$pid"
sleep 0.3
equal "after kill -9 no table stays" "" "$(nft list tables 2>/dev/null)"
equal "after kill -9 no device stays" "eth0 lo" "$(ip -o link | awk -F'[ @:]+' '{print $2}' | sort | xargs)"
equal "after kill -9 pings pass" 5 "$(answers "$peer" 10.9.0.1 5)"
finish
