#!/usr/bin/env bash
# Global variables of every kind, read by name through BTF while the program changes them.
source "$(dirname "$0")/lib.sh" "$@"
host peer
cable eth0 "$peer" 0
run 0 skep prog load "$objects/globals.bpf.o" /sys/fs/bpf/globals
run 0 skep net attach xdp name globals dev eth0
equal "pings" 4 "$(answers "$peer" 10.9.0.1 4)"
run 0 skep -j map dump name globals.bss
python3 - "$out" <<'P' || bad "globals.bss is not as the program left it: $out"
import json, sys
bss = {k: v for entry in json.loads(sys.argv[1])[0]["formatted"]["value"][".bss"] for k, v in entry.items()}
assert bss["packets"] >= 4, bss
assert bss["bytes"] > 4 * 60, bss
assert sum(bss["histogram"]) == bss["packets"], bss
assert bss["last"]["size"] > 0 and bss["last"]["kind"] in ("KIND_SMALL", "KIND_LARGE", 1, 2), bss
assert int(bss["flags"]["seen"], 16) == 1 and int(bss["flags"]["count"], 16) == bss["packets"] % 8, bss
P
run 0 skep -j map dump name globals.data
contains ".data" '"limit":1000' "$out"
contains ".data, 64 bit" '"big":81985529216486895' "$out"
run 0 skep -j map dump name globals.rodata
contains ".rodata" '"names":[' "$out"
run 0 skep map update name globals.data key 0 0 0 0 value hex {0,1,2,3}{0,1,2,3}
run 255 skep map update name globals.rodata key 0 0 0 0 value 1
run 0 rm "$SKEP_DIR/fs/globals"
run 0 skep prog show name globals
contains "attached: lives on without its pin" "xdp  name globals" "$out"
run 0 skep net detach xdp dev eth0
run 0 skep prog list
equal "nothing left" "" "$out"
run 0 skep map list
equal "no map left" "" "$out"
finish
