#!/bin/sh
# cli_machine.sh: machines that have less: 256 MiB, one core, no writable /tmp, file systems that
# cannot map, rename, link, flush or lock, an output that is mounted. The same result, or one line
# of reason and nothing left. (Numbers with a comma: test_locale.c. Files of more than 2 GB where
# there are 32 bits: cross/run.sh.) usage: cli_machine.sh PROGRAM
. "$(dirname "$0")/cli.inc"
G=$PWD/test/golden
SOURCE=$PWD/test/faults/preload.c
cd "$T" || exit 1
NET=net.safetensors
cp "$G/generator_uncond.safetensors" $NET
GENERATE="generate --network $NET --seeds 0-7 --quiet"
TRAIN="train data.safetensors --channel-base 64 --channel-max 4 --z-dim 4 --w-dim 4 --batch 4
  --mbstd-group 4 --tick 0.004 --snap 1 --no-layers --quiet --kimg 0.004"
# shellcheck disable=SC2086
"$P" $GENERATE -o here >/dev/null
cp here/dataset.safetensors data.safetensors
# shellcheck disable=SC2086
"$P" $TRAIN -o run >/dev/null
PHANTOM="phantom --subjects 1 --rim 1 --ambiguous 1 --nonrim 1 --fast-inversion --iterations 1
  --no-sheets --quiet"
sanitized=$(grep -c __asan_init "$P")

# ---- 256 MiB: small work is done, large work is refused or done ----
little() {
  want=$1
  shift
  (ulimit -v 262144 && exec "$P" "$@") >out 2>err </dev/null
  rc=$?
  if [ $rc -eq 0 ] && [ ! -s err ]; then
    pass
  elif [ $rc -eq 1 ] && [ "$want" = any ] && [ "$(wc -l <err)" -eq 1 ]; then
    pass
  else
    fail "256 MiB: $1: exit code $rc"
  fi
}
if [ "$sanitized" -eq 0 ]; then
  little done info $NET
  # shellcheck disable=SC2086
  little done $GENERATE -o small
  same small/dataset.safetensors here/dataset.safetensors "256 MiB: generate"
  # shellcheck disable=SC2086
  little done $TRAIN -o small_run
  same small_run/network.safetensors run/network.safetensors "256 MiB: train"
  # shellcheck disable=SC2086
  little done $PHANTOM -o small_cohort
  little done pack small_cohort/lesions.tsv --slices central --no-sheet -o small.safetensors --quiet
  little done convert "$(find small_cohort -name '*Chimap.nii.gz' | head -n 1)" small.nii --quiet
  little any generate --network "$PRLX_DATA/network_small.safetensors" --seeds 0-7 --quiet \
    -o bundled
  little any project data.safetensors --range 0 --network $NET --steps 1 --w-samples 10 --quiet \
    -o denoised
  little any train data.safetensors --config paper --kimg 0.004 --quiet -o paper
fi

# ---- one core ----
if command -v taskset >/dev/null 2>&1; then
  # shellcheck disable=SC2086
  taskset -c 0 "$P" $GENERATE -o one >/dev/null 2>err
  same one/dataset.safetensors here/dataset.safetensors "one core: generate"
  # shellcheck disable=SC2086
  taskset -c 0 "$P" $TRAIN -o one_run >/dev/null 2>err
  same one_run/network.safetensors run/network.safetensors "one core: train"
  taskset -c 0 "$P" check >out 2>err
  has out "^ok  *threads  *1$" "one core: check says so"
else
  echo "cli_machine: one core: skipped, no taskset"
fi
# shellcheck disable=SC2086
PRLX_THREADS=1 "$P" $GENERATE -o alone >/dev/null 2>err
same alone/dataset.safetensors here/dataset.safetensors "PRLX_THREADS=1"

