#!/usr/bin/env bash
# Several XDP programs on one interface: their order, which results go on, and taking one of them away.
source "$(dirname "$0")/lib.sh" "$@"
host peer
cable eth0 "$peer" 0
run 0 skep prog loadall "$objects/chain.bpf.o" /sys/fs/bpf/chain
pin() { echo pinned "/sys/fs/bpf/chain/$1"; }
counter() { skep -j map dump name chain.bss | grep -o "\"$1\":[0-9]*" | head -n 1 | cut -d: -f2; }
# ran: who ran since the last call, in the letters f(irst) s(tops) p(lain) d(rops)
declare -A before=()
ran() {
  local name now who=""
  for name in first stops plain drops; do
    now=$(counter "ran_$name")
    ((now > ${before[$name]:-0})) && who+=${name:0:1}
    before[$name]=$now
  done
  echo "$who"
}
order() { skep net list dev eth0 | sed -n 's/.* id \([0-9]*\) priority.*/\1/p' | while read -r id; do
  skep -j prog show id "$id" | grep -o '"name":"[a-z]*"' | cut -d'"' -f4; done | xargs; }
# The neighbour tables must be full before somebody counts packets that come back.
answers "$peer" 10.9.0.1 1 >/dev/null

# shellcheck disable=SC2046
run 0 skep net attach xdp $(pin plain) dev eth0 multi
equal "one: pings pass" 3 "$(answers "$peer" 10.9.0.1 3)"
ran >/dev/null
# its BTF says priority 10, and that XDP_TX goes on
# shellcheck disable=SC2046
run 0 skep net attach xdp $(pin first) dev eth0 multi
equal "order by priority" "first plain" "$(order)"
equal "two: XDP_TX of the first goes on" 3 "$(answers "$peer" 10.9.0.1 3)"
equal "two: both ran" fp "$(ran)"
# priority 20 of its BTF; nothing goes on behind it
# shellcheck disable=SC2046
run 0 skep net attach xdp $(pin stops) dev eth0 multi
equal "three: order" "first stops plain" "$(order)"
equal "three: pings pass" 3 "$(answers "$peer" 10.9.0.1 3)"
ran >/dev/null
answers "$peer" 10.9.0.1 3 >/dev/null
equal "three: the last did not run" fs "$(ran)"
# words go before BTF
# shellcheck disable=SC2046
run 0 skep net attach xdp $(pin drops) dev eth0 priority 5 chain_call pass,tx
equal "four: order" "drops first stops plain" "$(order)"
equal "four: dropped before all" 0 "$(answers "$peer" 10.9.0.1 2)"
ran >/dev/null
answers "$peer" 10.9.0.1 1 >/dev/null
equal "four: only the first ran" d "$(ran)"
run 0 skep -p net list dev eth0
contains "JSON: priority" '"priority": 5' "$out"
contains "JSON: actions" '"chain_call": ["XDP_PASS","XDP_TX"' "$out"
run 0 skep net list
contains "text" "chain_call XDP_PASS,XDP_TX" "$out"

# what is refused
# shellcheck disable=SC2046
run 239 skep net attach xdp $(pin plain) dev eth0 multi
contains "twice" "Program is already one of the interface's" "$err"
# shellcheck disable=SC2046
run 240 skep net attach xdp $(pin plain) dev eth0
contains "alone beside several" "XDP program already attached" "$err"
# shellcheck disable=SC2046
run 255 skep net attach xdp $(pin plain) dev eth0 chain_call pass,often
contains "no action" "'often' is no XDP action" "$err"

# one goes, the others stay
# shellcheck disable=SC2046
run 0 skep net detach xdp dev eth0 $(pin drops)
equal "without the one that drops: order" "first stops plain" "$(order)"
equal "without the one that drops: pings pass" 3 "$(answers "$peer" 10.9.0.1 3)"
# shellcheck disable=SC2046
run 254 skep net detach xdp dev eth0 $(pin drops)
contains "not there any more" "is not one of the interface's" "$err"
# shellcheck disable=SC2046
run 0 skep net detach xdp dev eth0 $(pin stops)
ran >/dev/null
answers "$peer" 10.9.0.1 1 >/dev/null
equal "without the one that stops" fp "$(ran)"
# a dispatcher ends in XDP_PASS where the last one lets its result go on
# shellcheck disable=SC2046
run 0 skep net attach xdp $(pin drops) dev eth0 priority 90 chain_call drop
equal "the last one's XDP_DROP goes on" 3 "$(answers "$peer" 10.9.0.1 3)"
run 0 skep net detach xdp dev eth0
run 0 skep net list
equal "all are gone" "" "$(order)"
equal "pings pass without programs" 2 "$(answers "$peer" 10.9.0.1 2)"
# alone, then several
# shellcheck disable=SC2046
run 0 skep net attach xdp $(pin plain) dev eth0
# shellcheck disable=SC2046
run 240 skep net attach xdp $(pin first) dev eth0 multi
contains "several beside one that is alone" "XDP program already attached" "$err"
run 0 skep net detach xdp dev eth0
finish
