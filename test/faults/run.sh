#!/bin/sh
# run.sh: makes allocations, reads, writes, fsyncs, renames, links, mappings, opens, stats, locks,
# mkdirs, truncations, threads and forks of a command fail, one in each run, and kills it before
# each change on the disk (faults.c).
# usage: run.sh PRLX_FAULTS_PROGRAM [CASE...]
#
# Of a kind with at most FAULT_FEW (100) calls in the undisturbed command every one fails, k = 1, 2,
# ... until the command has no k-th call any more. Of the others, every place does (a stack of
# return addresses): its first and its last call, and the second of all but allocations.
# FAULT_EVERY=1: every call of every kind; with FAULT_STRIDE=n only every n-th beyond the 40th.
# FAULT_KINDS="kill open": only these. Of the steps of the whole tiny run of the paper every place
# that no other case hits fails, once (the other cases are run undisturbed for it where they are not
# chosen); FAULT_STEPS="cam report": of these alone. TMPDIR=/dev/shm: nothing waits for a disk.
#
# After each fault: no signal, exit code 0, 1 or 2, one line of reason unless 0; inputs unchanged;
# every file of the result either as it was before or as the undisturbed command writes it, no
# temporary file left (but by a killed one); and the command, run again, gives the undisturbed
# result, without temporary files. It is not run again where the folder is exactly as before, holds
# the whole result already, or is what another fault left, after which it was run again.
#
# The files of before/, out/ and whole/ are links to the same where they are the same, so that only
# what differs is read; safe/ has copies. A command that writes into a file in place is noticed by
# size and time, what it wrote through is mended from safe/ and the file is copied from then on.
set -uf
P=$1
shift
case $P in /*) ;; *) P=$PWD/$P ;; esac
PRLX_DATA=${PRLX_DATA:-$PWD/data}
LC_ALL=C
export PRLX_DATA LC_ALL
GOLD=$PWD/test/golden
STRIDE=${FAULT_STRIDE:-1}
FEW=${FAULT_FEW:-100}
EVERY=${FAULT_EVERY:-}
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT
trap 'exit 1' INT TERM
passed=0
failed=0
runs=0
missed=0
KINDS="alloc read write short fsync rename link mmap open stat lock mkdir truncate thread fork kill"
KINDS=${FAULT_KINDS:-$KINDS}

bad() {
  failed=$((failed + 1))
  [ "$failed" -le 200 ] && echo "FAIL: $name, $fault: $1"
}

names() { (cd "$1" 2>/dev/null && find . -type f | sort); }

# Files with their inodes: a line that two lists have in common is one file with two names.
inodes() { (cd "$1" && find . -type f -printf '%p\t%i\n' | sort); }

# Size and time of content of what out/ has links to.
links_now() { (cd before && find . -type f -printf '%p\t%s %T@\n' | sort); }

# Size, inode, times of content and of status: none of them stays when a file is written to.
inputs_now() { find in -printf '%p %s %i %T@ %C@\n' | sort | cksum; }

# Files with times in them are not compared: the patterns of VARIES.
varies() {
  # seconds of each lesion, where prlx project made it
  case $1 in */table.tsv) [ -e "out/${1%/*}/w.safetensors" ] && return 0 ;; esac
  for pattern in $VARIES; do
    case $1 in $pattern) return 0 ;; esac
  done
  return 1
}

