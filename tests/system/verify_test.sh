#!/usr/bin/env bash
# `skep verify`: every option, on programs whose verdicts are Linux 6.18's (recorded with --against linux).
source "$(dirname "$0")/lib.sh" "$@"
object=$objects/judged.bpf.o

# verdict NAME: its line without times and counts, which change with compilers
verdict() { sed -nE "s/^.* $1 \(([a-z_]+), [0-9]+ insns\): (accept|reject, errno [0-9]+), [0-9]+ processed, [0-9]+ us(: )?/\1 \2 /p" <<<"$out"; }
run 255 skep verify "$object"
equal "a firewall with bpf_loop() and a spin lock" "sched_cls accept " "$(verdict firewall)"
equal "IPv6 extension headers" "xdp accept " "$(verdict extension_headers)"
equal "no comparison" "xdp reject, errno 13 R1 offset is outside of the packet" "$(verdict not_compared | sed 's/R[0-9] /R1 /')"
equal "a leak" "sched_cls reject, errno 22 BPF_EXIT instruction in main prog would lead to reference leak" "$(verdict leaks)"
equal "a function that the kernel lacks" "sched_cls reject, errno 22 invalid func unknown#2002000000" "$(verdict missing_kfunc)"
equal "a section of older times" "xdp accept " "$(verdict old_section)"
equal "a flag from a tag" "sched_cls reject, errno 13 misaligned packet access off 2+0+1+0 size 4" "$(verdict strictly_aligned | sed -E 's/off .* size/off 2+0+1+0 size/')"
equal "trusted arguments of global functions" "tracing accept " "$(verdict trusted)"
equal "NULL for one" "kprobe reject, errno 13 Caller passes invalid args into func#1 ('known_pid_of')" "$(verdict null_for_trusted)"
equal "a message that a source line follows" "xdp reject, errno 13 invalid bpf_context access off=100 size=4" "$(verdict no_field)"
equal "every program" 10 "$(grep -c judged.bpf.o <<<"$out")"

run 0 skep verify --program firewall "$object"
equal "--program" 1 "$(grep -c judged.bpf.o <<<"$out")"
run 255 skep verify --program nothing "$object"
contains "--program that is not there" "no program 'nothing' in these objects" "$err"
run 255 skep verify --log-level 1 --program not_compared "$object"
contains "--log-level 1" "R10=fp0" "$out"
contains "--log-level 1: source lines" "; __u8 *data = (void *)(long)ctx->data; @ judged.bpf.c" "$out"
run 0 skep verify --log-level 2 --program old_section "$object"
contains "--log-level 2" "Live regs before insn" "$out"
run 255 skep verify --log-level 16 "$object"
contains "--log-level 16" "the log level is a number from 0 to 15" "$err"
run 0 skep verify --threads 1 --program old_section "$object" "$object"
equal "two objects" 2 "$(grep -c "accept" <<<"$out")"

run 255 skep -j verify "$object"
fields='import json, sys
rows = {r["program"]: r for r in json.load(sys.stdin)}
r = rows["leaks"]
print(len(rows), r["verdict"], r["errno"], r["type"], r["section"], r["processed"] > 5, r["insns"] > 5, "would lead" in r["message"])
print("tag" in r, len(rows["firewall"]["tag"]), int(rows["firewall"]["tag"], 16) != 0)'
equal "-j" "10 reject 22 sched_cls tc True True True
False 16 True" "$(python3 -c "$fields" <<<"$out")"

run 255 skep verify --explain --program not_compared "$object"
contains "--explain: where" "source: return data[0] ? XDP_PASS : XDP_DROP; @ judged.bpf.c" "$out"
contains "--explain: values" "= pkt(r=0)" "$out"
contains "--explain: what mends it" "compare the pointer plus the size of the access with data_end" "$out"
run 255 skep verify --explain --program leaks "$object"
contains "--explain: a leak" "given back on every path" "$out"

printf 'b7 00 00 00 02 00 00 00\n95 00 00 00 00 00 00 00\n' >pass.hex
printf '\xb7\x00\x00\x00\x02\x00\x00\x00\x95\x00\x00\x00\x00\x00\x00\x00' >pass.bin
printf '61 10 04 00 00 00 00 00 71 00 00 00 00 00 00 00 95 00 00 00 00 00 00 00' >end.hex
run 0 skep verify --raw xdp pass.hex
contains "--raw, hexadecimal" "pass.hex: accept, 2 processed" "$out"
run 0 skep verify --raw xdp pass.bin
contains "--raw, bytes" "pass.bin: accept, 2 processed" "$out"
run 255 skep verify --raw xdp end.hex
contains "--raw, refused" "reject, errno 13, 2 processed" "$out"
contains "--raw, refused: why" "R0 invalid mem access 'pkt_end'" "$out"
run 255 skep verify --raw no_type pass.hex
contains "--raw, no type" "'no_type' is not a program type" "$err"
head -c 12 pass.bin >cut.bin
run 255 skep verify --raw xdp cut.bin
contains "--raw, cut" "12 bytes are no instructions of 8 bytes each" "$err"
run 255 skep verify --btf "$work/none" "$object"
contains "--btf, no file" "$work/none" "$err"
if [[ -r /sys/kernel/btf/vmlinux ]]; then
  run 255 skep verify --btf /sys/kernel/btf/vmlinux "$object"
  equal "--btf" "sched_cls accept " "$(verdict firewall)"
fi
if ((EUID == 0)) && skep --kernel linux prog list >/dev/null 2>&1 && [[ $(uname -r) == 6.18.* ]]; then
  run 0 skep verify --against linux "$object"
  equal "--against linux" "" "$(grep differs <<<"$out")"
fi
finish
