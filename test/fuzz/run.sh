#!/bin/sh
# Runs the fuzz targets that make built, FUZZ_JOBS (2) at a time; what one finds lies in
# $BUILD/fuzz/.
# usage: BUILD=build FUZZ_SECONDS=60 sh test/fuzz/run.sh TARGET...
#        BUILD=build sh test/fuzz/run.sh minimise TARGET...
#
# Inputs found on the way stay in $BUILD/fuzz/corpus/TARGET and are the start of the next run;
# minimise puts as few and as short ones as reach the same into test/fuzz/seeds/TARGET. A total of
# runs is kept in $BUILD/fuzz/runs.tsv.
out=${BUILD:-build}/fuzz
seconds=${FUZZ_SECONDS:-60}
# Freed memory is kept apart for uses after free; the usual 256 MiB of it are new pages for each
# run.
ASAN_OPTIONS=quarantine_size_mb=16:malloc_context_size=4:${ASAN_OPTIONS:-}
export ASAN_OPTIONS

# Longest input: beyond it nothing new can happen, only more slowly.
longest() {
  case $1 in
    inflate | deflate | json | csv | tsv | bids | options) echo 1024 ;;
    dataset | png | snapshot) echo 4096 ;;
    *) echo 8192 ;;
  esac
}

# The options of a target: dictionary, length; the parsers of text print, which is thrown away.
options() {
  echo "-max_len=$(longest "$1") -timeout=10 -rss_limit_mb=2048"
  [ -f "test/fuzz/dictionaries/$1.dict" ] && echo "-dict=test/fuzz/dictionaries/$1.dict"
  [ "$1" = options ] && echo "-close_fd_mask=3"
}

one_target() {
  mkdir -p "$out/corpus/$1"
  seeds=
  [ -d "test/fuzz/seeds/$1" ] && seeds=test/fuzz/seeds/$1
  # shellcheck disable=SC2046
  if "$out/fuzz_$1" $(options "$1") -max_total_time="$seconds" -print_final_stats=1 \
    -artifact_prefix="$out/$1-" "$out/corpus/$1" $seeds >"$out/$1.log" 2>&1; then
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$out/$1.log")
    printf '%s\t%s\t%s\n' "$1" "$runs" "$seconds" >>"$out/runs.tsv"
    echo "fuzz_$1: $runs runs in $seconds s"
  else
    echo "fuzz_$1 found something: $out/$1.log"
    tail -n 20 "$out/$1.log"
    return 1
  fi
}

minimise() {
  new=$out/minimised/$1
  rm -rf "$new"
  mkdir -p "$new" "$out/corpus/$1" "test/fuzz/seeds/$1"
  # shellcheck disable=SC2046
  "$out/fuzz_$1" $(options "$1") -set_cover_merge=1 -use_counters=0 \
    "$new" "test/fuzz/seeds/$1" "$out/corpus/$1" \
    >"$out/$1.merge.log" 2>&1 || return 1
  rm -r "test/fuzz/seeds/$1"
  cp -r "$new" "test/fuzz/seeds/$1"
  echo "fuzz_$1: $(find "$new" -type f | wc -l) seeds"
}

if [ "$1" = minimise ]; then
  shift
  for f in "$@"; do minimise "$f" || exit 1; done
  exit
fi
if [ "$1" = one ]; then
  one_target "$2"
  exit
fi
printf '%s\n' "$@" | xargs -P "${FUZZ_JOBS:-2}" -n 1 sh "$0" one
