#!/bin/sh
# Runs every test program of $BUILD, then the golden files; sums their "N passed, N failed" lines.
#
# usage: BUILD=build sh test/run.sh fast|long [emu] (long sets TEST_LONG=1 for the programs that
# have more to do; emu: the emulated CUDA sources only)
B=${BUILD:-build}; mode=${1:-fast}; P=0; F=0; log=$(mktemp)
trap 'rm -f "$log"' EXIT
trap 'exit 1' INT TERM
[ "$mode" = long ] && { TEST_LONG=1; export TEST_LONG; }
run() {
  name=$1; shift; start=$(date +%s)
  "$@" >"$log" 2>&1; rc=$?
  line=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$log" | tail -n 1)
  p=$(echo "$line" | sed -n 's/^\([0-9]*\) passed.*/\1/p')
  f=$(echo "$line" | sed -n 's/.*, \([0-9]*\) failed.*/\1/p')
  p=${p:-0}; f=${f:-0}
  if [ $rc -ne 0 ] && [ "$f" -eq 0 ]; then f=1; echo "$name: exit code $rc"; fi
  if [ "$p" -eq 0 ] && [ "$f" -eq 0 ]; then f=1; echo "$name: reported no test"; fi
  [ "$f" -ne 0 ] &&
    { grep -E 'FAIL|ERROR|runtime error|SUMMARY' "$log" | head -n 30; tail -n 5 "$log"; }
  P=$((P + p)); F=$((F + f)); echo "$name: $p passed, $f failed ($(( $(date +%s) - start )) s)"
}
# The CUDA sources without a GPU (test/cuda_emu.h): themselves, every operation, golden files,
# training, projection, and that planted faults are found.
emulated() {
  if ! command -v "${EMU_CXX:-g++}" >/dev/null 2>&1; then
    echo "CUDA emulation: skipped, no ${EMU_CXX:-g++} (a C++17 compiler is needed)"
    return
  fi
  run "CUDA emulation" "$B/emu/cuda_self"
  run "CUDA operations (emulated)" "$B/emu/cuda_ops"
  run "CUDA convolutions by wgmma (emulated)" env TEST_WGMMA=2 PRLX_ONLY="conv n" \
    "$B/emu/cuda_ops" f16 bf16 ops
  run "CUDA self-test (emulated)" env PRLX_CUDA_WGMMA=1 "$B/emu/cuda_selftest"
  run "CUDA, judges of images (emulated)" "$B/emu/cuda_judge"
  [ "$mode" = long ] && precisions="strict tf32 f16 bf16" || precisions=f16
  for p in $precisions; do run "CUDA, any batch, $p (emulated)" "$B/emu/cuda_batch" "$p"; done
  files="ops nn mapping_2c generator_cond discriminator_uncond path_length augment_r1 train_step"
  if [ "$mode" = long ]; then
    files="$files mapping_2u mapping_8c mapping_8u generator_uncond discriminator_cond"
    files="$files augment_gray augment_rgb train_step_mix projector"
  fi
  run "golden (emulated CUDA)" "$B/emu/cuda_golden" -q \
    $(for f in $files; do echo "test/golden/$f.safetensors"; done)
  if [ "$mode" = long ]; then
    for p in strict tf32 f16 bf16; do
      run "CUDA training and projection, $p (emulated)" "$B/emu/cuda_run" $p
      run "CUDA, steps of the paper configuration, $p (emulated)" "$B/emu/cuda_paper" $p
    done
    for r in 1 2; do
      run "CUDA operations, rung $r (emulated)" env TEST_RUNG=$r "$B/emu/cuda_ops" ops loops
    done
    run "CUDA, wgmma beside mma.sync (emulated)" "$B/emu/cuda_wgmma"
    run "CUDA, steps of the paper configuration by wgmma (emulated)" env TEST_WGMMA=1 \
      "$B/emu/cuda_paper" f16
    run "CUDA, any batch by wgmma, f16 (emulated)" env TEST_WGMMA=2 "$B/emu/cuda_batch" f16
    run "CUDA training by wgmma, f16 (emulated)" env TEST_WGMMA=2 "$B/emu/cuda_run" f16
    run "CUDA on the command line (emulated)" sh test/cuda_cli.sh "$B/emu/prlx"
    run "CUDA, cards that fail (emulated)" sh test/cuda_faults.sh "$B/emu/prlx"
  fi
  [ "$mode" = long ] && cards= || cards=one
  run "CUDA, sums between cards (emulated)" "$B/emu/cuda_comm" $cards
  run "CUDA ladder (emulated)" "$B/emu/ladder" --quick --card
  run "CUDA mutants" env BUILD="$B" sh test/cuda_mutants.sh "$mode"
  run "mutants of sums over processes" env BUILD="$B" sh test/comm_mutants.sh "$mode"
}
if [ "$2" = emu ]; then emulated; echo "$P passed, $F failed"; [ "$F" -eq 0 ]; exit; fi
for t in "$B"/test_* "$B"/f64_*; do
  case $t in *.o | *.d) ;; *) [ -x "$t" ] && run "$(basename "$t")" "$t" ;; esac
done
run "golden (direct convolution)" "$B/golden" test/golden
run "golden (as the programs choose)" env PRLX_CONV=auto "$B/golden" test/golden
run "golden (portable instructions)" env PRLX_ISA=portable "$B/golden" test/golden
run "golden (graphs of f16 storage)" env GOLD_HALF=1 "$B/golden" test/golden/ops.safetensors \
  test/golden/generator_*.safetensors test/golden/path_length.safetensors
emulated
for s in rooms headers maps system style_self glibc; do
  run "house: $s" env BUILD="$B" sh test/house/$s.sh
done
run "tutorial: adding an operation" sh test/tutorial.sh
run "docs/learn" sh test/learn.sh "$B" docs/learn/1_graph.md docs/learn/6_second_order.md \
  docs/learn/BITS.md docs/learn/README.md
[ "$mode" = long ] && run "docs/learn, all of it" sh test/learn.sh "$B"
[ "$mode" = long ] && [ -f docs/lab.html ] &&
  run "the lab in a browser" sh test/wasm.sh "$B/prlx" docs/lab.html
run "docs/learn/ladder" "$B/ladder" --quick
for s in test/cli_*.sh; do [ -f "$s" ] && run "$(basename "$s")" sh "$s" "$B/prlx"; done
if [ "$mode" = long ]; then
  for s in test/peer_*.sh; do [ -f "$s" ] && run "$(basename "$s")" sh "$s" "$B/prlx"; done
fi
echo "$P passed, $F failed"
[ "$F" -eq 0 ]
