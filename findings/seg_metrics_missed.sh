#!/bin/sh
# Finding: a segmentation that finds nothing has the best Hausdorff distance that there is in
# seg-metrics 1.2.8: hd, hd95 and all three surface distances of an empty prediction are 0.0, as
# they are of a perfect one, and so are those of a prediction where there is nothing to find. Of 4
# patients, one without lesions, a model that is 2 mm off in each has a mean hd95 of 1.5 mm, one
# that finds nothing 0.0. The log speaks of precision and recall in such cases, not of distances.
# The volume similarity of two empty masks is 1.0, as of one three times the size of the other, if
# distances are asked for, as by default, and 0.0 if not. SimpleITK 2.5.7 refuses such a distance.
#
# usage: sh findings/seg_metrics_missed.sh. Installs the packages in a temporary folder and ends
# with 0 while this is so, with 1 when a version behaves in another way.
# prlx: segment gives no hd95 where one of the two is empty.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m venv "$T/v" &&
  "$T/v/bin/pip" install -q --no-compile pingouin==0.7.0 numpy==2.4.6 scipy==1.17.1 \
    pandas==2.3.3 scikit-learn==1.9.1 statsmodels==0.15.0 seaborn==0.13.2 matplotlib==3.11.2 \
    SimpleITK==2.5.7 tqdm==4.70.1 &&
  "$T/v/bin/pip" install -q --no-compile --no-deps seg-metrics==1.2.8 medutils==0.1.21 || exit 1
cd "$T" || exit 1
"$T/v/bin/python" -W ignore - 2>log <<'EOF'
import numpy as np
import SimpleITK as sitk
from seg_metrics.seg_metrics import write_metrics

distances = ("hd", "hd95", "msd", "mdsd", "stdsd")


def score(truth, found, **options):
    out = write_metrics(labels=[1], gdth_img=truth, pred_img=found, spacing=[1, 1, 1], **options)
    return {k: float(v[0]) for k, v in out[0].items() if k != "label"}


nothing = np.zeros((24, 24, 24), np.uint8)
patients = [nothing]
for size in (3, 4, 6):
    mask = nothing.copy()
    mask[8:8 + size, 8:8 + size, 8:8 + size] = 1
    patients.append(mask)

# Only where there are lesions the one model finds some, 2 mm to the side.
models = {"2 mm off": [np.roll(m, 2, 2) for m in patients], "nothing": [nothing] * 4}
mean = {}
for name, found in models.items():
    rows = [score(t, f) for t, f in zip(patients, found)]
    mean[name] = np.mean([r["hd95"] for r in rows])
    print(f"{name}: hd95 of the four {[r['hd95'] for r in rows]}, mean {mean[name]:.2f};"
          f" dice {[round(r['dice'], 2) for r in rows]}")
mask = patients[3]
cases = {"perfect": (mask, mask), "missed": (mask, nothing), "nothing there": (nothing, mask)}
rows = {name: score(*pair) for name, pair in cases.items()}
for name, row in rows.items():
    print(f"{name}: dice {row['dice']}, " + ", ".join(f"{d} {row[d]}" for d in distances))
similar = score(nothing, nothing)["vs"], score(nothing, nothing, metrics=["dice", "vs"])["vs"]
print(f"vs of two empty masks: {similar[0]} with distances, {similar[1]} without")
measure = sitk.HausdorffDistanceImageFilter()
try:
    measure.Execute(sitk.GetImageFromArray(mask), sitk.GetImageFromArray(nothing))
    refused = False
except RuntimeError as e:
    refused = True
    print("SimpleITK:", str(e).strip().splitlines()[-1].split("): ")[-1])
ok = (all(row[d] == 0 for row in rows.values() for d in distances) and mean["nothing"] == 0
      and mean["2 mm off"] == 1.5 and rows["missed"]["dice"] == 0 and similar == (1, 0)
      and refused)
print("as found" if ok else "changed")
raise SystemExit(0 if ok else 1)
EOF
rc=$?
echo "lines of its log: $(wc -l <log), about distances: $(grep -ci distance log)"
exit $rc
