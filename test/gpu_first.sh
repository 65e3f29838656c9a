#!/bin/sh
# gpu_first.sh: the most knowledge from ten minutes on a card that nobody has tried the program on.
#
#   sh test/gpu_first.sh pack        here, before: the programs for one architecture (ARCH=90) into
#                                    FOLDER/programs.tar.xz, about 3 MB, so that no time on the card
#                                    goes into compilers
#   sh test/gpu_first.sh run         on the card, the tree and that folder there
#   LIMIT=380 sh test/gpu_first.sh run selftest ops paper train golden runs bench wgmma ncu
#   LIMIT=280 sh test/gpu_first.sh run peer sanitize
#
# run [part...]: selftest ops paper train golden runs bench wgmma ncu peer sanitize (default: all,
# in this order: what is cheap and decides most comes first; the machine and the programs always).
# wgmma: the product of cuda/conv_wgmma.cu, which is off elsewhere: right or wrong, its speed beside
# mma.sync, training with it. Each part has a time limit and processes of its own, so that a hang or
# a dead context costs that part only. A failed part does not stop the rest: the speed of a wrong
# kernel is still knowledge, and marked.
# Logs and bench.jsonl: $OUT; the table at the end sums up.
# environment: OUT=build/gpu_first, FOLDER=.gpu, ARCH=90, LIMIT=590 seconds in all, PEER=150 of them
# for PyTorch, GPU_PROGRAMS=folder of the programs (default: the packed ones, else built there),
# DRY=1 (tiny benchmarks), SLOW=1 (factor of all limits of parts): DRY=1 SLOW=20 LIMIT=3000
# GPU_PROGRAMS=build/emu tries this script without a card
OUT=${OUT:-build/gpu_first}
FOLDER=${FOLDER:-.gpu}
ARCH=${ARCH:-90}
LIMIT=${LIMIT:-590}
PEER=${PEER:-150}
PROGRAMS="prlx bench cuda_ops cuda_run cuda_golden cuda_selftest cuda_paper cuda_judge cuda_wgmma"
BEGIN=$(date +%s)
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT
trap 'exit 1' INT TERM
mkdir -p "$OUT"
SUM=$OUT/summary.log
dry=${DRY:+--dry}

pack() {
  B=build/sm$ARCH
  make CUDA=1 CUDA_ARCHS="$ARCH" BUILD="$B" "$B/prlx" gpu-programs >"$OUT/pack.log" 2>&1 || {
    tail -n 5 "$OUT/pack.log"
    exit 1
  }
  mkdir -p "$FOLDER" "$T/p"
  for p in $PROGRAMS; do
    if [ "$p" = prlx ]; then cp "$B/prlx" "$T/p/"; else cp "$B/gpu/$p" "$T/p/"; fi || exit 1
    strip "$T/p/$p"
  done
  git rev-parse --short HEAD >"$T/p/commit" 2>/dev/null
  # programs that are nearly the same: one dictionary for all of them
  tar -C "$T/p" -cf - . | xz --lzma2=preset=3,dict=64MiB >"$FOLDER/programs.tar.xz" || exit 1
  echo "programs: $(du -k "$FOLDER/programs.tar.xz" | cut -f1) KiB in $FOLDER"
  git ls-files -z -c -o --exclude-standard 2>/dev/null | xargs -0 du -ck 2>/dev/null |
    awk '/total$/ { s += $1 } END { print "tree: " int(s / 1024) " MiB" }'
}

left() { echo $((LIMIT - ($(date +%s) - BEGIN))); }
say() { echo "$*" | tee -a "$SUM"; }

# part LOG SECONDS NAME command...: one line of verdict in the table, all of it in $OUT/LOG.log
part() {
  log=$OUT/$1.log; most=$(($2 * ${SLOW:-1})); name=$3; shift 3; have=$(left)
  [ "$have" -lt 8 ] && { say "$name: SKIPPED, no time left"; return 125; }
  [ "$have" -lt "$most" ] && most=$have
  start=$(date +%s)
  timeout -k 3 "$most" "$@" >"$T/o" 2>&1
  rc=$?
  spent=$(($(date +%s) - start))
  { echo "==== $name: $*"; cat "$T/o"; echo "==== code $rc, $spent s"; } >>"$log"
  line=$(grep -E '^[0-9]+ passed, [0-9]+ failed|all passed|ERROR SUMMARY' "$T/o" | tail -n 1)
  [ $rc = 0 ] && verdict=ok || verdict="FAILED code $rc"
  [ $rc = 124 ] && verdict="STOPPED after $most s"
  say "$name: $verdict $line ($spent s)"
  [ $rc = 0 ] || grep -E 'FAIL|ERROR|rror:|fault|Invalid|hazard' "$T/o" | cut -c 1-230 |
    head -n 6 | tee -a "$SUM"
  return $rc
}
dead() {
  grep -qiE 'illegal|misaligned|unspecified launch|launch timed out|uncorrectable' "$T/o"
}
sanitizer() {
  command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null
}

