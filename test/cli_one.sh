#!/bin/sh
# The amalgamation: built by its one command in an empty folder, no name but prlx_* in it, the bits
# of the program for every instruction set; and the tarball. usage: cli_one.sh PRLX
. "$(dirname "$0")/cli.inc"
B=$(dirname "$P")
make=${MAKE:-make}
[ -f "$B/cuda.off" ] && cuda=CUDA=0 || cuda=
mk() { $make -s --no-print-directory BUILD="$B" $cuda "$@" >"$T/log" 2>&1; }
mk "$B/one/prlx-shell"; ok $? "make amalgamation and its build: $(tail -n 3 "$T/log")"
one=$B/one/prlx-shell

# ---- one file ----
others=$(ls "$B/one" | grep -v -e '^prlx.c$' -e '^prlx.h$' -e '^shell.c$' -e '^prlx-shell$')
[ -z "$others" ]; ok $? "three files are the whole of it: $others"
cmp -s prlx.h "$B/one/prlx.h"; ok $? "prlx.h is prlx.h"
inner=$(grep -n '^#include "' "$B/one/prlx.c" | grep -v '"prlx.h"')
[ -z "$inner" ]; ok $? "it includes prlx.h only: $inner"
nm -g --defined-only "$one" 2>/dev/null |
  awk '$3 ~ /^(graph_|plan_|g_|mem_|conv_|nifti_|par_for)/' >"$T/out"
[ ! -s "$T/out" ]; ok $? "names of the inside are static: $(head -n 3 "$T/out")"
mk amalgamation
cp "$B/prlx-amalgamation/prlx.c" "$T/again.c"
version=$("$P" --version | sed -n '1s/^prlx \([^ ]*\).*/\1/p')
sh tools/make/amalgamation.sh "$B" "$version" "$T/am" >/dev/null 2>&1
same "$T/again.c" "$T/am/prlx.c" "the same file each time"

has "$B/one/prlx.c" 'Permission is hereby granted' "its licence is in it"
# Clang knows no #pragma GCC target and rounds at other places; it must build and run all the same.
if [ -n "$TEST_LONG" ] && command -v clang >/dev/null 2>&1; then
  (cd "$B/one" && clang -O2 prlx.c shell.c -lm -lpthread -o "$T/clang-shell" 2>"$T/log")
  ok $? "Clang: $(grep -m 1 error "$T/log")"
  for isa in portable avx2 avx512; do
    expect 0 'LPIPS 0\.' env PRLX_ISA=$isa "$T/clang-shell" denoise data/ambiguous_lesion.png \
      "$T/clang.png" 2
  done
fi

# ---- the same bits ----
lesion=data/ambiguous_lesion.png
for isa in portable avx2 avx512; do
  PRLX_ISA=$isa "$one" denoise $lesion "$T/one.png" 4 >"$T/out" 2>"$T/err"
  ok $? "$isa: denoise: $(cat "$T/err")"
  PRLX_ISA=$isa "$P" project --network data/network_small.safetensors --steps 4 --no-nifti \
    --quiet --out "$T/p" $lesion >/dev/null 2>&1
  same "$T/one.png" "$T/p/ambiguous_lesion.png" "$isa: the picture"
  d=$(awk -F'\t' 'NR == 2 {print $2}' "$T/p/table.tsv")
  has "$T/out" "LPIPS $d\$" "$isa: the distance, to the last digit"
done
expect 0 '8 synthetic' "$one" generate 8 "$T/g.safetensors"
expect 0 'images' "$P" info "$T/g.safetensors"
expect 1 'nothing.png' "$one" denoise nothing.png "$T/x.png" 1
expect 0 '17 x 21' "$one" volume test/data/functional.nii
"$one" >"$T/out" 2>"$T/err"; [ $? -eq 2 ] && grep -q 'usage' "$T/err"; ok $? "usage"

# ---- the tarball ----
if git rev-parse -q --verify HEAD >/dev/null 2>&1; then
  mk dist; ok $? "make dist: $(tail -n 2 "$T/log")"
  tarball=$(ls "$B"/prlx-*.tar.gz); cp "$tarball" "$T/first.tar.gz"
  umask 077; mk dist; umask 022
  same "$T/first.tar.gz" "$tarball" "the same bytes twice"
  gzip -dc "$tarball" | tar -tf - | grep -v '/$' | sed 's|^[^/]*/||' | sort >"$T/in"
  git ls-tree -r --name-only HEAD | sort >"$T/files"
  same "$T/files" "$T/in" "every file of the commit: $(diff "$T/files" "$T/in" | head -n 3)"
  owners=$(gzip -dc "$tarball" | tar -tvf - | awk '{print $2}' | sort -u)
  [ "$owners" = root/root ]; ok $? "one owner: $owners"
else
  echo "tarball: skipped, not in a git checkout"
fi
finish
