#!/bin/sh
# Finding: panoptica 2.1.7 loses lesions whose numbers in prediction and reference add up to 256.
# Both maps are made 8 bits wide if no number is above 255, whatever type they come in, and cut to
# the box around their sum, in which 128 + 128 is 0. A patient with 128 lesions, numbered in the
# order of the voxels as scipy does, scored against himself: 127 matched, none missed, none false,
# the last one does not exist. As matched instances the result contradicts itself: one missed and
# one false, a recognition quality of 0.992 for the same map twice. With 127 or 129 lesions all is
# well. Lesion 156, found and numbered 100, is lost likewise, and of a map of 0, 128 and 255 whose
# outer two lesions of three are 128 one is left. Nothing warns.
#
# usage: sh findings/panoptica_label_128.sh. Installs the packages in a temporary folder and ends
# with 0 while this is so, with 1 when a version behaves in another way.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m pip install -q --no-compile --no-deps --target "$T/p" panoptica==2.1.7 numpy==2.2.6 \
  scipy==1.17.1 connected-components-3d==3.29.0 scikit-image==0.26.0 pandas==2.3.3 \
  rich==13.9.4 pygments==2.21.0 ruamel.yaml==0.19.1 lazy-loader==0.6 packaging==26.4 \
  python-dateutil==4.0.0 pytz==2026.6 typing-extensions==4.16.0 &&
  python3 -m pip download -q --no-deps -d "$T" plotly==5.24.1 || exit 1
PYTHONPATH=$T/p:$T/plotly-5.24.1-py3-none-any.whl # 15000 files, imported and not used
export PYTHONPATH
cd "$T" || exit 1
python3 -W ignore - >"$T/log" <<'EOF'
import numpy as np
from panoptica import (ConnectedComponentsInstanceApproximator, InputType, Metric,
                       NaiveThresholdMatching, Panoptica_Evaluator)
from scipy.ndimage import label


def scored(found, kind, truth=None):
    """A map against another or itself: matched, false, missed, recognition quality."""
    evaluator = Panoptica_Evaluator(
        expected_input=kind, instance_metrics=[Metric.IOU], global_metrics=[Metric.DSC],
        instance_matcher=NaiveThresholdMatching(),
        instance_approximator=ConnectedComponentsInstanceApproximator())
    truth = found.copy() if truth is None else truth
    r = evaluator.evaluate(found, truth)["ungrouped"]
    return int(r.tp), int(r.fp), int(r.fn), round(float(r.rq), 3)


def patient(n, dtype):
    """n lesions of 2 x 2 x 2 voxels, six apart, the last of them alone in its slices."""
    mask = np.zeros((6 * ((n - 2) // 16 + 2), 24, 24), bool)
    for i in range(n):
        x = 6 * (i // 16) if i < n - 1 else mask.shape[0] - 4
        y, z = (6 * (i % 16 // 4), 6 * (i % 4)) if i < n - 1 else (6, 6)
        mask[x:x + 2, y:y + 2, z:z + 2] = True
    numbered, count = label(mask)
    assert count == n
    return numbered.astype(dtype)


ok = True
for n in (127, 128, 129):
    for dtype in (np.uint8, np.uint16, np.int64):
        for kind in (InputType.UNMATCHED_INSTANCE, InputType.MATCHED_INSTANCE):
            got = scored(patient(n, dtype), kind)
            want = (n, 0, 0, 1.0)
            if n == 128:
                want = (127, 0, 0, 1.0)
                if kind is InputType.MATCHED_INSTANCE:
                    want = (127, 1, 1, 0.992)
            ok = ok and got == want
            if dtype is np.uint16:
                print(f"seen {n} lesions, {kind.name}: matched {got[0]}, false {got[1]}, missed "
                      f"{got[2]}, recognition quality {got[3]}")

two = np.zeros((40, 12, 12), np.uint8)
two[2:6, 4:8, 4:8], two[30:34, 4:8, 4:8] = 1, 156
found = two.copy()
found[two == 156] = 100
got = scored(found, InputType.UNMATCHED_INSTANCE, two)
print(f"seen lesions 1 and 156, found as 1 and 100: matched {got[0]}, false {got[1]}, "
      f"missed {got[2]}")
ok = ok and got[:3] == (1, 0, 0)

grey = np.zeros((60, 12, 12), np.uint8)
for x, value in ((2, 128), (20, 255), (50, 128)):
    grey[x:x + 4, 4:8, 4:8] = value
got = scored(grey, InputType.SEMANTIC)
print(f"seen 0, 128 and 255: {label(grey)[1]} lesions, matched {got[0]}, false {got[1]}, "
      f"missed {got[2]}")
ok = ok and label(grey)[1] == 3 and got[:3] == (1, 0, 0)
print("seen as found" if ok else "seen changed")
raise SystemExit(0 if ok else 1)
EOF
r=$?
sed -n 's/^seen //p' "$T/log"
exit $r