# A snapshot of a training that ended early is of another moment, but whole.
middle() {
  case $1 in */snapshots/* | *network*.safetensors | *discriminator*.safetensors | *.png) ;;
    *) return 1 ;;
  esac
  [ -n "$MIDDLE" ] && "$P" info "out/$1" >/dev/null 2>&1
}

# Files written through their links: out/ gets its own, before/ and whole/ what they had.
mend_links() {
  links_now >links.new
  cmp -s links links.new && return
  comm -13 links links.new | cut -f 1 >through
  while read -r f <&5; do
    [ -e "out/$f" ] && cp -a "out/$f" apart && mv apart "out/$f"
    shared=0
    [ -e "whole/$f" ] && [ "whole/$f" -ef "before/$f" ] && shared=1
    rm "before/$f"
    cp -a "safe/$f" "before/$f"
    [ $shared -eq 1 ] && ln -f "before/$f" "whole/$f"
    echo "$f" >>in_place
  done 5<through
  lists_now
}

lists_now() {
  links_now >links
  inodes before >before.list
  [ ! -d whole ] || inodes whole >whole.list
}

# A result made beside an old one may stay where a command was killed, or was stopped with the old
# table put away: without TABLE there is no result to be read. With it, no mixture of old and new.
half_done() { [ -n "$TABLE" ] && { [ "$kind" = kill ] || [ ! -e "out/$TABLE" ]; }; }

judge_mixture() {
  [ -e "out/$TABLE" ] || return
  sort whole.list | comm -23 before.list - | comm -12 out.list - >old
  [ ! -s old ] || [ ! -s new ] || bad "$(wc -l <old) files are old, $(wc -l <new) new"
}

# Is each file under out/ the one of before/ or of whole/?
judge_files() {
  inodes out >out.list
  sort before.list whole.list | comm -23 out.list - | cut -f 1 >differ
  : >new
  while read -r f <&5; do
    case $f in
      *.tmp* | */.prlx-running) [ "$kind" = kill ] || bad "left $f"; continue ;;
      */.prlx) continue ;; # says that the folder is ours
      */.new-cohort/*) half_done || bad "left $f"; continue ;;
    esac
    varies "$f" && continue
    cmp -s "out/$f" "whole/$f" && echo "$f" >>new && continue
    cmp -s "out/$f" "before/$f" || middle "$f" ||
      bad "$f is neither old nor whole"
  done 5<differ
  cut -f 1 out.list >names.out
  cut -f 1 before.list | comm -23 - names.out >gone
  while read -r f <&5; do
    case $f in */"${TABLE##*/}") half_done && continue ;; esac
    bad "$f is gone"
  done 5<gone
  [ -z "$TABLE" ] || judge_mixture
}

judge_whole() {
  inodes out >out.list
  cut -f 1 out.list >names.out
  cut -f 1 whole.list >names.whole
  # one more .prlx: where the disk did not say whether the folder lies in one of ours
  grep -vxF -f names.whole names.out | grep '/\.prlx$' >more
  grep -vxF -f more names.out >names && mv names names.out
  cmp -s names.out names.whole ||
    bad "$1: other files than the undisturbed run: $(comm -3 names.out names.whole |
      tr -s '\t\n' '  ')"
  comm -23 out.list whole.list | cut -f 1 | comm -12 - names.whole >differ
  while read -r f <&5; do
    varies "$f" && continue
    cmp -s "out/$f" "whole/$f" || bad "$1: $f differs from the undisturbed run"
  done 5<differ
}

