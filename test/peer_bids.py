"""What pybids and nibabel make of our datasets. usage: peer_bids.py DATASET... (each with a
lesions.tsv whose rows are to be found one by one)"""
import csv
import sys

import nibabel as nib
import numpy as np
from bids import BIDSLayout
from bids.layout import BIDSLayoutIndexer

for root in sys.argv[1:]:
    # pybids does not read .bidsignore; the whole-brain volumes are a dataset of their own
    layout = BIDSLayout(root, is_derivative=True, indexer=BIDSLayoutIndexer(ignore=["whole-brain"]))
    rows = list(csv.DictReader(open(root + "/lesions.tsv"), delimiter="\t"))
    maps = layout.get(suffix="Chimap", extension=".nii.gz")
    assert len(maps) == len(rows), (root, len(maps), len(rows))
    keys = {(f.entities["subject"], f.entities.get("session"), f.entities["desc"]) for f in maps}
    assert len(keys) == len(rows), (root, "a lesion is not told apart", len(keys))
    for f in maps:
        meta = f.get_metadata()
        assert meta["Units"] == "ppm" and meta["SkullStripped"] in (True, False), (f.path, meta)
    for row in rows:
        session = row.get("session", "n/a")
        one = layout.get(subject=row["subject"][4:], desc="lesion" + row["lesion"],
                         session=None if session == "n/a" else session, extension=".nii.gz")
        suffixes = sorted(f.entities["suffix"] for f in one)
        assert suffixes.count("Chimap") == 1, (root, row["lesion"], suffixes)
        chi = nib.load(root + "/" + row["chi"])
        assert nib.aff2axcodes(chi.affine) == ("R", "A", "S")
        assert chi.get_data_dtype() == np.float32 and np.abs(chi.get_fdata()).max() < 5
        mask = nib.load(root + "/" + row["mask"])
        assert mask.get_data_dtype() == np.uint8
        assert set(np.unique(mask.get_fdata())) <= {0, 1}
        assert np.allclose(mask.affine, chi.affine) and mask.shape == chi.shape
        assert mask.header["sform_code"] == 1 and mask.header["qform_code"] == 1
    print(root, len(rows), "lesions, one entry each")
