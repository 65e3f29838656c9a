#!/bin/sh
# Finding: the data set that qsm-forward 0.32 calls BIDS is not one for the validator of today,
# bids-validator-deno 3.0.2: SIDECAR_KEY_REQUIRED for every MEGRE image (SkullStripped is missing),
# and in its derivatives NOT_INCLUDED and three more kinds of error for the field maps beside the
# ground truth (anat/sub-1_fieldmap.nii and sub-1_fieldmap-local.nii). A BIDS App that validates
# its input first stops at the very phantom made to test it.
#
# usage: sh findings/qsm_forward_bids_errors.sh. Installs the packages in a temporary folder and
# ends with 0 while this is so, with 1 when a version behaves in another way.
# prlx phantom: test/peer_bids.sh holds its data sets against the same validator.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m venv "$T/v" &&
  "$T/v/bin/pip" install -q --no-compile qsm-forward==0.32 numpy==2.4.6 \
    bids-validator-deno==3.0.2 || exit 1
cd "$T" || exit 1
"$T/v/bin/qsm-forward" simple "$T/bids" --resolution 24 24 24 --small-cylinder-radii 1 1 1 2 \
  --save-field >"$T/log" 2>&1 || exit 1
errors() {
  "$T/v/bin/bids-validator-deno" "$1" 2>&1 | grep -o 'ERROR[^A-Z]*[A-Z_]*' | sed 's/.* //' | sort -u
}
raw=$(errors bids)
maps=$(errors bids/derivatives/qsm-forward)
echo "errors in the raw data set:" $raw
echo "errors in the derivatives:" $maps
case "$raw/$maps" in
*SIDECAR_KEY_REQUIRED*/*NOT_INCLUDED*SIDECAR_KEY_REQUIRED*) echo "as found" ;;
*) echo changed && exit 1 ;;
esac
