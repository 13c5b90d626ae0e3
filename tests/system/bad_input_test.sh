#!/usr/bin/env bash
# Bad input: one line that names what is wrong, bpftool's exit code, and nothing half done.
source "$(dirname "$0")/lib.sh" "$@"
ip link add eth0 type veth peer name peer0
ip link set eth0 up
ip link set peer0 up
object=$objects/globals.bpf.o

refused() { # refused COMMAND...: exit 255, no crash, an error on stderr, nothing left behind
  run 255 "$@"
  if [[ -n $err ]]; then ok; else bad "'$*': no error message"; fi
  run 0 skep prog list
  equal "no program after '$1 $2 $3'" "" "$out"
  run 0 skep map list
  equal "no map" "" "$out"
  equal "no pin" "" "$(ls "$SKEP_DIR/fs" 2>/dev/null)"
}

size=$(stat -c %s "$object")
for cut in 0 1 16 63 64 200 1000 $((size / 2)) $((size - 100)) $((size - 1)); do
  head -c "$cut" "$object" >cut.o
  refused skep prog load cut.o /sys/fs/bpf/x
done
# overwritten at many places: refused or loaded, never a crash and never a hang
for at in $(seq 0 97 "$size"); do
  cp "$object" flip.o
  printf '\xff\xff\xff\xff' | dd of=flip.o bs=1 seek="$at" conv=notrunc 2>/dev/null
  timeout 20 skep prog load flip.o /sys/fs/bpf/flip >"$work/out" 2>"$work/err"
  code=$?
  if ((code != 0 && code != 255)); then bad "overwritten at $at: exit code $code, $(tail -n 2 "$work/err")"; else ok; fi
  rm -f "$SKEP_DIR/fs/flip"
done
run 0 skep prog list
equal "nothing left of the overwritten ones" "" "$out"

refused skep prog load nosuch.o /sys/fs/bpf/x
refused skep prog load "$source_dir/README.md" /sys/fs/bpf/x
refused skep prog load "$skep_binary" /sys/fs/bpf/x
refused skep prog load /dev/null /sys/fs/bpf/x
refused skep prog load "$object" /sys/fs/bpf/nosuchdir/x
refused skep prog load "$object" /sys/fs/bpf/x type nosuchtype
refused skep prog load "$object" /sys/fs/bpf/x map name nosuch pinned /sys/fs/bpf/y
refused skep prog load "$objects/badmap.bpf.o" /sys/fs/bpf/x
refused skep prog load "$objects/rejected.bpf.o" /sys/fs/bpf/x

run 0 skep prog load "$object" /sys/fs/bpf/x
run 255 skep prog load "$object" /sys/fs/bpf/x
run 0 skep prog list
equal "the second load left nothing" 1 "$(grep -c '^[0-9]*: xdp' <<<"$out")"
id=$(sed -n '1s/:.*//p' <<<"$out")
run 234 skep net attach xdp id "$id" dev nosuch0
one_line "wrong interface" "$err"
run 0 skep net attach xdp id "$id" dev eth0
run 240 skep net attach xdp id "$id" dev eth0
run 0 skep net detach xdp dev eth0
run 234 skep net attach xdp id 424242 dev eth0
run 255 skep prog show id 424242
run 255 skep map dump id 424242
run 255 skep nonsense
run 255 skep prog nonsense
run 255 skep prog dump xlated id "$id" file /nosuchdir/x
run 255 skep prog run id "$id" data_in /nosuch repeat 1
rm "$SKEP_DIR/fs/x"

# a full disk under the pins
if mount -t tmpfs -o size=64k,nr_inodes=12 tmpfs "$SKEP_DIR/fs" 2>/dev/null; then
  skep daemon stop >/dev/null 2>&1
  umount "$SKEP_DIR/fs" 2>/dev/null
  mkdir -p "$work/small"
  mount -t tmpfs -o size=128k,nr_inodes=10 tmpfs "$work/small"
  for i in {1..12}; do
    SKEP_DIR=$work/small/run skep prog load "$object" "/sys/fs/bpf/p$i" >"$work/out" 2>"$work/err"
    code=$?
    ((code == 0)) || break
  done
  equal "a full disk under the pins" 255 "$code"
  contains "a full disk: the message" "No space left" "$(cat "$work/err")"
  count=$(SKEP_DIR=$work/small/run skep -j prog list | grep -o '"id"' | wc -l)
  equal "a full disk: nothing half done" "$((i - 1))" "$count"
  SKEP_DIR=$work/small/run skep daemon stop
  umount "$work/small"
fi
finish
