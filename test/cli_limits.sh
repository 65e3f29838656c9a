#!/bin/sh
# cli_limits.sh: the limits of the system: size of files, open files, address space, full disks,
# folders that cannot be written to or vanish, signals, two runs in one folder. Never a signal,
# always a reason; after a failure the folder is as before, and the next run succeeds.
# usage: cli_limits.sh PROGRAM (TEST_LONG: more limits and commands)
. "$(dirname "$0")/cli.inc"
G=$PWD/test/golden
long=${TEST_LONG:+1}
cd "$T" || exit 1
mkdir in
cp "$G/generator_uncond.safetensors" in/net.safetensors
"$P" generate --network in/net.safetensors --seeds 0-7 --quiet --no-nifti --no-sheet -o g >/dev/null
mv g/dataset.safetensors in/data.safetensors
rm -r g
"$P" phantom --subjects 2 --rim 1 --ambiguous 1 --nonrim 1 --fast-inversion --iterations 1 \
  --no-sheets --quiet -o in/cohort >/dev/null 2>&1
cp "$(find in/cohort -name '*Chimap.nii.gz' | LC_ALL=C sort | head -n 1)" in/one.nii.gz
TRAIN="train in/data.safetensors --channel-base 64 --channel-max 4 --z-dim 4 --w-dim 4 --batch 4
  --mbstd-group 4 --tick 0.004 --snap 1 --no-layers --quiet"
GENERATE="generate --network in/net.safetensors --seeds 0-15 --quiet --no-nifti"
PACK="pack in/cohort/lesions.tsv --slices central --no-sheet --quiet"
names() { (cd "$1" 2>/dev/null && find . | LC_ALL=C sort); }

# ends WHAT LIMIT COMMAND...: under `ulimit LIMIT`: exit code 0, or 1 with a reason; nothing
# temporary left; and without the limit it succeeds. Under sanitizers there is no address space.
ends() {
  what=$1
  limit=$2
  shift 2
  rm -rf o
  # the reason goes through a pipe, which no limit of files concerns
  {
    # shellcheck disable=SC2086
    (ulimit $limit && exec "$P" "$@") 2>&1 >/dev/null </dev/null
    echo $? >code
  } | cat >err
  rc=$(cat code)
  last=$rc
  if [ $rc -gt 1 ]; then
    fail "$what, ulimit $limit: exit code $rc: $(tail -n 1 err)"
  elif [ $rc -eq 1 ] && ! [ -s err ]; then
    fail "$what, ulimit $limit: failed without a word"
  elif grep -q 'Sanitizer\|runtime error' err; then
    fail "$what, ulimit $limit: $(grep -m 1 'Sanitizer\|runtime error' err)"
  elif [ -n "$(find . -name '*.tmp*' -o -name .prlx-running)" ]; then
    fail "$what, ulimit $limit: left $(find . -name '*.tmp*' -o -name .prlx-running)"
  else
    pass
  fi
}
again() {
  what=$1
  shift
  "$P" "$@" >out 2>err </dev/null
  ok $? "$what, without the limit: $(tail -n 1 err)"
}

sanitized=$(grep -c __asan_init "$P")
# KiB of address space with which the system can start the program at all: with the kernels of many
# GPUs in it, it is 60 MB, and what cannot be mapped is killed before its first line
floor=10000
{
  until (ulimit -v $floor && "$P" --version >/dev/null 2>&1); do
    floor=$((floor + 5000))
    [ $floor -gt 4000000 ] && break
  done
} 2>/dev/null
# ---- size of files (512 or 1024 bytes), open files, address space (KiB) ----
for run in "$GENERATE -o o/x" "$TRAIN --kimg 0.008 -o o/x" "$PACK -o o.safetensors" \
  "convert in/one.nii.gz o.nii --quiet" "export in/net.safetensors --net G -o o.safetensors"; do
  name=${run%% *}
  for blocks in 0 1 8 ${long:+2 3 4 16 64}; do
    # shellcheck disable=SC2086
    ends "$name" "-f $blocks" $run
  done
  rm -f o.safetensors o.nii
  # shellcheck disable=SC2086
  ends "$name" "-f 0" $run
  [ "$last" -eq 1 ]
  ok $? "$name: no file may grow, exit code $last"
  grep -qi 'file too large\|could not be\|cannot be' err
  ok $? "$name: a file may not grow: $(tail -n 1 err)"
  for files in 4 6 9 ${long:+3 5 7 8 10 12}; do
    # shellcheck disable=SC2086
    ends "$name" "-n $files" $run
  done
  if [ "$sanitized" -eq 0 ]; then
    for kib in 64 128; do
      rm -f o.safetensors o.nii
      # shellcheck disable=SC2086
      ends "$name" "-s $kib" $run
      [ "$last" -eq 0 ]
      ok $? "$name, a stack of $kib KiB: exit code $last, $(tail -n 1 err)"
    done
    for kib in 5000 10000 40000 100000 ${long:+0 1000 20000 60000 140000 220000}; do
      # shellcheck disable=SC2086
      ends "$name" "-v $((floor + kib))" $run
    done
  fi
  rm -rf o o.safetensors o.nii
  # shellcheck disable=SC2086
  again "$name" $run
  rm -rf o o.safetensors o.nii
