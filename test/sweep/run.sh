#!/bin/sh
# run.sh: the option sweep. usage: BUILD=build sh test/sweep/run.sh PROGRAM [STRIDE [COMMAND]]
# The inputs are made by $BUILD/prlx. SWEEP_OFFSET: which of every STRIDE cases.
B=${BUILD:-build}
R=$PWD
absolute() { case $1 in /*) echo "$1" ;; *) echo "$R/$1" ;; esac; }
P=$(absolute "$1")
B=$(absolute "$B")
# Sanitizers: an exit code of their own; a request for too much memory is answered like malloc does.
ASAN_OPTIONS=exitcode=99:allocator_may_return_null=1:max_allocation_size_mb=4096
ASAN_OPTIONS=$ASAN_OPTIONS:soft_rss_limit_mb=3000:quarantine_size_mb=16
UBSAN_OPTIONS=exitcode=99:print_stacktrace=1
PRLX_DATA=$R/data
PRLX_THREADS=2
LC_ALL=C
export ASAN_OPTIONS UBSAN_OPTIONS PRLX_DATA PRLX_THREADS LC_ALL
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT
trap 'exit 1' INT TERM
cd "$T" || exit 1
sh "$R/test/sweep/prepare.sh" "$B/prlx" "$R" || exit 1
"$B/sweep" "$P" "$R/test/sweep/commands.txt" "${2:-1}" "${SWEEP_OFFSET:-0}" ${3:+"$3"}
