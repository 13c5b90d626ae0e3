#!/usr/bin/env bash
# install_test.sh BUILD SOURCE COMPILER
set -euo pipefail
build=$1 source=$2 compiler=$3
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cmake --install "$build" --prefix "$dir/prefix" >/dev/null
object=$build/examples/firewall.bpf.o
expected=$'port 53: XDP_DROP\nport 123: XDP_PASS\nhits on port 53: 1'

cmake -S "$source/examples/embed" -B "$dir/build" -DCMAKE_PREFIX_PATH="$dir/prefix" -DCMAKE_CXX_COMPILER="$compiler" >/dev/null
cmake --build "$dir/build" >/dev/null
[[ $("$dir/build/firewall" "$object") == "$expected" ]] || { echo "FAILED: with find_package"; exit 1; }

cmake -S "$source/examples/events" -B "$dir/events" -DCMAKE_PREFIX_PATH="$dir/prefix" -DCMAKE_CXX_COMPILER="$compiler" >/dev/null
cmake --build "$dir/events" >/dev/null
[[ $("$dir/events/events" "$build/examples/events.bpf.o" | sort | uniq -c | wc -l) == 6 ]] || { echo "FAILED: the consumers"; exit 1; }

pc=$(dirname "$(find "$dir/prefix" -name skep.pc)")
read -ra flags <<<"$(PKG_CONFIG_PATH=$pc pkg-config --define-prefix --cflags --libs skep)"
"$compiler" -std=c++23 "$source/examples/embed/main.cpp" "${flags[@]}" -Wl,-rpath,"$(dirname "$pc")" -o "$dir/pc"
[[ $("$dir/pc" "$object") == "$expected" ]] || { echo "FAILED: with pkg-config"; exit 1; }

# The headers stand alone, the C one in C.
echo '#include <skep/skep.h>' | "${CC:-cc}" -std=c11 -Wall -Werror -I"$dir/prefix/include" -x c -fsyntax-only -
"$dir/prefix/bin/skep" version >/dev/null
[[ -f $dir/prefix/share/man/man1/skep.1 ]] || { echo "FAILED: no manual page installed"; exit 1; }
[[ -f $dir/prefix/share/bash-completion/completions/skep ]] || { echo "FAILED: no bash completion installed"; exit 1; }
echo ok