done

# ---- full disks, folders that cannot be written to ----
for run in "$PACK -o" "convert in/one.nii.gz" "export in/net.safetensors --net G -o"; do
  for target in /dev/full/x.nii /proc/prlx/x.nii /dev/null/x.nii; do
    # shellcheck disable=SC2086
    expect 1 "x" "$P" $run $target
  done
done
for run in "$GENERATE -o" "$TRAIN --kimg 0.004 -o"; do
  for target in /proc/prlx /dev/null/x in/net.safetensors /dev/full; do
    # shellcheck disable=SC2086
    expect 1 "$target" "$P" $run $target
  done
done
"$P" info in/net.safetensors >/dev/full 2>err
[ $? -eq 1 ] && grep -q 'could not be written' err
ok $? "output into a full device"
if mkdir disk && mount -t tmpfs -o size=256k none disk 2>/dev/null; then
  # shellcheck disable=SC2086
  (
    trap - EXIT
    "$P" $TRAIN --kimg 0.2 -o disk/r >out 2>err </dev/null
  )
  rc=$?
  df -k disk >df
  # what fits is fine; what does not is an error, and the snapshot that is there is whole
  [ $rc -le 1 ] && { [ $rc -eq 0 ] || [ -s err ]; }
  ok $? "a disk that fills up: exit code $rc"
  dd if=/dev/zero of=disk/fill bs=1k count=1000 2>/dev/null
  # shellcheck disable=SC2086
  expect 1 "space" "$P" $TRAIN --kimg 0.4 --resume -o disk/r
  rm disk/fill
  "$P" info disk/r/state.safetensors >out 2>err
  ok $? "the snapshot on a disk that was full is whole: $(tail -n 1 err)"
  [ -z "$(find disk -name '*.tmp*' -o -name .prlx-running)" ]
  ok $? "nothing left on the full disk"
  mount -o remount,ro disk
  # shellcheck disable=SC2086
  expect 1 "read-only" "$P" $GENERATE -o disk/g
  umount disk
fi

# ---- standard streams that are closed: their numbers must not go to files ----
"$P" convert in/one.nii.gz ref.nii --quiet >/dev/null
for closed in "2>&-" "1>&- 2>&-" "0>&- 1>&- 2>&-"; do
  rm -f c.nii
  sh -c "exec $closed; '$P' convert in/one.nii.gz c.nii --quiet" >/dev/null
  same c.nii ref.nii "closed: $closed"
done
# shellcheck disable=SC2086
sh -c 'exec 0>&- 1>&- 2>&-; "$@"' sh "$P" ${TRAIN% --quiet} --kimg 0.008 -o closed
[ "$(grep -c '^{"tick"' closed/metrics.jsonl)" -eq 2 ] && [ "$(wc -l <closed/metrics.jsonl)" -eq 2 ]
ok $? "closed streams: messages in metrics.jsonl: $(head -c 60 closed/metrics.jsonl)"

# ---- a folder that vanishes ----
# starts in the background and waits until FILE is there
begin() {
  file=$1
  shift
  "$P" "$@" >bg.out 2>bg.err </dev/null &
  pid=$!
  for k in $(seq 600); do
    [ -e "$file" ] && return
    sleep 0.05
  done
}
# shellcheck disable=SC2086
begin gone/state.safetensors $TRAIN --kimg 100 -o gone
rm -rf gone
for k in $(seq 600); do
  kill -0 $pid 2>/dev/null || break
  [ -d gone ] && rm -rf gone
  sleep 0.05
done
kill -KILL $pid 2>/dev/null
wait $pid
rc=$?
[ $rc -eq 1 ] && [ -s bg.err ]
ok $? "the run folder was removed: exit code $rc, $(tail -n 1 bg.err)"
rm -rf gone

