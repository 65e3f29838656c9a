#!/bin/sh
# Finding: the values of a NIfTI volume do not survive nifti-zarr 1.0.0rc8. nii2zarr keeps the
# stored numbers and, beside them, scl_slope and scl_inter, as it should; zarr2nii writes the same
# numbers with slope 1 and offset 0. A susceptibility map from -0.3 to 0.299 ppm, stored in
# thousandths, comes back as -300 to 299, and so does one that lies 0.5 higher by its offset. And
# nii2zarr of an image in memory cuts the values to the type in its header: a map in ppm that was
# computed from an int16 volume and has that volume's header is 0 in every voxel, where nibabel
# 5.4.2 finds a scale and saves it. Neither says anything. (1.0.0rc9, for Python 3.12, does both.)
#
# usage: sh findings/nifti_zarr_slope.sh. Installs the packages in a temporary folder and ends with
# 0 while this is so, with 1 when a version behaves in another way.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m venv "$T/v" &&
  "$T/v/bin/pip" install -q --no-compile nifti-zarr==1.0.0rc8 zarr==3.1.6 nibabel==5.4.2 \
    numpy==2.4.6 SimpleITK==2.5.7 || exit 1
cd "$T" || exit 1
cat >make.py <<'END'
import nibabel as nib
import numpy as np

stored = np.random.default_rng(0).integers(-300, 300, (20, 20, 10)).astype(np.int16)
stored[0, 0, :2] = -300, 299
for name, slope, inter in (("plain", 1, 0), ("ppm", 0.001, 0), ("offset", 0.001, 0.5)):
    image = nib.Nifti1Image(stored, np.diag([1.0, 1.0, 2.0, 1.0]))
    image.header.set_slope_inter(slope, inter)
    nib.save(image, name + ".nii.gz")
END
"$T/v/bin/python" make.py || exit 1
for f in plain ppm offset; do
  "$T/v/bin/nii2zarr" $f.nii.gz $f.nii.zarr 2>>err && "$T/v/bin/zarr2nii" $f.nii.zarr \
    $f.back.nii.gz 2>>err || { tail -3 err; exit 1; }
done
"$T/v/bin/python" -W ignore - <<'END'
import io

import nibabel as nib
import niizarr
import numpy as np
import SimpleITK as sitk
import zarr

ok = True
for name in ("plain", "ppm", "offset"):
    before = nib.load(name + ".nii.gz").get_fdata()
    after = nib.load(name + ".back.nii.gz").get_fdata()
    itk = sitk.GetArrayFromImage(sitk.ReadImage(name + ".back.nii.gz")).T
    group = zarr.open(name + ".nii.zarr", mode="r")
    header = nib.Nifti1Header.from_fileobj(io.BytesIO(np.asarray(group["nifti"]).tobytes()),
                                           check=False)
    slope, inter = header.get_slope_inter()
    inside = np.asarray(group["0"]).T * slope + inter
    kept = np.abs(inside - before).max() < 1e-6
    print(f"{name}: {before.min():.3f} to {before.max():.3f}; in the zarr slope {slope:.3f}, "
          f"offset {inter}, {'the same values' if kept else 'other values'}; back as NIfTI "
          f"{after.min():.3f} to {after.max():.3f}")
    stored = np.asarray(nib.load(name + ".nii.gz").dataobj.get_unscaled())
    ok = ok and kept and np.array_equal(after, stored) and np.array_equal(itk, stored)
    ok = ok and np.allclose(after, before) == (name == "plain")

source = nib.load("plain.nii.gz")
ppm = source.get_fdata() / 1000
image = nib.Nifti1Image(ppm, source.affine, source.header)
nib.save(image, "saved.nii.gz")
niizarr.nii2zarr(image, "memory.nii.zarr")
saved = nib.load("saved.nii.gz").get_fdata()
level = np.asarray(zarr.open("memory.nii.zarr", mode="r")["0"])
print(f"in memory, {ppm.min():.3f} to {ppm.max():.3f} with an int16 header: nibabel saves "
      f"{saved.min():.3f} to {saved.max():.3f}, nii2zarr {level.min()} to {level.max()}")
ok = ok and np.abs(saved - ppm).max() < 1e-4 and not level.any()
print("as found" if ok else "changed")
raise SystemExit(0 if ok else 1)
END