# ---- what there is ----
machine() {
  { nvidia-smi; nvidia-smi -q -d CLOCK,POWER,ECC,TEMPERATURE; nvcc --version; uname -r; nproc
    free -g; ldd --version
    python3 -c 'import torch; print(torch.__version__, torch.version.cuda)'; } \
    >"$OUT/machine.log" 2>&1
  query=name,driver_version,memory.total,clocks.max.sm,clocks.max.mem,power.limit
  say "$(nvidia-smi --query-gpu=$query --format=csv,noheader 2>/dev/null | head -n 1)" \
    "$(nproc) cores"
}

# The packed programs; where they do not run, a build for this card only.
programs() {
  P=${GPU_PROGRAMS:-$T/p}
  if [ -z "$GPU_PROGRAMS" ] && [ -f "$FOLDER/programs.tar.xz" ]; then
    mkdir -p "$P" && tar -C "$P" -xJf "$FOLDER/programs.tar.xz"
  fi
  if "$P/cuda_ops" strict optimiser >"$T/o" 2>&1; then
    say "programs: those of $P run ($(cat "$P/commit" 2>/dev/null || echo commit unknown))"
    return 0
  fi
  head -n 3 "$T/o" 2>/dev/null | tee -a "$SUM"
  [ -z "$GPU_PROGRAMS" ] || return 1
  part tests 240 "build for this card" make CUDA=1 CUDA_ARCHS=native BUILD=build/native \
    build/native/prlx gpu-programs || return 1
  P=build/native/gpu
  cp build/native/prlx "$P/"
}

# ---- parts ----
part_selftest() {
  part tests 30 "self-test" "$P/cuda_selftest"
  part tests 30 "prlx check" "$P/prlx" check --device cuda
  part tests 30 "judges of images" "$P/cuda_judge"
}

# A dead context hides what comes after it: then one process per operation, memcheck on the first
# bad one.
part_ops() {
  part tests 60 "operations" "$P/cuda_ops" && return
  dead || return
  say "the context died: one process per operation"
  first=
  for o in conv matmul upfirdn permute slice pad concat roll flip reflect affine_grid grid_sample \
    resize warp maxpool softmax sum lrelu loop store network; do
    PRLX_ONLY=$o timeout 20 "$P/cuda_ops" strict f16 >"$T/o" 2>&1 && continue
    say "  $o: FAILED: $(grep -m 1 FAIL "$T/o" | cut -c 1-200)"
    : "${first:=$o}"
  done
  [ -n "$first" ] && [ -n "$(sanitizer)" ] &&
    PRLX_ONLY=$first part tests 60 "memcheck of $first" "$(sanitizer)" --tool memcheck \
      --print-limit 5 --error-exitcode 9 "$P/cuda_ops" strict f16
}

# Every step of the paper's plans by its definition: the products that matter most first.
part_paper() {
  for p in f16 tf32 strict bf16; do
    part paper 60 "steps of the paper configuration, $p" "$P/cuda_paper" $p
  done
}

# The paper's network end to end: losses of three iterations (launched, captured, replayed) against
# the CPU at batch 8, and f16 against strict at batch 64. losses NAME DEVICE PRECISION BATCH
losses() {
  images=$4
  part train 90 "paper network, batch $images, $2 $3" "$P/prlx" train \
    data/prlx_lesions.safetensors --config paper --aug none --no-layers --lr 0.00001 \
    --batch "$images" --device "$2" --precision "$3" \
    --kimg "$(awk "BEGIN { print 3 * $images / 1000 }")" \
    --tick "$(awk "BEGIN { print $images / 1000 }")" --snap 1000 --force --out "$T/$1"
}
# compare NAME NAME LIMIT: largest relative difference of the losses of two runs
compare() {
  awk -v limit="$3" -v names="$1 and $2" '
    function value(line, key) {
      if (!match(line, "\"" key "\":[-+0-9.eE]+")) return "none"
      line = substr(line, RSTART, RLENGTH); sub(/.*:/, "", line); return line + 0
    }
    FNR == NR { a[FNR] = $0; n = FNR; next }
    { split("g_loss d_loss score_real score_fake", key, " ")
      for (k = 1; k <= 4; k++) {
        x = value(a[FNR], key[k]); y = value($0, key[k])
        if (x == "none" || y == "none") continue
        s = x < 0 ? -x : x; t = y < 0 ? -y : y; if (t > s) s = t; if (s < 0.05) s = 0.05
        d = (x - y) / s; if (d < 0) d = -d; seen++
        if (!(d <= worst)) { worst = d; at = key[k] " of line " FNR ": " x " and " y }
      } }
    END { verdict = n == FNR && seen > 0 && worst <= limit ? "agree" : "DIFFER"
      printf "  %s: %s, worst %.2g (%s)\n", names, verdict, worst, at }' \
    "$T/$1/metrics.jsonl" "$T/$2/metrics.jsonl" 2>&1 | tee -a "$SUM"
}
part_train() {
  losses cpu8 cpu auto 8 && losses strict8 cuda strict 8 && compare cpu8 strict8 1e-3
  for p in tf32 f16 bf16; do
    losses ${p}8 cuda $p 8 && compare cpu8 ${p}8 5e-2
  done
  losses strict64 cuda strict 64 && losses f16_64 cuda f16 64 && compare strict64 f16_64 5e-2
}

