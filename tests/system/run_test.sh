#!/usr/bin/env bash
# skep run: a capture through a program, in one process without a daemon.
source "$(dirname "$0")/lib.sh" "$@"
command -v python3 >/dev/null || skip "no python3 to write a capture with"
python3 - <<'P'
import struct
def frame(proto, payload, port):
    udp = struct.pack('!HHHH', 1234, port, 8 + len(payload), 0) + payload
    ip = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 20 + len(udp), 1, 0, 64, proto, 0, bytes([10,0,0,1]), bytes([10,0,0,2]))
    return bytes(6) + bytes([2]*6) + b'\x08\x00' + ip + udp
frames = [frame(17, b'x' * n, 7777 if n % 2 else 53) for n in range(40, 50)] + [bytes(20)]
with open('in.pcap', 'wb') as f:
    f.write(struct.pack('<IHHiIII', 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
    for i, p in enumerate(frames):
        f.write(struct.pack('<IIII', 1000 + i, i, len(p), len(p)) + p)
P
run 0 skep run "$objects/verdicts.bpf.o" --port pcap:in.pcap --program pass
equal "packets" 11 "$(grep -c '^packet [0-9]*: .*XDP_PASS' <<<"$out")"
contains "counted" "XDP_PASS: 11" "$out"
contains "the maps" "map counts:" "$out"
contains "the maps' values" '"value": 11' "$out"
run 0 skep run "$objects/verdicts.bpf.o" --port pcap:in.pcap,out.pcap --program rewrite
equal "out.pcap holds all" 11 "$(tcpdump -Z root -n -r out.pcap 2>/dev/null | wc -l)"
equal "rewritten" 5 "$(tcpdump -Z root -n -r out.pcap 'udp port 7778' 2>/dev/null | wc -l)"
run 0 skep run "$objects/verdicts.bpf.o" --port pcap:in.pcap,drop.pcap --program drop
equal "dropped" 0 "$(tcpdump -Z root -n -r drop.pcap 2>/dev/null | wc -l)"
run 0 skep run "$objects/traced.bpf.o" --port pcap:in.pcap --json
python3 - "$out" <<'P' || bad "not the JSON that was expected: $out"
import json, sys
d = json.loads(sys.argv[1])
assert d["program"] == "traced" and len(d["packets"]) == 11, d
assert all(p["verdict"] == "XDP_PASS" and p["trace"] == ["packet of %d bytes" % p["bytes"]] for p in d["packets"]), d
assert d["verdicts"] == {"XDP_PASS": 11}
P
run 0 skep run "$objects/globals.bpf.o" --port pcap:in.pcap --json --no-jit
python3 - "$out" <<'P' || bad "not the maps that were expected: $out"
import json, sys
d = json.loads(sys.argv[1])
bss = next(m for m in d["maps"] if m["name"] == "globals.bss")
assert any(e.get("packets") == 11 for e in bss["elements"][0]["formatted"]["value"][".bss"]), bss
P
[[ -e $SKEP_DIR ]] && bad "a daemon was started"
head -c 200 in.pcap >cut.pcap
for file in nosuch.pcap /dev/null "$objects/traced.bpf.o"; do
  run 255 skep run "$objects/traced.bpf.o" --port "pcap:$file"
  one_line "capture $file" "$err"
done
run 255 skep run "$objects/traced.bpf.o" --port pcap:cut.pcap
contains "packets before the cut" "packet 1:" "$out"
one_line "a cut capture" "$err"
run 255 skep run "$objects/traced.bpf.o" --port tape:x
run 255 skep run "$objects/traced.bpf.o" --port pcap:in.pcap --program nosuch
one_line "no such program" "$err"
run 255 skep run nosuch.o --port pcap:in.pcap
run 255 skep run "$objects/rejected.bpf.o" --port pcap:in.pcap
contains "a refused program: its log" "invalid access to packet" "$err"
run 255 skep run

# bare instructions: r0 = *(u32 *)(r1 + 0); *(u32 *)(r1 + 4) = r0; exit
copies="61 10 00 00 00 00 00 00  63 01 04 00 00 00 00 00  95 00 00 00 00 00 00 00"
echo "$copies" >copies.hex
for how in "--engine interpreter" "--engine jit" "--engine jit --unverified" "--no-jit --unverified"; do
  # shellcheck disable=SC2086  # words of the command line
  run 0 skep run --raw copies.hex --mem 0701000000000000 $how
  equal "bare instructions, $how" $'r0: 0x107\nmem: 0701000007010000' "$out"
done
run 0 skep run --raw copies.hex --mem 0701000000000000 --json
contains "as JSON" '"r0":"0x107"' "$(tr -d ' ' <<<"$out")"
run 255 skep run --raw copies.hex --mem 07
one_line "too little memory" "$err"
run 255 skep run --raw copies.hex --mem 07 --engine steam
one_line "no such engine" "$err"
run 255 skep run --raw nosuch.hex
one_line "no such file of instructions" "$err"
echo "95 00 00" >cut.hex
run 255 skep run --raw cut.hex --unverified
one_line "half an instruction" "$err"
finish
