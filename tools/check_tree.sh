#!/usr/bin/env bash
# What a compiler does not see: sizes of files, documents that name what is gone, rooms without a README.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bad=0
complain() {
  echo "check_tree: $*" >&2
  bad=1
}

while read -r lines file; do
  ((lines <= 800)) || complain "$file has $lines lines (at most 800): look for the seam"
done < <(git ls-files 'src/*.cpp' 'src/*.hpp' | xargs wc -l | sed '$d' | awk '{print $1, $2}')

for room in src/*/; do
  [[ -n $(git ls-files "$room") ]] || continue
  [[ -f ${room}README.md ]] || complain "${room} has no README.md"
done

# shellcheck disable=SC2016  # the backticks are the documents'
# Every path in backticks that looks like one of ours must exist.
while IFS=: read -r doc path; do
  [[ -e $path || -e $(dirname "$doc")/$path || -e src/$path || -e include/$path ]] || complain "$doc names $path, which does not exist"
done < <(git ls-files '*.md' | grep -v '^tests/golden/' | xargs grep -oHE '`(src|tests|tools|include|docs|examples|fuzz|bench|cmake)/[A-Za-z0-9_./-]+`' | tr -d '`')

exit $bad