part_golden() { part tests 60 "golden files, strict" "$P/cuda_golden" -q test/golden; }
part_runs() {
  for p in strict tf32 f16 bf16; do
    part tests 30 "training and projection, tiny, $p" "$P/cuda_run" $p
  done
}
part_bench() {
  for b in card:40 conv:90 train:110 project:60 statistics:20; do
    part bench "${b#*:}" "bench ${b%:*}" "$P/bench" $dry --part "${b%:*}" --json "$OUT/bench.jsonl"
    grep -E 'GB/s|mma|FMA|f16 |training, paper|projection, paper|resamples|failed|WRONG' "$T/o" |
      cut -c 1-170 | head -n 26 >>"$SUM"
  done
}

# What is off by default, tried: the self-test with it, both products on the same operands, every
# operation, the paper's steps; then its speed beside the other, right or not.
part_wgmma() {
  part wgmma 40 "self-test with wgmma" env PRLX_CUDA_WGMMA=1 "$P/cuda_selftest"
  part wgmma 60 "wgmma beside mma.sync" "$P/cuda_wgmma" f16 bf16
  grep -E 'products twice|nothing to compare' "$T/o" | tee -a "$SUM"
  PRLX_ONLY='conv n' part wgmma 40 "convolutions by wgmma" env TEST_WGMMA=2 "$P/cuda_ops" f16 \
    bf16 ops
  part wgmma 60 "steps of the paper configuration by wgmma" env TEST_WGMMA=1 "$P/cuda_paper" f16
  part bench 60 "bench wgmma" "$P/bench" $dry --part wgmma --json "$OUT/bench.jsonl"
  grep -E 'mma.sync|wgmma|WRONG' "$T/o" | cut -c 1-170 | head -n 60 >>"$SUM"
  part bench 60 "bench train by wgmma" env PRLX_CUDA_WGMMA=1 "$P/bench" $dry --part train \
    --json "$OUT/bench.jsonl"
  grep -E 'training, paper' "$T/o" | cut -c 1-170 | head -n 4 >>"$SUM"
}

# Where the time goes inside an iteration: share of the bandwidth and of the tensor cores.
part_ncu() {
  N=$(command -v ncu || ls /opt/nvidia/nsight-compute/*/ncu 2>/dev/null | tail -n 1)
  [ -n "$N" ] || { say "ncu is not there"; return; }
  metrics=gpu__time_duration.sum,dram__bytes.sum
  metrics=$metrics,dram__throughput.avg.pct_of_peak_sustained_elapsed
  metrics=$metrics,lts__throughput.avg.pct_of_peak_sustained_elapsed
  metrics=$metrics,sm__inst_executed_pipe_tensor.avg.pct_of_peak_sustained_active
  part ncu 90 "ncu, kernels of an iteration" "$N" --clock-control none --kill yes --csv --page raw \
    -k 'regex:pw_|multi_|fir4|filter_last|conv_pack|conv_gemm|conv_reduce|matmul' \
    --launch-skip 40 \
    --launch-count 260 --metrics "$metrics" "$P/bench" --part train
}
part_peer() {
  part peer "$PEER" "PyTorch" "${PYTHON:-python3}" -u test/peer_gpu.py $dry --seconds "$PEER"
  grep -E 'training|projection|features|torch|fail' "$T/o" | cut -c 1-150 | head -n 30 >>"$SUM"
}
part_sanitize() {
  S=$(sanitizer)
  [ -n "$S" ] || { say "compute-sanitizer is not there"; return; }
  PRLX_ONLY="conv " part sanitize 60 "racecheck, convolutions" "$S" --tool racecheck \
    --print-limit 5 --error-exitcode 9 "$P/cuda_ops" f16 ops
  for t in memcheck synccheck racecheck initcheck; do
    part sanitize 90 "$t" "$S" --tool $t --print-limit 5 --error-exitcode 9 "$P/cuda_ops" \
      strict f16 ops loops
  done
}

run() {
  parts=${*:-selftest ops paper train golden runs bench wgmma ncu peer sanitize}
  for p in $parts; do
    case " selftest ops paper train golden runs bench wgmma ncu peer sanitize " in
      *" $p "*) ;;
      *) echo "gpu_first: no part \"$p\""; exit 2 ;;
    esac
  done
  rm -f "$OUT"/*.log "$OUT/bench.jsonl"
  machine
  programs || { say "no programs that run here"; exit 1; }
  for p in $parts; do part_"$p"; done
  say "$(($(date +%s) - BEGIN)) s in all"
  echo
  echo "======== summary"
  head -c 11000 "$SUM"
  ! grep -qE 'FAILED|STOPPED|DIFFER|WRONG' "$SUM"
}

case ${1:-} in
  pack) pack ;;
  run)
    shift
    run "$@"
    ;;
  *)
    sed -n '2,21p' "$0"
    exit 2
    ;;
esac
