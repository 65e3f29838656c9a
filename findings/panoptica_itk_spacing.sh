#!/bin/sh
# Finding: panoptica 2.1.7 measures the lesions of one pair of NIfTI files differently as soon as
# SimpleITK is installed beside it. By itself it reads the files with nibabel, else with SimpleITK,
# whose arrays are z, y, x while its voxel sizes are x, y, z; it puts one to the other as they come.
# In voxels of 1 x 1 x 3 mm a lesion found two slices too high is 6 mm off (Hausdorff distance,
# distance of the centres), and 2 mm with SimpleITK; one found two voxels to the side is 2 mm off,
# and 6 mm with SimpleITK. Average distance 2.64 mm for 0.96. A pair of SimpleITK images does the
# same. And the "global" Hausdorff distance in the same result is 2 each time: it counts voxels,
# even where voxelspacing is given by hand. Nothing warns; cubes hide both.
#
# usage: sh findings/panoptica_itk_spacing.sh. Installs the packages in a temporary folder and ends
# with 0 while this is so, with 1 when a version behaves in another way.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m pip install -q --no-compile --no-deps --target "$T/p" panoptica==2.1.7 numpy==2.2.6 \
  scipy==1.17.1 connected-components-3d==3.29.0 scikit-image==0.26.0 pandas==2.3.3 \
  rich==13.9.4 pygments==2.21.0 ruamel.yaml==0.19.1 lazy-loader==0.6 packaging==26.4 \
  python-dateutil==4.0.0 pytz==2026.6 typing-extensions==4.16.0 nibabel==5.4.2 &&
  python3 -m pip download -q --no-deps -d "$T" plotly==5.24.1 || exit 1
PYTHONPATH=$T/p:$T/plotly-5.24.1-py3-none-any.whl # 15000 files, imported and not used
export PYTHONPATH
cd "$T" || exit 1
cat >measure.py <<'EOF'
import importlib.util
import json

import nibabel as nib
import numpy as np
from panoptica import (ConnectedComponentsInstanceApproximator, InputType, Metric,
                       NaiveThresholdMatching, Panoptica_Evaluator)

SIZE = np.array([1.0, 1.0, 3.0])
have_itk = importlib.util.find_spec("SimpleITK") is not None
metrics = [Metric.IOU, Metric.HD, Metric.CEDI, Metric.ASSD]
evaluator = Panoptica_Evaluator(
    expected_input=InputType.SEMANTIC, instance_metrics=metrics, global_metrics=[Metric.HD],
    instance_approximator=ConnectedComponentsInstanceApproximator(),
    instance_matcher=NaiveThresholdMatching(matching_threshold=0.1))


def by_definition(a, b):
    """Hausdorff distance of two masks in mm, and that of their centres."""
    p, q = np.argwhere(a) * SIZE, np.argwhere(b) * SIZE
    apart = np.sqrt(((p[:, None] - q[None]) ** 2).sum(-1))
    return (float(max(apart.min(0).max(), apart.min(1).max())),
            float(np.linalg.norm(p.mean(0) - q.mean(0))))


def measured(found, truth, **kwargs):
    r = evaluator.evaluate(found, truth, **kwargs)["ungrouped"]
    return [round(float(x), 2) for x in (r.sq_hd, r.sq_cedi, r.sq_assd, r.global_bin_hd)]


truth = np.zeros((30, 30, 20), np.uint8)
truth[10:16, 10:16, 5:9] = 1
nib.save(nib.Nifti1Image(truth, np.diag([*SIZE, 1])), "truth.nii.gz")
seen = {}
for axis, name in ((2, "two slices too high"), (0, "two voxels to the side")):
    found = np.roll(truth, 2, axis)
    nib.save(nib.Nifti1Image(found, np.diag([*SIZE, 1])), "found.nii.gz")
    ways = {"right": [round(x, 2) for x in by_definition(found, truth)],
            "files": measured("found.nii.gz", "truth.nii.gz"),
            "nibabel": measured(nib.load("found.nii.gz"), nib.load("truth.nii.gz")),
            "arrays": measured(found, truth, voxelspacing=tuple(SIZE))}
    if have_itk:
        import SimpleITK as sitk
        ways["itk"] = measured(sitk.ReadImage("found.nii.gz"), sitk.ReadImage("truth.nii.gz"))
    seen[name] = ways
with open("with.json" if have_itk else "without.json", "w") as f:
    json.dump(seen, f)
EOF
python3 -W ignore measure.py >log 2>&1 || { tail -3 log; exit 1; }
python3 -m pip install -q --no-compile --no-deps --target "$T/itk" SimpleITK==2.5.7 || exit 1
PYTHONPATH=$T/itk:$PYTHONPATH
python3 -W ignore measure.py >log 2>&1 || { tail -3 log; exit 1; }
python3 - <<'EOF'
import json

with open("without.json") as f:
    without = json.load(f)
with open("with.json") as f:
    beside = json.load(f)
ok = True
for name, swapped, average in (("two slices too high", 2.0, [2.64, 0.96]),
                               ("two voxels to the side", 6.0, None)):
    a, b = without[name], beside[name]
    print(f"{name}: by definition Hausdorff {a['right'][0]} mm, centres {a['right'][1]} mm")
    for said, row in (("files", a["files"]), ("files, SimpleITK installed", b["files"]),
                      ("SimpleITK images", b["itk"]), ("nibabel images", b["nibabel"]),
                      ("arrays with voxelspacing", b["arrays"])):
        print(f"  {said}: Hausdorff {row[0]}, centres {row[1]}, average {row[2]}; "
              f"global Hausdorff {row[3]}")
    for row in (a["files"], a["nibabel"], b["nibabel"], b["arrays"]):
        ok = ok and row[:2] == a["right"]
    for row in (b["files"], b["itk"]):
        ok = ok and row[:2] == [swapped, swapped]
    ok = ok and all(row[3] == 2 for way in (a, b) for k, row in way.items() if k != "right")
    ok = ok and (average is None or [a["files"][2], b["files"][2]] == average)
print("as found" if ok else "changed")
raise SystemExit(0 if ok else 1)
EOF
