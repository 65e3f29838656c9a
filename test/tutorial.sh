#!/bin/sh
# Follows docs/ADDING_AN_OPERATION.md to the letter: applies its patches to a copy of the sources,
# builds it and runs the gradient checks; then leaves out what an operation needs, piece by piece,
# and requires that the build refuses each. Long (TEST_LONG=1): the emulated kernel, too.
# usage: sh test/tutorial.sh      (in the root of the sources; needs make, a C compiler, patch, awk)
. "$(dirname "$0")/cli.inc"
command -v patch >/dev/null 2>&1 || { echo "tutorial: skipped, no patch"; pass; finish; exit 0; }
C=$T/copy; mkdir "$C"
tar -cf - --exclude=test/golden --exclude=test/data --exclude=paper/out Makefile prlx.h core cuda \
  io models test tools docs paper third_party | tar -xf - -C "$C"
awk '/^```diff$/ { inside = 1; next } /^```$/ { inside = 0 } inside' \
  docs/ADDING_AN_OPERATION.md >"$T/patch"
expect 0 "core/op_scan.c" sh -c "cd '$C' && patch -p1 <'$T/patch'"
[ -z "$(find "$C" -name '*.rej')" ] && pass || fail "a patch of the tutorial does not apply"
unset MAKEFLAGS MFLAGS MAKELEVEL # not those of the make that runs this
quick() { make -s -C "$C" CUDA=0 CFLAGS=-O1 BUILD=build "$@" >"$T/log" 2>&1; }
# every operation's gradients, the new one's among them, and its name in the program
quick build/f64_grad; ok $? "the copy does not build: $(tail -n 3 "$T/log")"
expect 0 " 0 failed" sh -c "cd '$C' && build/f64_grad"
expect 0 "" grep -q cumsum "$C/build/f64_grad"
if [ -n "$TEST_LONG" ] && command -v "${EMU_CXX:-g++}" >/dev/null 2>&1; then
  quick emu-programs; ok $? "the emulation does not build: $(tail -n 3 "$T/log")"
  expect 0 " 0 failed" sh -c "cd '$C' && PRLX_ONLY=cumsum build/emu/cuda_ops strict ops"
fi
# refused FILE 'sed expression that takes the piece away' TEXT
refused() {
  cp "$C/$1" "$T/keep"
  sed -e "$2" "$T/keep" >"$C/$1"
  cmp -s "$C/$1" "$T/keep" && fail "$1: nothing was taken away by $2"
  if quick build/f64_grad; then fail "$1: built without ($2)"; else pass; fi
  has "$T/log" "operation cumsum: $3" "$1"
  cp "$T/keep" "$C/$1"
}
refused cuda/cuda.h 's/ X(cumsum)//' "no kernel for the GPU"
refused test/op_cases.h '/{OP_cumsum,/d' "no case in test/op_cases.h"
refused docs/OPERATIONS.md '/^| cumsum/d' "no row in docs/OPERATIONS.md"
refused core/graph.h 's/ X(cumsum)//' "in docs/OPERATIONS.md, but not in OP_LIST"
finish
