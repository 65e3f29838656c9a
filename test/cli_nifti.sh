#!/bin/sh
# prlx info and prlx convert on NIfTI volumes, from outside. usage: sh test/cli_nifti.sh build/prlx
# Needs sh, cmp, dd, grep and the program. Ends with "N passed, N failed".
. "$(dirname "$0")/cli.inc"
PRLX=$P; D=test/data
says() { if grep -q -e "$1" "$T/out"; then pass; else fail "'$1' not in the output"; fi; }
absent() { if [ -e "$1" ]; then fail "$1 should not be there"; else pass; fi; }

# ---- info ----
expect 0 "RAS (i to right, j to anterior, k to superior)" "$PRLX" info $D/standard.nii.gz
says "4 x 5 x 7"; says "uint8, unscaled"; says "min 0, max 255"; says "sform code 2 aligned"
expect 0 "int16, value = 0.0754069686 x stored + 3100.76172" "$PRLX" info $D/functional.nii
says "17 x 21 x 3 x 20"
says "4 x 4 x 8 mm, step of the 4th dimension 2 s"
says "min 629.826172, max 5571.62207, mean 3637.40852"
expect 0 "big-endian" "$PRLX" info $D/resampled_anat_moved.nii
says "NaN or infinite"
expect 0 "NIfTI-2, little-endian, gzip" "$PRLX" info --brief $D/example_nifti2.nii.gz
if grep -q "values" "$T/out"; then fail "--brief shows values"; else pass; fi
expect 0 '"dims":\[17,21,3,20\],"voxel_size":\[4,4,8\]' "$PRLX" info --json $D/functional.nii \
  $D/resampled_anat_moved.nii
says '"orientation":"LAS","affine":\[\[-4,0,0,32\],\[0,4,0,-40\],\[0,0,8,0\],\[0,0,0,1\]\]'
says '"not_finite":[1-9]'
[ "$(grep -c '' "$T/out")" -eq 2 ] && pass || fail "--json: one line per file"
B=$(printf "$T/bad\\377.nii"); cp $D/functional.nii "$B"
"$PRLX" info --json --brief "$B" >"$T/out" 2>"$T/err"; says 'bad\\u00ff.nii'
expect 1 "json" "$PRLX" info --json $D/grey8.png

# ---- convert ----
expect 0 "float32, 17x21x3x20 from int16" "$PRLX" convert $D/functional.nii "$T/f.nii.gz"
expect 0 "min 629.826172, max 5571.62207, mean 3637.40852" "$PRLX" info "$T/f.nii.gz"
says "float32, unscaled"
says "sform code 2 aligned, qform code 2 aligned"
says "step of the 4th dimension 2 s"
expect 0 "" "$PRLX" convert "$T/f.nii.gz" "$T/g.nii"
expect 0 "" "$PRLX" convert "$T/g.nii" "$T/h.nii.gz"
same "$T/f.nii.gz" "$T/h.nii.gz" "the same bytes by another way"
expect 1 "is an input of this command" "$PRLX" convert "$T/h.nii.gz" "$T/h.nii.gz"
same "$T/f.nii.gz" "$T/h.nii.gz" "never onto itself"
expect 1 "is there already" "$PRLX" convert "$T/g.nii" "$T/h.nii.gz"
expect 0 "" "$PRLX" convert "$T/g.nii" "$T/h.nii.gz" --force
same "$T/f.nii.gz" "$T/h.nii.gz" "replaced with --force"
expect 2 "nii.gz" "$PRLX" convert $D/functional.nii "$T/x.png"; absent "$T/x.png"
expect 2 "IN OUT" "$PRLX" convert $D/functional.nii
expect 1 "none.nii" "$PRLX" convert "$T/none.nii" "$T/x.nii"; absent "$T/x.nii"
expect 1 "folder\|directory" "$PRLX" convert $D/functional.nii "$T/no/x.nii"
expect 1 "not a NIfTI" "$PRLX" convert $D/grey8.png "$T/x.nii"; absent "$T/x.nii"

# ---- versions, units, bytes after the data ----
expect 0 "" "$PRLX" convert $D/example_nifti2.nii.gz "$T/v1.nii.gz"
expect 0 "NIfTI-1, little-endian" "$PRLX" info --brief "$T/v1.nii.gz"
expect 0 "" "$PRLX" convert --nifti2 $D/example_nifti2.nii.gz "$T/v2.nii.gz"
expect 0 "NIfTI-2, little-endian" "$PRLX" info --brief "$T/v2.nii.gz"
cp $D/standard.nii.gz "$T/tail.nii.gz"; echo "export by viewer" >>"$T/tail.nii.gz"
expect 0 "17 bytes after the compressed data" "$PRLX" info "$T/tail.nii.gz"
expect 0 "min 0, max 255" "$PRLX" info "$T/tail.nii.gz"
# xyzt_units (byte 123) in micrometres and with a code that means nothing
unit() {
  { head -c 123 $D/functional.nii; printf "$1"; tail -c +125 $D/functional.nii; } >"$T/u.nii"
}
unit '\013'
expect 0 "0.004 x 0.004 x 0.008 mm (stored in um)" "$PRLX" info --brief "$T/u.nii"
says "converted to mm"
expect 0 '"stored_space_unit":"um"' "$PRLX" info --brief --json "$T/u.nii"
unit '\017'
expect 1 "spatial unit code 7" "$PRLX" convert "$T/u.nii" "$T/x.nii"; absent "$T/x.nii"
echo /annex/objects/MD5E-s1--0.nii.gz >"$T/p.nii.gz"
expect 1 "pointer of git-annex" "$PRLX" info "$T/p.nii.gz"

# ---- cut short ----
dd if=$D/example_nifti2.nii.gz of="$T/cut.nii.gz" bs=1000 count=9 2>/dev/null
expect 1 "cut.nii.gz: gzip: data ends too early" "$PRLX" convert "$T/cut.nii.gz" "$T/x.nii"
absent "$T/x.nii"
dd if=$D/functional.nii of="$T/cut.nii" bs=1000 count=9 2>/dev/null
expect 1 "asks for 43192 bytes; the file has 9000" "$PRLX" convert "$T/cut.nii" "$T/x.nii"
absent "$T/x.nii"
expect 1 "asks for 43192 bytes" "$PRLX" info "$T/cut.nii"
: >"$T/empty.nii"
expect 1 "0 bytes" "$PRLX" info "$T/empty.nii"
[ -z "$(ls "$T" | grep tmp)" ] && pass || fail "temporary files are left"
finish
