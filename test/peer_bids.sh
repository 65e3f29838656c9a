#!/bin/sh
# What the tools of the field say of what we write (make test-long): the BIDS validator
# (bids-validator-deno), pybids, nibabel; nnU-Net, MONAI and TorchIO load what export-cohort writes.
# Whatever is not installed is skipped with a message. Packages of PyPI, in a virtual environment:
#   python3 -m venv v && v/bin/pip install bids-validator-deno pybids nibabel
#   PYTHON=$PWD/v/bin/python sh test/peer_bids.sh build/prlx
# usage: peer_bids.sh PRLX
. "$(dirname "$0")/cli.inc"
PYTHON=${PYTHON:-python3}
PATH=$(dirname "$(command -v "$PYTHON" || echo ./x)"):$PATH
here=$(cd "$(dirname "$0")" && pwd)
cd "$T" || exit 1
skip() { echo "$1: skipped, not installed"; }
# has_module NAME...: python has them all
has_module() { for m in "$@"; do "$PYTHON" -c "import $m" >/dev/null 2>&1 || return 1; done; }

few="--subjects 6 --rim 6 --ambiguous 4 --nonrim 8 --fast-inversion --quiet"
"$P" phantom $few --whole-brain 1 -o one >log 2>&1 &&
  "$P" phantom $few --sessions 2 -o two >log 2>&1
ok $? "phantom: $(cat log)"
"$P" crop one/whole-brain/lesions.tsv -o crop --quiet >log 2>&1
ok $? "crop: $(cat log)"
W=one/whole-brain/sub-wb01/anat/sub-wb01
for v in 01 02; do
  d=raw/sub-01/ses-$v/anat
  mkdir -p $d
  cp ${W}_Chimap.nii.gz $d/sub-01_ses-${v}_Chimap.nii.gz
  cp ${W}_FLAIR.nii.gz $d/sub-01_ses-${v}_FLAIR.nii.gz
  cp ${W}_desc-lesions_dseg.nii.gz $d/sub-01_ses-${v}_desc-lesions_dseg.nii.gz
  cp ${W}_label-rim_probseg.nii.gz $d/sub-01_ses-${v}_label-rim_probseg.nii.gz
done
"$P" bids raw cut participant --quiet >log 2>&1
ok $? "bids: $(cat log)"
tiny="--channel-base 256 --channel-max 16 --z-dim 16 --w-dim 16 --batch 4 --kimg 0.004 --no-layers"
"$P" pack two/lesions.tsv -o d.safetensors --counts all --channels chi,rim,flair --no-sheet \
  --ambiguous a.safetensors --quiet >log 2>&1 &&
  "$P" train d.safetensors --config small $tiny --quiet -o run >log 2>&1 &&
  "$P" project two/lesions.tsv --ambiguous --network run --steps 2 --w-samples 20 --quiet -o den \
    >log 2>&1 &&
  "$P" project a.safetensors --network run --steps 2 --w-samples 20 --quiet -o set >log 2>&1 &&
  "$P" generate --network run --seeds 0-3 --quiet -o gen >log 2>&1
ok $? "project, generate: $(tail -n 1 log)"

# ---- the validator: 0 errors ----
if command -v bids-validator-deno >/dev/null 2>&1; then
  for d in one one/whole-brain two crop cut den set gen/nifti; do
    bids-validator-deno --ignoreWarnings "$d" >log 2>&1
    ok $? "bids-validator-deno $d: $(grep -A3 ERROR log | head -n 6)"
  done
  printf 'x' >one/sub-001/anat/sub-001_nonsense.nii.gz
  bids-validator-deno --ignoreWarnings one >log 2>&1
  [ $? -ne 0 ]
  ok $? "the validator finds a wrong name"
  rm one/sub-001/anat/sub-001_nonsense.nii.gz
else
  skip bids-validator-deno
fi

# ---- pybids lists lesion by lesion; nibabel reads types and orientation ----
if has_module bids nibabel; then
  "$PYTHON" "$here/peer_bids.py" one two crop cut den >log 2>&1
  ok $? "pybids, nibabel: $(tail -n 3 log)"
else
  skip "pybids with nibabel"
fi

# ---- training elsewhere ----
for f in nnunet monai torchio; do
  "$P" export-cohort two/lesions.tsv den/lesions.tsv --format $f -o out_$f --quiet >log 2>&1
  ok $? "export-cohort --format $f: $(cat log)"
done
for f in nnunet monai torchio; do
  case $f in nnunet) m=nnunetv2 ;; *) m=$f ;; esac
  if has_module $m; then
    "$PYTHON" "$here/peer_export.py" $f out_$f two/lesions.tsv >log 2>&1
    ok $? "$m loads the export: $(tail -n 3 log)"
  else
    skip $m
  fi
done
finish
