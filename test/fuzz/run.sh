#!/bin/sh
# Runs fuzz targets that make built; what one finds lies in $BUILD/fuzz/.
# usage: BUILD=build FUZZ_SECONDS=60 sh test/fuzz/run.sh TARGET...
out=${BUILD:-build}/fuzz
seconds=${FUZZ_SECONDS:-60}
for f in "$@"; do
  mkdir -p "$out/corpus/$f"
  seeds=
  [ -d "test/fuzz/seeds/$f" ] && seeds=test/fuzz/seeds/$f
  echo "fuzz_$f: $seconds s"
  if "$out/fuzz_$f" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=8192 \
    -print_final_stats=1 -artifact_prefix="$out/$f-" "$out/corpus/$f" $seeds \
    >"$out/$f.log" 2>&1; then
    grep -E 'stat::(number|average)' "$out/$f.log"
  else
    echo "fuzz_$f found something: $out/$f.log"
    tail -n 20 "$out/$f.log"
    exit 1
  fi
done
