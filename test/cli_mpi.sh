#!/bin/sh
# Training by several processes through MPI: 2 and 3 processes against one, resumed with other
# numbers, failures, Ctrl-C. Needs mpicc and mpirun (Debian:
# apt install libopenmpi-dev openmpi-bin); without them it says so and only tests the program
# without MPI.
# usage: sh test/cli_mpi.sh build/prlx
. "$(dirname "$0")/cli.inc"
B=$(dirname "${1:-build/prlx}"); case $B in */*) ;; *) B=./$B ;; esac
[ -e "$B/mpi.on" ] ||
  expect 1 "built without MPI" env OMPI_COMM_WORLD_SIZE=2 "$P" train \
    "$PRLX_DATA/prlx_lesions.safetensors" --out "$T/none"
[ ! -e "$T/none" ]; ok $? "nothing is written by processes that do not know of one another"
if ! command -v mpicc >/dev/null 2>&1 || ! command -v mpirun >/dev/null 2>&1; then
  echo "no mpicc or no mpirun: training by several processes is not tested here"
  finish
  exit
fi
cuda=; [ -e "$B/cuda.off" ] && cuda=CUDA=0      # as the program was built
make -s $cuda BUILD="$B" "$B/prlx-mpi" >"$T/make" 2>&1
ok $? "make prlx-mpi: $(tail -n 3 "$T/make")"
# In a build with sanitizers: Open MPI 4.1 leaves what its plugins allocated, 121 kB of an empty
# run, in modules that are unloaded, so that no suppression can name them.
ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
export ASAN_OPTIONS
# alone, without mpirun
expect 0 "weights" "$B/prlx-mpi" train "$PRLX_DATA/prlx_lesions.safetensors" --dry-run --device cpu
OMPI_ALLOW_RUN_AS_ROOT=1
OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
OMPI_MCA_rmaps_base_oversubscribe=1
OMPI_MCA_hwloc_base_binding_policy=none
OMPI_MCA_btl_base_warn_component_unused=0; OMPI_MCA_mpi_yield_when_idle=1; PRLX_THREADS=1
export OMPI_ALLOW_RUN_AS_ROOT OMPI_ALLOW_RUN_AS_ROOT_CONFIRM OMPI_MCA_rmaps_base_oversubscribe \
  OMPI_MCA_hwloc_base_binding_policy
export OMPI_MCA_btl_base_warn_component_unused OMPI_MCA_mpi_yield_when_idle PRLX_THREADS
NET="--device cpu --channel-base 256 --channel-max 8 --z-dim 16 --w-dim 16 --no-layers --seed 3"
NET="$NET --batch 12 --batch-gpu 2 --mbstd-group 2 --g-interval 2 --d-interval 3 --eps 1e-3"
NET="$NET --p 0.4 --target 0.6 --tick 0.012"
# run N DIR KIMG MORE...: N processes
run() {
  n=$1; dir=$2; kimg=$3; shift 3
  timeout 100 mpirun -n "$n" "$B/prlx-mpi" train "$PRLX_DATA/prlx_lesions.safetensors" \
    --out "$T/$dir" --kimg "$kimg" "$@" >"$T/log.$dir" 2>"$T/err"
}
numbers() { od -An -v -tf4 -w4 -j "$(($(od -An -t u8 -N 8 "$1") + 8))" "$1"; }
# near A B TOLERANCE WHAT: the networks of two runs, number by number
near() {
  numbers "$T/$1/network.safetensors" >"$T/na"; numbers "$T/$2/network.safetensors" >"$T/nb"
  d=$(paste "$T/na" "$T/nb" | awk '
    {d = $1 - $2; if (d < 0) d = -d; b = $2 < 0 ? -$2 : $2; d /= 1 + b; if (d > m) m = d}
    END {print NR > 1000 ? m + 0 : 9}')
  awk -v d="$d" -v t="$3" 'BEGIN {exit !(d < t)}'; ok $? "$4: the networks differ by $d"
}
# told A B KEY: the same number in the last line of both logs, to 1e-3
told() {
  for f in "$1" "$2"; do
    tail -n 1 "$T/$f/metrics.jsonl" | sed "s/.*\"$3\": *\\([^,}]*\\).*/\\1/"
  done | paste - - >"$T/told"
  awk '{d = $1 - $2; if (d < 0) d = -d; b = $2 < 0 ? -$2 : $2}
    {exit !(NF == 2 && d <= 1e-3 * (1 + b))}' "$T/told"
  ok $? "$3 of $1 and $2: $(cat "$T/told")"
}

# shellcheck disable=SC2086
{
run 1 one 0.072 $NET; ok $? "one process under mpirun"
run 2 two 0.072 $NET; ok $? "two processes"
grep -q "processes      2, for 6 rounds of 2 images" "$T/log.two"
ok $? "the start says how many: $(head -c 600 "$T/log.two")"
[ "$(grep -c '^tick 0' "$T/log.two")" -eq 1 ]; ok $? "only process 0 talks"
}
near two one 1e-4 "two processes and one"
for k in g_loss d_loss score_real score_fake r_t p r1 pl pl_mean; do told two one $k; done

