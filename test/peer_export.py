"""nnU-Net, MONAI or TorchIO load what `prlx export-cohort` wrote, and its values are those of the
cohort. usage: peer_export.py nnunet|monai|torchio FOLDER LESIONS.tsv"""
import csv
import glob
import json
import os
import sys

import numpy as np


def first_map(table):
    """Susceptibility map, FLAIR, mask and rim of the first lesion of the cohort."""
    import nibabel as nib
    row = next(csv.DictReader(open(table), delimiter="\t"))
    root = os.path.dirname(table)
    name = "%s_ses-%s_lesion-%s" % (row["subject"], row["session"], row["lesion"])
    return name, [nib.load(os.path.join(root, row[k])).get_fdata()
                  for k in ("chi", "flair", "mask", "rim")]


def expected_label(mask, rim):
    label = (mask > 0).astype(int)
    label[rim >= 0.5] = 2
    return label


def by_patient(parts):
    """No patient in two of the lists of case names."""
    seen = {}
    for part, names in parts.items():
        for name in names:
            assert seen.setdefault(name.split("_")[0], part) == part, (name, part)


def nnunet(folder, table):
    os.environ["nnUNet_raw"] = folder
    os.environ["nnUNet_preprocessed"] = folder
    os.environ["nnUNet_results"] = folder
    from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
    from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets
    root = glob.glob(folder + "/Dataset*")[0]
    verify_dataset_integrity(root, 1)
    info = json.load(open(root + "/dataset.json"))
    cases = get_filenames_of_train_images_and_targets(root)
    assert len(cases) == info["numTraining"]
    name, (chi, flair, mask, rim) = first_map(table)
    at = root + "/images%s/" + name
    tr = "Tr" if os.path.exists(at % "Tr" + "_0000.nii.gz") else "Ts"
    image, _ = SimpleITKIO().read_images([at % tr + "_000%d.nii.gz" % k for k in (0, 1)])
    assert np.array_equal(image[0].transpose(2, 1, 0), chi.astype(np.float32))
    assert np.array_equal(image[1].transpose(2, 1, 0), flair.astype(np.float32))
    seg, _ = SimpleITKIO().read_seg("%s/labels%s/%s.nii.gz" % (root, tr, name))
    assert np.array_equal(seg[0].transpose(2, 1, 0), expected_label(mask, rim))
    splits = json.load(open(root + "/splits_final.json"))
    for s in splits:
        by_patient({"train": s["train"], "val": s["val"]})
        assert not any("denoised" in n for n in s["val"])
        assert set(s["train"]) | set(s["val"]) <= set(cases)
    assert sorted(n for s in splits for n in s["val"]) == sorted(
        n for n in cases if "denoised" not in n)
    print(len(cases), "cases,", len(splits), "folds")


def monai(folder, table):
    from monai.data import Dataset, load_decathlon_datalist
    from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged
    lists = {p: load_decathlon_datalist(folder + "/dataset.json", True, p)
             for p in ("training", "validation", "test")}
    by_patient({p: [os.path.basename(x["label"]) for x in l] for p, l in lists.items()})
    load = Compose([LoadImaged(["image", "label"]), EnsureChannelFirstd(["label"])])
    for p, l in lists.items():
        for x in Dataset(l, load):
            assert x["image"].shape[0] == 2 and x["image"].shape[1:] == x["label"].shape[1:]
            assert set(np.unique(x["label"])) <= {0, 1, 2}
    name, (chi, flair, mask, rim) = first_map(table)
    one = [x for l in lists.values() for x in l if name + "_label" in x["label"]]
    x = load(one[0])
    assert np.array_equal(np.asarray(x["image"][0]), chi.astype(np.float32))
    assert np.array_equal(np.asarray(x["label"][0]), expected_label(mask, rim))
    print({p: len(l) for p, l in lists.items()})


def torchio(folder, table):
    import torchio as tio
    items = json.load(open(folder + "/subjects.json"))
    subjects = []
    for s in items:
        path = {k: os.path.join(folder, s[k]) for k in ("chi", "flair", "label")}
        subjects.append(tio.Subject(
            chi=tio.ScalarImage(path["chi"]), flair=tio.ScalarImage(path["flair"]),
            label=tio.LabelMap(path["label"]), name=s["name"], rim=s["rim"]))
    dataset = tio.SubjectsDataset(subjects)
    for s in dataset:
        s.check_consistent_space()
        assert set(np.unique(s.label.data)) <= {0, 1, 2}
    name, (chi, flair, mask, rim) = first_map(table)
    one = next(s for s in dataset if s.name == name)
    assert np.array_equal(one.chi.numpy()[0], chi.astype(np.float32))
    assert np.array_equal(one.label.numpy()[0], expected_label(mask, rim))
    by_patient({p: [s["name"] for s in items if s["part"] == p] for p in ("train", "test")})
    print(len(dataset), "subjects")


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2], sys.argv[3])
