#!/bin/sh
# Finding: whether dust of connected-components-3d 4.1.1 (cc3d), which removes specks from a label
# map, gives back the type that it was given depends on whether there was a speck. An int16 map, as
# many NIfTI labels are, comes back as int16 if one was removed and as uint16 if none was: it is
# seen as unsigned on the way, and only one of two ways out turns that back. A label of -1 (not
# rated) then reads 65535, in int64 18446744073709551615. And the change between two scans, each
# dusted, follow-up minus baseline, 16 voxels healed and 8 new: with a speck in either it is -8; of
# two clean masks it is 1048568, each healed voxel counting 65535. Nothing warns. 3.29.0, the newest
# that panoptica 2.1.7 takes, does the same.
#
# usage: sh findings/cc3d_dust_type.sh. Installs the packages in temporary folders and ends with 0
# while this is so, with 1 when a version behaves in another way.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m venv "$T/v" &&
  "$T/v/bin/pip" install -q --no-compile numpy==2.2.6 nibabel==5.4.2 || exit 1
for version in 3.29.0 4.1.1; do
  "$T/v/bin/pip" install -q --no-compile --target "$T/$version" --no-deps \
    connected-components-3d==$version || exit 1
done
cd "$T" || exit 1
cat >dust.py <<'EOF'
import cc3d
import nibabel as nib
import numpy as np


def stored(labels, name):
    """The labels as a NIfTI file holds them and nibabel gives them back."""
    nib.save(nib.Nifti1Image(labels, np.eye(4)), name)
    return np.asarray(nib.load(name).dataobj)


baseline = np.zeros((24, 24, 12), np.int16)
baseline[4:8, 4:8, 4:7] = 1
followup = baseline.copy()
followup[4:8, 4:8, 6] = 0
followup[16:18, 16:18, 8:10] = 1
speck = np.zeros_like(baseline)
speck[20, 2, 2] = 1
right = int(followup.astype(int).sum() - baseline.astype(int).sum())

ok = right == -8
print(f"the change by definition: {right} voxels")
for name, a, b in (("clean", baseline, followup), ("a speck in the first", baseline + speck,
                   followup), ("a speck in both", baseline + speck, followup + speck)):
    first, second = (cc3d.dust(stored(m, "m.nii"), threshold=8) for m in (a, b))
    kept = np.array_equal(first, baseline) and np.array_equal(second, followup)
    change = int((second - first).sum())
    print(f"{name}: {first.dtype} and {second.dtype}, the masks {'right' if kept else 'wrong'}, "
          f"follow-up minus baseline {change} voxels")
    clean = name == "clean"
    ok = ok and kept and second.dtype == (np.int16 if name.endswith("both") else np.uint16)
    ok = ok and first.dtype == (np.uint16 if clean else np.int16)
    ok = ok and change == (8 + 16 * 65535 if clean else right)

for dtype, wrapped in ((np.int8, 255), (np.int16, 65535), (np.int32, 2**32 - 1),
                       (np.int64, 2**64 - 1)):
    rated = baseline.astype(dtype)
    rated[12:16, 12:16, 4:7] = -1
    out = cc3d.dust(rated, threshold=8)
    with_speck = cc3d.dust(rated + speck.astype(dtype), threshold=8)
    print(f"{np.dtype(dtype)} with labels {np.unique(rated).tolist()}: {np.unique(out).tolist()}, "
          f"with a speck {np.unique(with_speck).tolist()}")
    ok = ok and np.unique(out).tolist() == [0, 1, wrapped]
    ok = ok and with_speck.dtype == dtype and np.array_equal(with_speck, rated)
print("as found" if ok else "changed")
raise SystemExit(0 if ok else 1)
EOF
r=0
for version in 3.29.0 4.1.1; do
  echo "version $version"
  PYTHONPATH=$T/$version "$T/v/bin/python" dust.py || r=1
done
exit $r