# What a fault left, as a line: folders, files that are gone, and the content of those that are not
# as before. Of logs, which are written anew, the names.
state_now() {
  inodes out >out.list
  {
    (cd out && find . -type d | sort)
    cut -f 1 out.list >names.out
    cut -f 1 before.list | comm -23 - names.out
    comm -23 out.list before.list | cut -f 1 | while read -r f; do
      case $f in
        */log/*) echo "$f" ;;
        *) echo "$f $(cksum <"out/$f")" ;;
      esac
    done
  } | cksum
}

# As the links go, files that this command writes in place apart.
afresh() {
  rm -rf out
  cp -al before out
  while read -r f <&5; do cp -a --remove-destination "safe/$f" "out/$f"; done 5<in_place
}

# The result of a step is what the next one begins with.
keep_whole() {
  inodes before >before.list
  inodes whole | comm -13 before.list - | cut -f 1 >differ
  while read -r f <&5; do
    mkdir -p "safe/${f%/*}"
    cp -a "whole/$f" "safe/$f"
  done 5<differ
  rm -rf before
  mv whole before
}

# One run with a fault: $fault. Returns 1 when the call that was to fail was never made.
one_fault() {
  rm -f log
  afresh
  before_failed=$failed
  PRLX_FAULT=$fault PRLX_FAULT_LOG=$T/log "$P" "$@" >stdout 2>stderr </dev/null
  rc=$?
  grep -q ' 1$' log 2>/dev/null || [ $rc -gt 2 ] || return 1
  runs=$((runs + 1))
  [ "$kind" = kill ] && [ $rc -eq 137 ] && rc=1 && echo killed >stderr
  if [ $rc -gt 2 ]; then
    bad "exit code $rc: $(tail -n 2 stderr)"
  elif [ $rc -ne 0 ] && [ ! -s stderr ]; then
    bad "failed without a word"
  fi
  [ "$(inputs_now)" = "$inputs" ] || bad "an input has changed"
  mend_links
  if [ $rc -eq 0 ]; then
    judge_whole "exit 0"
  elif ! diff -rq before out >/dev/null && ! diff -rq -x .prlx-running whole out >/dev/null; then
    judge_files
    state=$(state_now)
    if ! grep -qxF "$state" states; then
      "$P" "$@" >stdout 2>stderr </dev/null || bad "run again: $(tail -n 1 stderr)"
      mend_links
      judge_whole "run again"
      [ "$failed" -ne "$before_failed" ] || echo "$state" >>states
    fi
  fi
  [ "$failed" -eq "$before_failed" ] && passed=$((passed + 1))
  return 0
}

# Every k-th call of the kind.
every_call() {
  k=1
  fault=$kind:$k
  while one_fault "$@"; do
    [ $k -lt 40 ] && k=$((k + 1)) || k=$((k + STRIDE))
    fault=$kind:$k
  done
}

# Every place of the kind: the calls $1 of it ("first" or "some").
every_place() {
  which=$1
  shift
  grep "^$kind " todo | while read -r _ place calls; do
    echo "$kind@$place:1"
    [ "$which" = first ] || [ "$calls" -eq 1 ] && continue
    echo "$kind@$place:$calls"
    [ "$kind" = alloc ] || [ "$calls" -eq 2 ] || echo "$kind@$place:2"
  done >faults
  # what threads do, another may do in the next run: three tries
  while read -r fault <&3; do
    one_fault "$@" || one_fault "$@" || one_fault "$@" || missed=$((missed + 1))
  done 3<faults
}

# The undisturbed command: whole/, and where it calls what: places ("KIND PLACE calls").
undisturbed() {
  rm -rf out whole places
  : >in_place
  : >states
  : >whole.list
  lists_now
  fault=none
  afresh
  PRLX_FAULT_PLACES=$T/places "$P" "$@" >stdout 2>stderr </dev/null || {
    bad "undisturbed: $(tail -n 1 stderr)"
    return 1
  }
  mend_links
  cp -al out whole
  rm -rf out
  lists_now
  inputs=$(inputs_now)
  # several processes may call from one place
  sort places | awk '{n = $1 " " $2} n != last {if (last) print last, most; last = n; most = 0}
    $3 > most {most = $3} END {if (last) print last, most}' >todo
}

chosen() {
  [ -z "$ONLY" ] && return 0
  case " $ONLY " in *" $1 "*) return 0 ;; esac
  return 1
}

# faulty NAME VARIES COMMAND...: out/ is the result; before/ is what was there before: $BEFORE, or
# nothing
faulty() {
  name=$1
  VARIES=$2
  shift 2
  rm -rf before safe
  mkdir before safe
  [ -z "$BEFORE" ] || { cp -a "$BEFORE"/. before && cp -a "$BEFORE"/. safe; }
  if ! chosen "$name"; then
    chosen paper && undisturbed "$@" && cut -d ' ' -f 1,2 todo >>hit
    return
  fi
  undisturbed "$@" || return
  first=$runs
  was_missed=$missed
  was_failed=$failed
  for kind in $KINDS; do
    calls=$(awk -v k="$kind" '$1 == k {n += $3} END {print n + 0}' todo)
    [ "$calls" -eq 0 ] && continue
    if [ -n "$EVERY" ] || [ "$calls" -le "$FEW" ]; then
      every_call "$@"
    else
      every_place some "$@"
    fi
  done
  cut -d ' ' -f 1,2 todo >>hit
  echo "$name: $((runs - first)) faults, $((failed - was_failed)) wrong; $(awk '{n += $3}
    END {print n " calls in " NR " places"}' todo), $((missed - was_missed)) not met again"
}

ONLY=$*
MIDDLE=
BEFORE=
TABLE=
cd "$T" || exit 1
mkdir in before
: >hit
NET=in/net.safetensors
cp "$GOLD/generator_uncond.safetensors" $NET
"$P" generate --network $NET --seeds 0-7 --quiet --no-nifti -o in/g >/dev/null || exit 1
mv in/g/dataset.safetensors in/data.safetensors
rm -r in/g
"$P" generate --network $NET --seeds 8-15 --quiet --no-nifti -o in/g >/dev/null || exit 1
mv in/g/dataset.safetensors in/other.safetensors
rm -r in/g
"$P" phantom --subjects 3 --rim 3 --ambiguous 2 --nonrim 3 --fast-inversion --whole-brain 1 \
  --no-sheets --quiet   -o in/cohort >/dev/null || exit 1
first=$(find in/cohort/sub-001 -name '*Chimap.nii.gz' | LC_ALL=C sort | head -n 1)
cp "$first" in/one.nii.gz
TRAIN="--config small --channel-base 64 --channel-max 8 --z-dim 8 --w-dim 8 --batch 4
  --mbstd-group 4 --tick 0.008 --snap 1 --kimg 0.016 --threads 2 --no-layers --quiet"

mkdir in/own
"$P" phantom --subjects 1 --rim 1 --ambiguous 0 --nonrim 1 --first-subject 4 --fast-inversion \
  --whole-brain 1 --no-sheets --quiet -o in/own/cohort >/dev/null || exit 1
"$P" pack in/cohort/lesions.tsv --slices central --counts all --no-sheet --quiet \
  -o in/set.safetensors >/dev/null || exit 1
"$P" pack in/own/cohort/lesions.tsv --slices central --counts all --no-sheet --quiet \
  -o in/test.safetensors >/dev/null || exit 1

"$P" project --network $NET --steps 1 --w-samples 4 --range 0 --quiet -o in/project \
  in/data.safetensors >/dev/null || exit 1

faulty generate "" generate --network $NET --seeds 0-3 --quiet --threads 2 --png --no-nifti -o out
faulty project "*table.tsv" project --network $NET --steps 2 --w-samples 10 --range 0-1 \
  --quiet -o out in/data.safetensors
# into the folder of another command: its mark gets a line
BEFORE=in/project
faulty evidence "*words.txt *.html" evidence --synthetic in/data.safetensors --no-perceptual \
  --train in/other.safetensors --resamples 2 --typical 2 --quiet -o out
BEFORE=
for mode in interpolate mix truncate directions; do
  faulty "walk-$mode" "" walk $mode --network $NET --samples 20 --quiet -o out
done
faulty convert "" convert in/one.nii.gz out/v.nii.gz --quiet
faulty import "" import "$GOLD/../data/import/tiny_nv.pkl" --quiet -o out/net.safetensors
faulty export "" export --net G $NET -o out/net.safetensors --quiet
faulty pack "" pack in/cohort/lesions.tsv -o out/d.safetensors --threads 2 --quiet
faulty phantom "" phantom --subjects 1 --rim 1 --ambiguous 0 --nonrim 1 --fast-inversion \
  --iterations 1 --quiet --threads 2 -o out/cohort
BEFORE=in/own
TABLE=cohort/lesions.tsv
faulty phantom-overwrite "" phantom --overwrite --subjects 1 --rim 1 --ambiguous 0 --nonrim 1 \
  --first-subject 4 --seed 1 --fast-inversion --iterations 1 --whole-brain 1 --no-sheets --quiet \
  --threads 2 -o out/cohort
BEFORE=
TABLE=
faulty crop "" crop in/own/cohort/whole-brain/lesions.tsv -o out/patches --quiet
faulty export-cohort "" export-cohort in/cohort/lesions.tsv --format nnunet --quiet -o out/nnunet
MIDDLE=1
faulty train "*metrics.jsonl *report.html *state*.safetensors" train in/data.safetensors $TRAIN \
  --resume-if-any -o out/run
MIDDLE=
faulty classify "*report.html" classify in/set.safetensors --test in/test.safetensors --runs 1 \
  --epochs 1 --resamples 2 --quiet -o out/c

# The paper's experiments at the scale tiny, step by step, each in a folder where those before it
# are done; a step is a process of its own, in which the fault happens, too. Places that a case or
# a step before has hit are left out.
paper_step() {
  name=paper/$1
  VARIES="*/done/* *done/* *log/* *commands.sh *.html *metrics.jsonl *state*.safetensors"
  MIDDLE=1
  shift
  undisturbed "$@" || return 1
  sort hit >hit.sorted
  sort todo | awk 'FILENAME != "-" {old[$1 " " $2]; next} !($1 " " $2 in old)' hit.sorted - >new
  mv new todo
  case " ${FAULT_STEPS:-${name#*/}} " in
    *" ${name#*/} "*) for kind in $KINDS; do every_place first "$@"; done ;;
  esac
  cut -d ' ' -f 1,2 todo >>hit
  return 0
}

if chosen paper; then
  first=$runs
  was_failed=$failed
  was_missed=$missed
  places=$(wc -l <hit)
  steps=0
  rm -rf before safe
  mkdir before safe
  "$P" paper run --scale tiny --dry-run -o out/p 2>/dev/null |
    sed -n 's/^# \([^ ,]*\), .*/\1/p' >recipe
  while read -r step <&4; do
    steps=$((steps + 1))
    paper_step "$step" paper run --scale tiny --quiet --threads 2 --only "$step" -o out/p || break
    keep_whole
  done 4<recipe
  echo "paper: $steps steps, $((runs - first)) faults, $((failed - was_failed)) wrong;" \
    "$(($(wc -l <hit) - places)) places, $((missed - was_missed)) not met again"
fi
echo "$runs runs with a fault; $passed whole or as before, $failed wrong," \
  "$missed that were not met again"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