# ---- files larger than the machine ----
# hole FILE FORMAT ARGUMENT...: a file of 256 GiB without blocks that begins with what printf prints
hole() {
  file=$1
  shift
  # shellcheck disable=SC2059
  printf "$@" >"$file"
  dd if=/dev/null of="$file" bs=1048576 seek=262144 2>/dev/null
}
# waits at most a minute for the background command; its exit code in $rc
ended() {
  for k in $(seq 600); do
    kill -0 $pid 2>/dev/null || break
    sleep 0.1
  done
  kill -KILL $pid 2>/dev/null
  wait $pid
  rc=$?
}
# soon TEXT COMMAND...: fails with TEXT, long before such a file could be read
soon() {
  text=$1
  shift
  "$P" "$@" >out 2>err </dev/null &
  pid=$!
  ended
  [ $rc -eq 1 ] && grep -q "$text" err
  ok $? "$*: exit code $rc, $(tail -n 1 err)"
}
# killed SIGNAL CODE COMMAND...: at work on such a file, ends by the signal at once
killed() {
  signal=$1
  code=$2
  shift 2
  "$P" "$@" >out 2>err </dev/null &
  pid=$!
  sleep 0.3
  kill -"$signal" $pid
  ended
  [ $rc -eq "$code" ]
  ok $? "$*, SIG$signal: exit code $rc, $(tail -n 1 err)"
}
mkdir holes
all=$(printf '"w":{"dtype":"U8","shape":[274877906%d],"data_offsets":[0,274877906%d]}' 856 856)
if hole holes/zero.pth '' && hole holes/zero-01234567.pth '' && hole holes/brace.json '{' &&
  hole holes/one.safetensors '\120\0\0\0\0\0\0\0%-80s' "{$all}" &&
  hole holes/a.png '\211PNG\r\n\032\n' && hole holes/t.tsv 'subject\tlesion\n'; then
  for f in zero.pth zero-01234567.pth brace.json a.png t.tsv; do
    soon "expected .pkl, .pth or .pt\|cannot be mapped" import holes/$f -o o.safetensors
    soon "holes/$f" info holes/$f
  done
  soon "no known network" import holes/one.safetensors -o o.safetensors
  soon "holes/t.tsv.*right file" pack holes/t.tsv -o o.safetensors
  soon "holes/a.png.*right file" pack holes/a.png -o o.safetensors
  soon "No space left\|cannot be" import holes/one.safetensors --any -o o.safetensors
  killed TERM 143 import holes/one.safetensors --dry-run
  killed INT 130 info holes/one.safetensors
  [ -z "$(find . -name '*.tmp*' -o -name '*.import*')" ]
  ok $? "large files leave nothing temporary"
else
  echo "cli_limits: no files of 256 GiB here: skipped"
fi
rm -r holes
# while it writes: the half-written file goes with it
for k in 1 2 3; do
  "$P" export "$PRLX_DATA/vgg16_caffe.safetensors" -o big.safetensors >out 2>err </dev/null &
  pid=$!
  until ls | grep -q '^big' || ! kill -0 $pid 2>/dev/null; do :; done
  kill -TERM $pid 2>/dev/null
  ended
  [ $rc -eq 143 ] || [ $rc -eq 0 ]
  ok $? "export, SIGTERM while it writes: exit code $rc"
  [ "$(ls | grep -c '^big.*tmp')" -eq 0 ]
  ok $? "export leaves $(ls | grep '^big')"
  rm -f big.safetensors
done

# ---- signals ----
# Under nohup (CI may run so) SIGHUP is ignored, here and by what is started here.
HUP=HUP
if sh -c 'kill -HUP $$; :' 2>/dev/null; then
  HUP=
  echo "cli_limits: SIGHUP is ignored here: skipped"
fi
for signal in INT TERM $HUP; do
  # shellcheck disable=SC2086
  begin s$signal/state.safetensors $TRAIN --kimg 100 -o s$signal
  kill -$signal $pid
  wait $pid
  rc=$?
  [ $rc -eq 1 ] && grep -q 'saved' bg.err
  ok $? "SIG$signal saves: exit code $rc, $(tail -n 1 bg.err)"
  [ "$(find s$signal -name '*.tmp*' -o -name .prlx-running)" = "" ]
  ok $? "SIG$signal leaves nothing temporary"
  # shellcheck disable=SC2086
  expect 1 "resume" "$P" $TRAIN --kimg 0.004 -o s$signal
