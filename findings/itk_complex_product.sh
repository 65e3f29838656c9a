#!/bin/sh
# Finding: a complex NIfTI volume (a gradient echo with phase, from which QSM is made) that ITK is
# asked for as real numbers becomes real part times imaginary part, silently: two components are
# taken for grey and alpha. So do SimpleITK 2.5.7 with outputPixelType=sitkFloat32, as one writes
# it before a registration, itk 5.4.7's imread(file, itk.F) and picsl-c3d 1.4.6.0 with any command.
# 3+4i (magnitude 5) is read as 12, 5i as 0. Without a type SimpleITK gives the complex numbers.
#
# usage: sh findings/itk_complex_product.sh. Installs the packages in a temporary folder and ends
# with 0 while this is so, with 1 when a version behaves in another way.
# prlx: refuses complex voxels and says what to save instead.
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT INT TERM
python3 -m venv "$T/v" &&
  "$T/v/bin/pip" install -q --no-compile SimpleITK==2.5.7 itk==5.4.7 picsl-c3d==1.4.6.0 \
    nibabel==5.4.2 numpy==2.4.6 || exit 1
cd "$T" || exit 1
"$T/v/bin/python" - <<'EOF'
import itk
import nibabel as nib
import numpy as np
import SimpleITK as sitk
from picsl_c3d import Convert3D

values = np.zeros((4, 4, 4), np.complex64)
values.ravel(order="K")[:4] = [3 + 4j, 5j, 2, -1 + 7j]
values = values.transpose()
nib.save(nib.Nifti1Image(values, np.eye(4)), "complex.nii")
plain = sitk.ReadImage("complex.nii")
c3d = Convert3D()
c3d.execute("complex.nii -as X")
seen = {
    "SimpleITK": sitk.GetArrayFromImage(plain).ravel(),
    "SimpleITK as float32": sitk.GetArrayFromImage(
        sitk.ReadImage("complex.nii", outputPixelType=sitk.sitkFloat32)).ravel(),
    "itk as float32": itk.array_from_image(itk.imread("complex.nii", itk.F)).ravel(),
    "c3d": sitk.GetArrayFromImage(c3d.peek(-1)).ravel(),
}
truth = np.transpose(values).ravel()
print("stored:", *truth[:4])
for name, v in seen.items():
    print(name + ":", *v[:4])
product = truth.real * truth.imag
ok = (np.array_equal(seen.pop("SimpleITK"), truth)
      and all(np.array_equal(v, product) for v in seen.values()))
print("as found" if ok else "changed")
raise SystemExit(0 if ok else 1)
EOF
