#!/bin/sh
# Finding: msdataqc 0.1.0, which counts the lesions of multiple sclerosis under stated conventions,
# joins pieces whose gap is one voxel larger than the limit that it states: it lets each grow by
# half the limit and joins what then touches, where the two would have to meet. In voxels of 1 mm
# "at most 2 mm", by its description one empty voxel, joins pieces with two empty voxels between
# them (centres 3 mm apart), and 4 mm joins 5; in voxels of 0.5 mm they join 2.5 and 4.5, so that
# the same lesions count otherwise. 160 pieces at random are 155 lesions at 2 mm and 107 at 4 by the
# definition, 120 and 64 by lesioncount. For gtdrift a lesion that is there, gone and there again,
# with another one 3 mm beside it in the meantime, is one that was always there. Nothing warns.
#
# usage: sh findings/msdataqc_merge_gap.sh. Installs the packages in a temporary folder and ends
# with 0 while this is so, with 1 when a version behaves in another way.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m venv "$T/v" &&
  "$T/v/bin/pip" install -q --no-compile msdataqc==0.1.0 numpy==2.4.6 scipy==1.17.1 \
    pandas==2.3.3 nibabel==5.4.2 matplotlib==3.11.2 || exit 1
cd "$T" || exit 1
"$T/v/bin/python" - <<'EOF'
import nibabel as nib
import numpy as np
from msdataqc.gtdrift.core import audit
from msdataqc.lesioncount.core import count
from scipy.ndimage import label
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree


def by_definition(mask, size, limit):
    """Pieces joined where two of their voxel centres lie at most limit apart."""
    pieces, n = label(mask, np.ones((3, 3, 3)))
    at = np.argwhere(mask)
    pairs = cKDTree(at * size).query_pairs(limit + 1e-9, output_type="ndarray")
    names = pieces[tuple(at.T)] - 1
    a, b = names[pairs[:, 0]], names[pairs[:, 1]]
    return connected_components(coo_matrix((np.ones(len(a)), (a, b)), shape=(n, n)))[0]


ok = True
for size in (1.0, 0.5):
    for limit in (2.0, 4.0):
        joined = {}
        for empty in range(1, 12):
            mask = np.zeros((40, 9, 9), bool)
            mask[3:6, 3:6, 3:6] = mask[6 + empty:9 + empty, 3:6, 3:6] = True
            gap = (empty + 1) * size
            joined[gap] = count(mask, (size,) * 3, 26, 0, limit) == 1
            ok &= by_definition(mask, size, limit) == (1 if gap <= limit else 2)
        widest = max(g for g in joined if joined[g])
        print(f"voxels of {size} mm, gaps of at most {limit} mm: joins up to {widest} mm")
        ok &= widest == limit + size

rng = np.random.default_rng(0)
mask = np.zeros((48, 48, 48), bool)
for x, y, z in rng.integers(0, 46, (170, 3)):
    mask[x:x + 2, y:y + 2, z:z + 2] = True
for limit in (0.0, 2.0, 4.0):
    says, right = count(mask, (1.0,) * 3, 26, 0, limit), by_definition(mask, 1.0, limit)
    print(f"{label(mask, np.ones((3, 3, 3)))[1]} pieces, at most {limit} mm: {says} lesions by"
          f" lesioncount, {right} by the definition")
    ok &= says == right if limit == 0 else says < right

for visit, x in enumerate((3, 8, 3)):
    mask = np.zeros((16, 9, 9), np.uint8)
    mask[x:x + 3, 3:6, 3:6] = 1
    nib.save(nib.Nifti1Image(mask, np.eye(4)), f"visit{visit}.nii.gz")
visits = [f"visit{i}.nii.gz" for i in range(3)]
for limit in (2.0, 1.0):
    sites, summary = audit(visits, merge_mm=limit)
    print(f"gtdrift, at most {limit} mm, gap 3 mm: patterns {list(sites['pattern'])}, implausible"
          f" {summary['implausible_sites']}")
    ok &= list(sites["pattern"]) == (["111"] if limit == 2 else ["101", "010"])
print("as found" if ok else "changed")
raise SystemExit(0 if ok else 1)
EOF
