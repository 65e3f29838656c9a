#!/bin/sh
# Fails when a lower room needs a symbol or a header of a higher one (rooms.txt), and when a cycle
# of files appears or grows (cycles.txt). Reads the objects that the build left in $BUILD.
# usage: BUILD=build sh test/house/rooms.sh
B=${BUILD:-build}
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT
trap 'exit 1' INT TERM
here=$(dirname "$0")
dirs="core io models tools paper/engine"

find $dirs cuda -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' | sort >"$T/files"
xargs grep -H '^#include "' <"$T/files" |
  sed -n 's/^\([^:]*\):#include "\([^"]*\)".*/\1 \2/p' >"$T/includes"

# The objects of today's sources; of the CUDA sources those of the emulation, where they are. main.c
# knows every command: it stands above the rooms.
grep '\.c$' "$T/files" | grep -v '^tools/cli/main\.c$' | while read -r f; do
  ls "$B/${f%.c}.o" "$B/${f%.c}".portable.o 2>/dev/null
done >"$T/objects"
grep '\.cu$' "$T/files" | while read -r f; do ls "$B/emu/${f%.cu}.o" 2>/dev/null; done \
  >>"$T/objects"
xargs nm -A -P -g <"$T/objects" 2>/dev/null |
  sed "s|^$B/||; s|^emu/||; s|\.portable\.o: |: |; s|\.o: |: |" >"$T/symbols"
awk -f "$here/rooms.awk" "$here/rooms.txt" "$here/cycles.txt" "$T/includes" "$T/symbols"