# ---- /tmp that cannot be written to: nothing of the program needs it ----
if unshare -m true 2>/dev/null && mkdir other && unshare -m sh -c 'mount -t tmpfs none other &&
  mount --bind /tmp /tmp && mount -o remount,ro,bind /tmp' 2>/dev/null; then
  # shellcheck disable=SC2086
  TMPDIR=/nonexistent unshare -m sh -c 'mount --bind /tmp /tmp && mount -o remount,ro,bind /tmp &&
    ! touch /tmp/x 2>/dev/null && mount -t tmpfs none /mnt && "$0" "$@" -o /mnt/g && cd / &&
    cmp "$OLDPWD/here/dataset.safetensors" /mnt/g/dataset.safetensors' "$P" $GENERATE >out 2>err
  ok $? "/tmp cannot be written to: $(tail -n 1 err)"
else
  echo "cli_machine: /tmp that cannot be written to: skipped, no mounts of one's own here"
fi

# ---- an output that is a mount point: a file that a container got from outside ----
echo old >outside
touch inside
if unshare -m mount --bind outside inside 2>/dev/null; then
  unshare -m sh -c 'mount --bind outside inside && "$@"; rc=$?; cat inside; exit $rc' sh \
    "$P" export $NET --net G -o inside --force --quiet >out 2>err
  rc=$?
  [ $rc -eq 1 ] && grep -q 'is mounted there' err && [ "$(cat out)" = old ]
  ok $? "an output that is mounted: exit code $rc: $(tail -n 1 err)"
  [ -z "$(find . -name '*.tmp*')" ]
  ok $? "an output that is mounted: nothing is left"
else
  echo "cli_machine: a mounted output: skipped, no mounts of one's own here"
fi

# ---- file systems that lack something ----
if [ "$sanitized" -eq 0 ] && ldd "$P" >/dev/null 2>&1 &&
  ${CC:-cc} -O1 -shared -fPIC -o lacks.so "$SOURCE" -ldl 2>/dev/null; then
  without() { PRLX_LACKS=$1 LD_PRELOAD=$T/lacks.so; export PRLX_LACKS LD_PRELOAD; }
  with_all() { unset PRLX_LACKS LD_PRELOAD; }
  for what in mmap link sync lock; do
    # shellcheck disable=SC2086
    (without $what && exec "$P" $GENERATE -o $what) >/dev/null 2>err
    same $what/dataset.safetensors here/dataset.safetensors "without $what: generate"
    # shellcheck disable=SC2086
    (without $what && exec "$P" $TRAIN -o ${what}_run) >/dev/null 2>err
    same ${what}_run/network.safetensors run/network.safetensors "without $what: train"
    # shellcheck disable=SC2086
    (without $what && exec "$P" $TRAIN --force -o ${what}_run) >/dev/null 2>err
    ok $? "without $what: train --force: $(tail -n 1 err)"
    same ${what}_run/network.safetensors run/network.safetensors "without $what: train --force"
  done
  mkdir kept
  cp run/network.safetensors kept/
  for command in "$GENERATE -o renamed" "$TRAIN -o renamed_run" \
    "export $NET --net G -o kept/network.safetensors --force --quiet"; do
    # shellcheck disable=SC2086
    (without rename && exec "$P" $command) >out 2>err </dev/null
    rc=$?
    [ $rc -eq 1 ] && [ "$(wc -l <err)" -eq 1 ] && grep -q 'cannot rename' err
    ok $? "without rename: ${command%% *}: exit code $rc: $(tail -n 1 err)"
  done
  same kept/network.safetensors run/network.safetensors "without rename: what was there is kept"
  cp -R run again
  # shellcheck disable=SC2086
  (without rename && exec "$P" $TRAIN --force -o again) >out 2>err
  [ $? -eq 1 ]
  ok $? "without rename: train --force is refused"
  same again/network.safetensors run/network.safetensors "without rename: the old run is kept"
  [ -z "$(find . -name '*.tmp*' -o -name .prlx-running)" ]
  ok $? "nothing temporary is left: $(find . -name '*.tmp*' -o -name .prlx-running | head -n 1)"
  with_all
else
  echo "cli_machine: file systems that lack something: skipped (no compiler, or sanitizers)"
fi
finish
