#!/bin/sh
# The documents tell the truth about the sources: in a table with a `file` and a `function` in its
# last two columns each function is defined in that file, and every path that a document names in
# backquotes or links to is there, and README.md lists the commands that there are.
# usage: sh test/house/maps.sh
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT
trap 'exit 1' INT TERM
passed=0
failed=0
ok() {
  if [ "$1" -eq 0 ]; then passed=$((passed + 1)); else
    failed=$((failed + 1))
    echo "FAIL: $2"
  fi
}

# rows DOCUMENT: "FILE FUNCTION" of each row of its map
rows() { sed -n 's/^|.*| `\([a-z0-9_/]*\.[chu]*\)` | `\([a-z0-9_]*\)` |$/\1 \2/p' "$1"; }
for doc in docs/TOUR.md paper/README.md docs/learn/PAPER.md; do
  rows "$doc" >"$T/rows"
  [ "$(wc -l <"$T/rows")" -ge 30 ]
  ok $? "$doc: only $(wc -l <"$T/rows") rows of its map can be read"
  while read -r file name; do
    grep -E -q "^[A-Za-z].*[ *]$name\(" "$file" 2>/dev/null
    ok $? "$doc: no function $name in $file"
  done <"$T/rows"
done

# Paths: in backquotes those that start with a room, in links all that point into the tree.
for doc in *.md docs/*.md docs/learn/*.md docs/learn/*/*.md cuda/*.md test/README.md \
  test/golden/README.md data/README.md paper/README.md; do
  [ -f "$doc" ] || continue
  here=$(dirname "$doc")
  {
    grep -o '`[a-z_]*/[A-Za-z0-9_./-]*`' "$doc" | tr -d '`' |
      grep -E '^(core|cuda|io|models|tools|paper|test|docs|data|third_party)/' |
      grep -v -E '^(paper/out|data/(inception_v3|vgg16)_)' || :
    grep -o '](\([A-Za-z0-9_./-]*\)' "$doc" | sed 's/^](//' | grep -v -E '^$|^https?$' |
      sed "s|^|$here/|" || :
  } | sort -u >"$T/paths"
  while read -r path; do
    [ -e "$path" ]
    ok $? "$doc names $path, which is not there"
  done <"$T/paths"
done

# Commands: the table of README.md and TOOL_LIST name the same ones.
sed -n 's/^  X(\([a-z_]*\), ".*/\1/p' tools/cli/tool.h | tr _ - | sort >"$T/commands"
sed -n '/^## Commands/,/^## /p' README.md | grep '^|' | grep -o '`[^`]*`' | tr -d '`' |
  sed -n 's/^prlx \([a-z][a-z-]*\).*/\1/p; s/^\([a-z][a-z-]*\)$/\1/p' | sort -u >"$T/named"
while read -r name; do
  grep -q -x -e "$name" "$T/named"
  ok $? "README.md has no row of the command $name"
done <"$T/commands"
while read -r name; do
  grep -q -x -e "$name" "$T/commands"
  ok $? "README.md names the command $name, which is not in tools/cli/tool.h"
done <"$T/named"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
