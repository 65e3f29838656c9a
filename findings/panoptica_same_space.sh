#!/bin/sh
# Finding: panoptica 2.1.7 checks that prediction and reference lie in the same space, and half of
# what should be refused passes: it adds up the differences of the two affines with their signs and
# refuses if the sum is above 0.00001. A prediction 0.1 mm to the right is refused (Affine
# Mismatch), one 30 mm to the left is compared voxel by voxel, Dice 1.00; so is one that is 30 mm to
# the right and 30 mm too far back, one turned by 20 degrees, and one mirrored, whose lesion lies in
# the other hemisphere. Exchange the two, and the shift to the left, the turn and the mirror image
# are refused. Origin and direction of SimpleITK images, and of NIfTI files once SimpleITK is
# installed, are checked in the same way in its own axes, where left and right change places. Who
# relies on the check scores maps of other spaces.
#
# usage: sh findings/panoptica_same_space.sh. Installs the packages in a temporary folder and ends
# with 0 while this is so, with 1 when a version behaves in another way.
# prlx: crop refuses labels of another grid, or takes them through the affines with --regrid.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m pip install -q --no-compile --no-deps --target "$T/p" panoptica==2.1.7 numpy==2.2.6 \
  scipy==1.17.1 connected-components-3d==3.29.0 scikit-image==0.26.0 pandas==2.3.3 \
  rich==13.9.4 pygments==2.21.0 ruamel.yaml==0.19.1 lazy-loader==0.6 packaging==26.4 \
  python-dateutil==4.0.0 pytz==2026.6 typing-extensions==4.16.0 nibabel==5.4.2 \
  SimpleITK==2.5.7 &&
  python3 -m pip download -q --no-deps -d "$T" plotly==5.24.1 || exit 1
PYTHONPATH=$T/p:$T/plotly-5.24.1-py3-none-any.whl # 15000 files, imported and not used
export PYTHONPATH
cd "$T" || exit 1
python3 -W ignore - >"$T/log" <<'EOF'
import nibabel as nib
import numpy as np
from panoptica import (ConnectedComponentsInstanceApproximator, InputType, Metric,
                       NaiveThresholdMatching, Panoptica_Evaluator)

evaluator = Panoptica_Evaluator(
    expected_input=InputType.SEMANTIC, instance_metrics=[Metric.IOU, Metric.DSC],
    global_metrics=[Metric.DSC], instance_matcher=NaiveThresholdMatching(),
    instance_approximator=ConnectedComponentsInstanceApproximator())
labels = np.zeros((20, 20, 20), np.uint8)
labels[3:7, 12:16, 5:9] = 1
centre = np.append(np.argwhere(labels).mean(0), 1)


def shifted(x, y):
    affine = np.eye(4)
    affine[:2, 3] = x, y
    return affine


turned = np.eye(4)
c, s = np.cos(np.radians(20)), np.sin(np.radians(20))
turned[:2, :2] = [[c, -s], [s, c]]
mirrored = np.diag([-1.0, 1, 1, 1])
cases = (("the same space", np.eye(4)), ("0.1 mm to the right", shifted(0.1, 0)),
         ("30 mm to the left", shifted(-30, 0)), ("30 mm right and back", shifted(30, -30)),
         ("turned by 20 degrees", turned), ("mirrored", mirrored))


def verdict(found, truth):
    try:
        return f"Dice {evaluator.evaluate(found, truth)['ungrouped'].global_bin_dsc:.2f}"
    except ValueError as e:
        return "refused" if "Mismatch" in str(e) else repr(e)


nib.save(nib.Nifti1Image(labels, np.eye(4)), "here.nii.gz")
here = nib.load("here.nii.gz")
seen = {}
for name, affine in cases:
    nib.save(nib.Nifti1Image(labels, affine), "there.nii.gz")
    there = nib.load("there.nii.gz")
    apart = np.linalg.norm((affine - np.eye(4)) @ centre)
    seen[name] = (verdict(there, here), verdict(here, there),
                  verdict("there.nii.gz", "here.nii.gz"), verdict("here.nii.gz", "there.nii.gz"))
    print(f"seen {name}: lesions {apart:.1f} mm apart; {seen[name][0]}, exchanged {seen[name][1]};"
          f" through SimpleITK {seen[name][2]}, exchanged {seen[name][3]}")
same, no = "Dice 1.00", "refused"
ok = seen == {"the same space": (same, same, same, same),
              "0.1 mm to the right": (no, same, same, no),
              "30 mm to the left": (same, no, no, same),
              "30 mm right and back": (same, same, same, same),
              "turned by 20 degrees": (same, no, no, same),
              "mirrored": (same, no, no, same)}
print("seen as found" if ok else "seen changed")
raise SystemExit(0 if ok else 1)
EOF
r=$?
sed -n 's/^seen //p' "$T/log"
exit $r
