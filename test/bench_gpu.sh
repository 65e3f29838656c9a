#!/bin/sh
# Everything bench-gpu measures, in one call of at most 10 minutes: our program, then the peer
# (PyTorch, when python3 has it with CUDA).
#
# usage: BUILD=build sh test/bench_gpu.sh
# environment: BENCH_SECONDS=570 (limit of the whole), PYTHON=python3, BENCH_JSON=file (a line per
# number; default $BUILD/gpu/bench.jsonl), DRY=1 (tiny sizes, no card needed: tries the script)
B=${BUILD:-build}
limit=${BENCH_SECONDS:-570}
PY=${PYTHON:-python3}
begin=$(date +%s)
dry=${DRY:+--dry}
prog=${BENCH_PROGRAM:-$B/gpu/bench}
left() { echo $(( limit - ($(date +%s) - begin) )); }
part() { # seconds at most, command...
  most=$1; shift; have=$(left)
  [ "$have" -lt 10 ] && { echo "skipped, no time left: $*"; return; }
  [ "$have" -lt "$most" ] && most=$have
  timeout "$most" "$@"; rc=$?
  [ $rc -eq 124 ] && echo "stopped after $most s: $*"
  [ $rc -ne 0 ] && [ $rc -ne 124 ] && echo "ended with code $rc: $*"
}
json="--json ${BENCH_JSON:-$B/gpu/bench.jsonl}"
[ -x "$prog" ] || { echo "bench-gpu: $prog is missing; run make bench-gpu"; exit 1; }
echo \
  "# $(date -u +%Y-%m-%dT%H:%MZ), commit $(git rev-parse --short HEAD 2>/dev/null || echo unknown)"
command -v nvidia-smi >/dev/null 2>&1 &&
  nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,power.limit \
    --format=csv,noheader
part 60  "$prog" $dry --part card $json
part 90  "$prog" $dry --part conv $json
part 60  "$prog" $dry --part wgmma $json
part 120 "$prog" $dry --part train $json
part 90  "$prog" $dry --part project $json
part 40  "$prog" $dry --part features $json
part 20  "$prog" $dry --part statistics $json
echo "# peer"
if [ -n "$dry" ] && "$PY" -c 'import torch' 2>/dev/null; then part 60 "$PY" test/peer_gpu.py --dry
elif "$PY" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null
then part 240 "$PY" test/peer_gpu.py --seconds "$(left)"
else echo "PyTorch with CUDA is not there: the peer is not measured"; fi
echo "# $(( $(date +%s) - begin )) s in all"