# ---- resumed by other numbers of processes ----
# shellcheck disable=SC2086
run 2 mixed 0.024 $NET; ok $? "first part by two"
run 1 mixed 0.048 --resume; ok $? "second part by one: $(tail -n 1 "$T/err")"
run 3 mixed 0.072 --resume; ok $? "third part by three: $(tail -n 1 "$T/err")"
near mixed one 1e-4 "resumed 2, 1, 3"; for k in g_loss p pl_mean; do told mixed one $k; done
 [ "$(wc -l <"$T/mixed/metrics.jsonl")" -eq "$(wc -l <"$T/one/metrics.jsonl")" ]
 ok $? "one line per tick"

# ---- sums beside the backward pass: the bits of one sum after it, in buckets of any size ----
for n in 2 3; do
  for bucket in 0 1 3000 1000000000; do
    # shellcheck disable=SC2086
    PRLX_BUCKET=$bucket run $n $n.$bucket 0.024 $NET
    ok $? "$n processes, buckets of $bucket bytes: $(tail -n 1 "$T/err")"
    same "$T/$n.0/network.safetensors" "$T/$n.$bucket/network.safetensors" \
      "$n processes: buckets of $bucket bytes and one sum after the phase"
  done
done
# shellcheck disable=SC2086
PRLX_THREADS=2 PRLX_BUCKET=1 run 3 3.threads 0.024 $NET
ok $? "two threads for each of three processes"
same "$T/3.0/network.safetensors" "$T/3.threads/network.safetensors" "the same bits"
expect 2 "PRLX_BUCKET.*expected bytes of gradients" env PRLX_BUCKET=8M "$B/prlx-mpi" train \
  "$PRLX_DATA/prlx_lesions.safetensors" --dry-run --device cpu

if [ -n "$TEST_LONG" ]; then
  # shellcheck disable=SC2086
  {
    run 3 three 0.072 $NET
    ok $? "three processes"
    run 2 again 0.072 $NET
    ok $? "two processes again"
  }
  near three one 1e-4 "three processes and one"
  same "$T/two/network.safetensors" "$T/again/network.safetensors" \
    "the same run by two processes twice"
fi

# ---- failures reach all ----
: >"$T/file"
timeout 60 mpirun -n 2 "$B/prlx-mpi" train "$PRLX_DATA/prlx_lesions.safetensors" \
  --out "$T/file/run" --kimg 1 --batch 4 --batch-gpu 2 >"$T/out" 2>"$T/err"
rc=$?
[ $rc -ne 0 ] && [ $rc -ne 124 ] && [ "$(grep -c 'prlx train:' "$T/err")" -eq 1 ]
ok $? "a folder that cannot be made: exit $rc, one message: $(head -n 3 "$T/err")"
run 2 one 0.1
rc=$?
[ $rc -ne 0 ] && [ $rc -ne 124 ] && grep -q -e "--resume" "$T/err"
ok $? "a folder with a run: $rc $(head -n 3 "$T/err")"

# Ctrl-C in one process, here the second
cat >"$T/child" <<'END'
echo $$ >"$1.$OMPI_COMM_WORLD_RANK"; shift
exec "$@"
END
# shellcheck disable=SC2086
timeout 100 mpirun -n 2 sh "$T/child" "$T/pid" "$B/prlx-mpi" train \
  "$PRLX_DATA/prlx_lesions.safetensors" --out "$T/stop" --kimg 100 $NET >"$T/out" 2>"$T/err" &
job=$!
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  [ -s "$T/stop/metrics.jsonl" ] && break
  sleep 0.5
done
[ -s "$T/pid.1" ] && kill -INT "$(cat "$T/pid.1")"; ok $? "the second process is found"
wait $job; rc=$?
[ $rc -ne 0 ] && [ $rc -ne 124 ] && grep -q "stopped at .* and saved" "$T/err" &&
  [ -s "$T/stop/state.safetensors" ]
ok $? "an interrupt of one stops and saves: exit $rc, $(head -n 3 "$T/err")"

# one is killed in the middle, most likely with sums under way: none of the others waits for ever
for n in 2 3; do
  rm -f "$T"/pid.*
  # shellcheck disable=SC2086
  PRLX_BUCKET=1 timeout 100 mpirun -n $n sh "$T/child" "$T/pid" "$B/prlx-mpi" train \
    "$PRLX_DATA/prlx_lesions.safetensors" --out "$T/killed$n" --kimg 100 $NET >"$T/out" \
    2>"$T/err" &
  job=$!
  for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    [ -s "$T/killed$n/metrics.jsonl" ] && break
    sleep 0.5
  done
  [ -s "$T/pid.1" ] && kill -KILL "$(cat "$T/pid.1")"; ok $? "$n processes: the second is found"
  wait $job; rc=$?
  [ $rc -ne 0 ] && [ $rc -ne 124 ]; ok $? "$n processes, one killed: exit $rc"
  alive=0
  for i in 1 2 3 4 5 6 7 8 9 10; do
    alive=0
    for f in "$T"/pid.*; do kill -0 "$(cat "$f")" 2>/dev/null && alive=$((alive + 1)); done
    [ $alive -eq 0 ] && break
    sleep 0.5
  done
  [ $alive -eq 0 ]; ok $? "$n processes, one killed: $alive still run"
done
finish