done
# iterations of minutes: broken off; those of seconds: to the end or back to their beginning
# shellcheck disable=SC2086
begin long/reals.png ${TRAIN%--batch*} --batch 65536 --batch-gpu 4 --mbstd-group 4 --threads 1 \
  --quiet --kimg 1000 -o long
sleep 0.5
kill -TERM $pid
ended
[ $rc -eq 1 ] && grep -q 'within a long iteration.*nothing is kept\|before the first' bg.err
ok $? "SIGTERM within an iteration of minutes: exit code $rc, $(tail -n 1 bg.err)"
# shellcheck disable=SC2086
begin some/state.safetensors ${TRAIN%--batch*} --batch 512 --batch-gpu 4 --mbstd-group 4 \
  --threads 1 --quiet --tick 0.004 --snap 1 --no-layers --kimg 1000 -o some
sleep 0.5
kill -TERM $pid
ended
[ $rc -eq 1 ] && grep -q 'saved\|last snapshot is whole' bg.err
ok $? "SIGTERM within an iteration of seconds: exit code $rc, $(tail -n 1 bg.err)"
"$P" info some/state.safetensors >out 2>err
ok $? "and its snapshot is whole: $(cat err)"
last=s${HUP:-TERM}
nimg=$(tail -n 1 $last/metrics.jsonl | sed -n 's/.*"nimg":\([0-9]*\).*/\1/p')
kimg=$(awk "BEGIN { print (${nimg:-0} + 8) / 1000 }")
# shellcheck disable=SC2086
again "resumed after a signal" $TRAIN --kimg "$kimg" --resume -o $last
nohup sh -c 'kill -HUP $$; exec "$@"' sh "$P" check >/dev/null 2>&1
ok $? "nohup: SIGHUP is ignored"
(
  # shellcheck disable=SC2086
  "$P" ${TRAIN% --quiet} --kimg 0.04 -o piped 2>err
  echo $? >code
) | head -n 1 >/dev/null
[ "$(cat code)" = 0 ] && [ -f piped/network.safetensors ]
ok $? "nobody reads the output of training: exit code $(cat code), $(tail -n 1 err)"
(
  "$P" paper audit 2>err
  echo $? >code
) | head -n 1 >/dev/null
[ "$(cat code)" = 0 ] && ! [ -s err ]
ok $? "paper audit | head: exit code $(cat code), $(cat err)"

# ---- two runs in one folder ----
# shellcheck disable=SC2086
begin two/state.safetensors $TRAIN --kimg 100 -o two
before=$(names two)
for run in "$TRAIN --kimg 0.004 --force -o two" "$TRAIN --kimg 1 --resume -o two" \
  "$GENERATE -o two" \
  "phantom --subjects 1 --rim 0 --ambiguous 0 --nonrim 1 --fast-inversion --quiet -o two"; do
  # shellcheck disable=SC2086
  expect 1 "process $pid on .*writes into this folder" "$P" $run
done
[ "$(names two | head -n 3)" = "$(echo "$before" | head -n 3)" ]
ok $? "a refused run leaves the folder alone"
kill -KILL $pid
wait $pid 2>/dev/null
[ -f two/.prlx-running ]
ok $? "a killed run leaves its note"
# shellcheck disable=SC2086
again "after kill -9" $GENERATE -o two/g
# shellcheck disable=SC2086
again "the folder of a killed run is free" $TRAIN --kimg 0.004 --force -o two
[ ! -e two/.prlx-running ]
ok $? "the note of a killed run is gone"
echo "process 999999999 on $(uname -n)" >two/.prlx-running
# shellcheck disable=SC2086
again "a note of a process that is gone" $TRAIN --kimg 0.004 --force -o two
# at the same moment: one of them wins, or both after one another; never a mixture
# shellcheck disable=SC2086
for k in 1 2 3 4; do
  "$P" $GENERATE -o same >"same.out$k" 2>"same.err$k" </dev/null &
done
wait
grep -L . same.err1 same.err2 same.err3 same.err4 >won
[ -s won ]
ok $? "of four runs at the same moment one succeeds"
[ "$(cat same.err? | grep -vc 'writes into this folder\|^$')" -eq 0 ]
ok $? "the others are refused: $(cat same.err? | tail -n 1)"
"$P" info same/dataset.safetensors >out 2>err
ok $? "and its result is whole"

# ---- a cohort whose making was killed ----
# as SIGKILL leaves it: patches, no table, the note with what was made
"$P" phantom --subjects 1 --rim 1 --ambiguous 0 --nonrim 0 --whole-brain 1 --fast-inversion \
  --iterations 1 --no-sheets --quiet -o in/whole >/dev/null 2>&1
CROP="crop in/whole/whole-brain/lesions.tsv --quiet -o"
# shellcheck disable=SC2086
"$P" $CROP ref >/dev/null
# times as notes have them: seconds and nine digits
nine() { sed 's/\(\.[0-9]\{9\}\)0* /\1 /'; }
# dead HOST: dead/ is what a run on that machine left
dead() {
  rm -rf dead
  cp -a ref dead
  rm dead/lesions.tsv dead/dataset_description.json
  {
    echo "process 999999999 on $1"
    (cd dead && find . -type f -printf 'made %i %s %T@ %P\n') | nine
  } >note
  mv note dead/.prlx-running
}
first=$(cd ref && find sub-* -name '*Chimap.nii.gz' | LC_ALL=C sort | head -n 1)
dead "$(uname -n)"
# shellcheck disable=SC2086
again "crop after kill -9" $CROP dead
diff -r dead ref
ok $? "crop after kill -9 is whole"
# another command that takes the folder finds it clean
dead "$(uname -n)"
# shellcheck disable=SC2086
again "generate after a killed crop" $GENERATE -o dead
[ ! -e "dead/$first" ] && [ ! -e "dead/${first%%/*}" ]
ok $? "what a killed crop made is gone: $(find dead -name '*Chimap*')"
# a file that somebody changed since, one that somebody put there, a name that leads out
dead "$(uname -n)"
echo mine >"dead/$first"
echo mine >dead/mine.nii.gz
echo mine >out.txt
find . -maxdepth 1 -name out.txt -printf 'made %i %s %T@ ../%P\n' | nine >>dead/.prlx-running
# shellcheck disable=SC2086
expect 1 "$first.*is there already" "$P" $CROP dead
[ "$(cat "dead/$first" dead/mine.nii.gz out.txt)" = "mine
mine
mine" ]
ok $? "files of the user stay: $(ls dead out.txt)"
# the last file is there: the result is whole, whatever else the note says
dead "$(uname -n)"
cp ref/lesions.tsv ref/dataset_description.json dead
find dead -name lesions.tsv -printf 'last %i %s %T@ %P\n' | nine >>dead/.prlx-running
# shellcheck disable=SC2086
expect 1 "already in dead/lesions.tsv" "$P" $CROP dead
[ -e "dead/$first" ]
ok $? "a whole result stays"
# a second patient into a folder by a relative name, through a link, with a table that is a link
"$P" convert "ref/$first" v.nii.gz --quiet >/dev/null
"$P" convert "$(find ref -name '*lesion01_mask.nii.gz' | head -n 1)" l.nii.gz --quiet >/dev/null
rm -rf dead
# shellcheck disable=SC2086
"$P" $CROP dead >/dev/null
ln -s dead link
mv dead/lesions.tsv table.tsv
ln -s ../table.tsv dead/lesions.tsv
for who in A B C; do
  where=dead
  [ $who = B ] && where=link
  [ $who = C ] && where=$PWD/./dead/
  again "crop of another patient" crop v.nii.gz l.nii.gz --subject $who --quiet -o "$where"
done
# each column that names files
tail -n +2 table.tsv | tr '\t' '\n' | grep 'nii.gz$' | LC_ALL=C sort >named
(cd dead && find . -name '*.nii.gz' -printf '%P\n') | LC_ALL=C sort | cmp -s - named
ok $? "files and table of four patients: $(find dead -name '*.nii.gz' | wc -l), $(wc -l <named)"
rm link
# another machine may still be at work
dead other-machine
# shellcheck disable=SC2086
expect 1 "process 999999999 on other-machine.*--force removes" "$P" $CROP dead
[ -e "dead/$first" ]
ok $? "nothing is removed under another machine's hands"
# shellcheck disable=SC2086
again "with --force" $CROP dead --force
diff -r dead ref
ok $? "with --force it is whole"

# ---- Ctrl-C while a cohort is made: nothing is kept, the next run goes on ----
begin c/sub-001 phantom --subjects 9 --rim 9 --ambiguous 9 --nonrim 99 --no-sheets -o c
kill -INT $pid
ended
[ $rc -eq 1 ] && [ ! -e c ]
ok $? "phantom, SIGINT: exit code $rc, left $(ls c 2>/dev/null)"
finish
