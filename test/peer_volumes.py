#!/usr/bin/env python3
"""Volumes and masks as the tools of the field write them, through `prlx crop`, and what crop and
convert write, through the readers of these tools.

usage: python3 test/peer_volumes.py PRLX [FOLDER]     (part of make test-long: test/peer_volumes.sh)

Needs numpy and nibabel; SimpleITK, antspyx, highdicom, pydicom, the programs of dcmqi and dcm2niix,
niimath and MRtrix3 are used where they are, and said to be absent where not. The scene: a head of
96 x 96 x 40 voxels of 0.4 x 0.4 x 1 mm in 0 ppm with a box lesion of 4 x 4 x 4 voxels of 0.3 ppm.
Right is: 64 voxels in the mask, 0.3 ppm in it. Prints a table (rows of test/README.md) and ends
with "N passed, N failed"."""
import csv
import glob
import importlib
import os
import shutil
import subprocess
import sys
import tempfile

PRLX = os.path.abspath(sys.argv[1])
FOLDER = sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp()
np = nib = None
passed = failed = 0
rows = []  # tool, version, what, count, good


def module(name):
    try:
        return importlib.import_module(name)
    except Exception:  # absent, or broken where it is
        return None


def program(name):
    return shutil.which(name) or shutil.which(name, path=os.path.dirname(sys.executable))


def run(*a, check=True):
    r = subprocess.run([str(x) for x in a], capture_output=True, text=True)
    if check and r.returncode:
        raise RuntimeError(f"{' '.join(map(str, a))}: {r.stderr[-600:]}{r.stdout[-300:]}")
    return r


def path(*a):
    p = os.path.join(FOLDER, *a)
    os.makedirs(os.path.dirname(p), exist_ok=True)
    return p


def check(ok, what):
    global passed, failed
    passed, failed = passed + bool(ok), failed + (not ok)
    if not ok:
        print("FAIL", what)
    return bool(ok)


def scene(turn=0.0):
    """Map, labels, affine (RAS, turned about z by `turn` degrees)."""
    shape, size = (96, 96, 40), np.array([0.4, 0.4, 1.0])
    chi, lab = np.zeros(shape, np.float32), np.zeros(shape, np.uint8)
    box = (slice(40, 44), slice(36, 40), slice(15, 19))
    chi[box], lab[box] = 0.3, 1
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    A = np.eye(4)
    A[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.diag(size)
    A[:3, 3] = -A[:3, :3] @ ((np.array(shape) - 1) / 2)
    return chi, lab, A


def orient(data, A, codes):
    """The same volume with axes towards these letters, and its affine."""
    o = nib.orientations
    t = o.ornt_transform(o.io_orientation(A), o.axcodes2ornt(codes))
    return o.apply_orientation(data, t), A @ o.inv_ornt_aff(t, data.shape)


def save(name, data, A, scode=1, qcode=1, qaffine=None, units="mm", cls=None):
    im = (cls or nib.Nifti1Image)(data, A, dtype=data.dtype)
    im.header.set_xyzt_units(units)
    im.set_sform(A, scode)
    im.set_qform(A if qaffine is None else qaffine, qcode)
    nib.save(im, path(name))
    return path(name)


def crop(tool, what, chi, labels, *more, note=None):
    """Crops and checks the one lesion; remembers the row of the table."""
    out = tempfile.mkdtemp(dir=FOLDER)
    r = run(PRLX, "crop", chi, labels, *more, "-o", out, check=False)
    ok, said = r.returncode == 0, r.stderr.strip()
    n, mean = 0, float("nan")
    if ok:
        with open(os.path.join(out, "lesions.tsv"), newline="") as f:
            lesions = list(csv.DictReader(f, delimiter="\t"))
        ok = len(lesions) == 1
        m = nib.load(os.path.join(out, lesions[0]["mask"])).get_fdata() > 0
        v = nib.load(os.path.join(out, lesions[0]["chi"])).get_fdata()
        n, mean = int(m.sum()), float(v[m].mean()) if m.any() else float("nan")
        ok = ok and n == 64 and abs(mean - 0.3) < 2e-3 and (note is None or note in said)
    check(ok, f"{tool}: {what}: exit {r.returncode}, {n} voxels, mean {mean:.4f}: {said[-300:]}")
    rows.append((tool, what.split(":")[0], ok))
    shutil.rmtree(out)


# ---- writers ----
AXES = ["RAS", "LAS", "LPS", "RPI", "LPI", "RAI", "ASR", "PIR", "SLP", "IAR", "RSA", "PLS", "AIL",
        "SRA", "ILP", "LSP", "PSR", "ARS", "IRP", "SPL"]


def nibabel_writes():
    chi, lab, A = scene()
    forms = [(1, 1), (1, 0), (0, 1), (2, 1), (4, 4), (0, 3)]
    for i, codes in enumerate(AXES):
        c, a = orient(chi, A, codes)
        l, b = orient(lab, A, AXES[(7 * i + 3) % len(AXES)])
        s, q = forms[i % len(forms)]
        crop("nibabel", "map and labels with axes in 20 orders and ways, codes in six",
             save("axes_c.nii.gz", c, a, s, q), save("axes_l.nii.gz", l, b, q, s))
    for units in ("mm", "micron", "meter", "unknown"):
        B = A.copy()
        B[:3] *= {"micron": 1000, "meter": 0.001}.get(units, 1)
        crop("nibabel", "lengths in mm, um, m, unknown", save("u_c.nii", chi, B, units=units),
             save("u_l.nii", lab, B, units=units))
    for t in ("u1", "i1", "i2", "u2", "i4", "u4", "i8", "f4", "f8"):
        crop("nibabel", "labels of nine number types", save("c.nii.gz", chi, A),
             save("t.nii.gz", lab.astype(t), A))
    im = nib.Nifti1Image(chi, A)
    im.header.set_data_dtype(np.int16)
    nib.save(im, path("int16.nii.gz"))
    crop("nibabel", "integers with a slope, NIfTI-2, .hdr/.img", path("int16.nii.gz"),
         save("t.nii.gz", lab, A))
    crop("nibabel", "integers with a slope, NIfTI-2, .hdr/.img",
         save("n2.nii.gz", chi, A, cls=nib.Nifti2Image), save("t.nii.gz", lab, A))
    nib.save(nib.Nifti1Pair(chi, A), path("pair.img"))
    crop("nibabel", "integers with a slope, NIfTI-2, .hdr/.img", path("pair.hdr"),
         save("t.nii.gz", lab, A))


def sitk_writes(sitk):
    chi, lab, A = scene()
    for turn in (0, 17.5):
        chi, lab, A = scene(turn)
        for codes in AXES[:10]:
            c, a = orient(chi, A, codes)
            name = save("s_c.nii.gz", c, a)
            m = sitk.BinaryThreshold(sitk.ReadImage(name), 0.1, 1.0)
            sitk.WriteImage(m, path("s_l.nii.gz"))
            crop("SimpleITK", "masks drawn on maps of ten orientations, straight and oblique", name,
                 path("s_l.nii.gz"))
    chi, lab, A = scene()
    Q = A.copy()
    Q[0, 3] += 3
    name = save("forms.nii.gz", chi, A, 2, 1, Q)
    sitk.WriteImage(sitk.BinaryThreshold(sitk.ReadImage(name), 0.1, 1.0), path("forms_l.nii.gz"))
    crop("SimpleITK", "mask of a map whose sform (code 2) and qform are 3 mm apart", name,
         path("forms_l.nii.gz"), note="fits the qform")
    bare = save("bare.nii.gz", chi, A, 0, 0)
    sitk.WriteImage(sitk.BinaryThreshold(sitk.ReadImage(bare), 0.1, 1.0), path("bare_l.nii.gz"))
    crop("SimpleITK", "mask of a map without codes", bare, path("bare_l.nii.gz"),
         note="voxel by voxel")
    name = save("s_c.nii.gz", chi, A)
    lpi = sitk.DICOMOrient(sitk.ReadImage(name) > 0.1, "PIR")
    sitk.WriteImage(sitk.Cast(lpi, sitk.sitkUInt16) * 255, path("pir.nii.gz"))
    crop("SimpleITK", "mask of 0 and 255 reoriented to PIR", name, path("pir.nii.gz"))
    cut = sitk.RegionOfInterest(sitk.ReadImage(name) > 0.1, [60, 60, 20], [20, 20, 5])
    sitk.WriteImage(cut, path("roi.nii.gz"))
    crop("SimpleITK", "mask of a region of interest only", name, path("roi.nii.gz"),
         note="part of the map")


def ants_writes(ants):
    chi, lab, A = scene(17.5)
    for codes in AXES[:5]:
        c, a = orient(chi, A, codes)
        name = save("a_c.nii.gz", c, a)
        ants.image_write(ants.threshold_image(ants.image_read(name), 0.1, 1), path("a_l.nii.gz"))
        crop("ANTsPy", "masks by threshold_image, five orientations, oblique", name,
             path("a_l.nii.gz"))


def mrtrix_writes():
    chi, lab, A = scene(17.5)
    for strides in ("1,2,3", "-1,2,3", "3,1,2", "-2,3,-1", "2,-3,1"):
        name = save("m_c.nii.gz", chi, A)
        run("mrconvert", name, path("m.mif"), "-strides", strides, "-force", "-quiet")
        run("mrthreshold", path("m.mif"), path("mask.mif"), "-abs", 0.1, "-force", "-quiet")
        run("mrconvert", path("mask.mif"), path("m_l.nii.gz"), "-force", "-quiet")
        run("mrconvert", path("m.mif"), path("m_c2.nii.gz"), "-force", "-quiet")
        crop("MRtrix3", ".mif in five strides to NIfTI: map, mask by mrthreshold", name,
             path("m_l.nii.gz"))
        crop("MRtrix3", ".mif in five strides to NIfTI: map, mask by mrthreshold",
             path("m_c2.nii.gz"), path("m_l.nii.gz"))


def niimath_writes():
    chi, lab, A = scene(17.5)
    for t in ("char", "short", "float", "double"):
        name = save("n_c.nii.gz", chi, A)
        run(program("niimath"), name, "-thr", 0.1, "-bin", path("n_l.nii.gz"), "-odt", t)
        crop("niimath", "masks by -thr -bin in four number types", name, path("n_l.nii.gz"))


def dicom_series(pydicom):
    """The scene as an MR series of 16-bit slices, 1000 per ppm; returns file names."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid
    chi, lab, A = scene()
    lps = np.diag([-1, -1, 1, 1]) @ A
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    names = []
    for k in range(chi.shape[2]):
        d = pydicom.Dataset()
        d.file_meta = FileMetaDataset()
        d.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        d.SOPClassUID = d.file_meta.MediaStorageSOPClassUID = MRImageStorage
        d.SOPInstanceUID = d.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        d.StudyInstanceUID, d.SeriesInstanceUID, d.FrameOfReferenceUID = study, series, frame
        d.PatientName, d.PatientID, d.PatientBirthDate, d.PatientSex = "Scene^Box", "1", "", ""
        d.Modality, d.StudyID, d.SeriesNumber, d.InstanceNumber = "MR", "1", 1, k + 1
        d.AccessionNumber, d.ReferringPhysicianName, d.Manufacturer = "", "", "test"
        d.StudyDate, d.StudyTime, d.PositionReferenceIndicator = "20250101", "000000", ""
        d.ImageType, d.ScanningSequence, d.SequenceVariant = ["DERIVED", "PRIMARY"], "GR", "NONE"
        d.ScanOptions, d.MRAcquisitionType, d.EchoTime, d.RepetitionTime = "", "3D", "5", "30"
        d.EchoTrainLength, d.SamplesPerPixel, d.PhotometricInterpretation = 1, 1, "MONOCHROME2"
        d.SliceThickness, d.PixelSpacing = 1.0, [0.4, 0.4]
        d.ImageOrientationPatient = [float(x) for x in
                                     np.r_[lps[:3, 0] / 0.4, lps[:3, 1] / 0.4].round(6)]
        d.ImagePositionPatient = [float(x) for x in
                                  (lps @ [0, 0, k, 1])[:3].round(4)]
        d.Rows, d.Columns, d.BitsAllocated, d.BitsStored = chi.shape[1], chi.shape[0], 16, 16
        d.HighBit, d.PixelRepresentation, d.RescaleSlope, d.RescaleIntercept = 15, 1, "0.001", "0"
        d.RescaleType = "US"
        d.PixelData = np.rint(chi[:, :, k].T * 1000).astype("<i2").tobytes()
        names.append(path("dicom", f"{k:03d}.dcm"))
        d.save_as(names[-1], enforce_file_format=True)
    return names


META = """{"ContentCreatorName": "test", "ClinicalTrialSeriesID": "1",
 "ClinicalTrialTimePointID": "1", "SeriesDescription": "lesion", "SeriesNumber": "300",
 "InstanceNumber": "1", "BodyPartExamined": "BRAIN", "segmentAttributes": [[{"labelID": 1,
 "SegmentDescription": "lesion", "SegmentAlgorithmType": "MANUAL",
 "SegmentedPropertyCategoryCodeSequence": {"CodeValue": "49755003",
 "CodingSchemeDesignator": "SCT", "CodeMeaning": "Morphologically Altered Structure"},
 "SegmentedPropertyTypeCodeSequence": {"CodeValue": "52988006", "CodingSchemeDesignator": "SCT",
 "CodeMeaning": "Lesion"}}]], "ContentLabel": "SEGMENTATION", "ContentDescription": "lesion"}"""


def dicom_writes(pydicom):
    names = dicom_series(pydicom)
    chi, lab, A = scene()
    chi_name, lab_name = save("d_c.nii.gz", chi, A), save("d_l.nii.gz", lab, A)
    if program("dcm2niix"):
        run(program("dcm2niix"), "-z", "y", "-b", "n", "-o", path("d2n", "x")[:-2], "-f", "map",
            path("dicom", "x")[:-2])
        made = glob.glob(path("d2n", "map*.nii.gz"))[0]
        crop("dcm2niix", "map from a DICOM series with a slope, labels of nibabel", made, lab_name)
        chi_name = made
    if program("itkimage2segimage"):
        with open(path("meta.json"), "w") as f:
            f.write(META)
        run(program("itkimage2segimage"), "--inputImageList", lab_name, "--inputDICOMDirectory",
            path("dicom", "x")[:-2], "--outputDICOM", path("seg.dcm"), "--inputMetadata",
            path("meta.json"))
        run(program("segimage2itkimage"), "--inputDICOM", path("seg.dcm"), "--outputDirectory",
            path("dcmqi", "x")[:-2], "-t", "nifti")
        for made in glob.glob(path("dcmqi", "*.nii.gz")):
            crop("dcmqi", "DICOM SEG to NIfTI and back", chi_name, made)
    hd = module("highdicom")
    if hd:
        highdicom_writes(hd, pydicom, names, lab, chi_name)


def highdicom_writes(hd, pydicom, names, lab, chi_name):
    from highdicom.sr.coding import CodedConcept
    src = [pydicom.dcmread(n) for n in names]
    desc = hd.seg.SegmentDescription(
        segment_number=1, segment_label="lesion",
        segmented_property_category=CodedConcept("49755003", "SCT", "Morphologically Altered "
                                                 "Structure"),
        segmented_property_type=CodedConcept("52988006", "SCT", "Lesion"),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL)
    for omit in (True, False):
        seg = hd.seg.Segmentation(
            source_images=src, pixel_array=np.ascontiguousarray(lab.transpose(2, 1, 0)),
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY, segment_descriptions=[desc],
            series_instance_uid=hd.UID(), series_number=2, sop_instance_uid=hd.UID(),
            instance_number=1, manufacturer="test", manufacturer_model_name="test",
            software_versions="1", device_serial_number="1", omit_empty_frames=omit)
        seg.save_as(path("hd.dcm"))
        v = hd.seg.segread(path("hd.dcm")).get_volume(combine_segments=True)
        ras = np.diag([-1, -1, 1, 1]) @ v.affine
        name = save("hd_l.nii.gz", v.array.astype(np.uint8), ras)
        crop("highdicom", "DICOM SEG with and without empty frames to NIfTI", chi_name, name)


# ---- readers ----
def patches():
    """Files that prlx wrote: patches of straight, turned and sheared maps, converted volumes."""
    made = []
    for i, turn in enumerate((0, 17.5, None)):
        chi, lab, A = scene(turn or 0)
        if turn is None:
            A[0, 1] = 0.03 * 0.4
        chi += np.linspace(0, 0.05, 96, dtype=np.float32)[:, None, None]
        q = 0 if turn is None else 1
        c, l = save(f"r{i}_c.nii.gz", chi, A, 1, q), save(f"r{i}_l.nii.gz", lab, A, 1, q)
        run(PRLX, "crop", c, l, "-o", path(f"r{i}", "x")[:-2], "--quiet")
        made += glob.glob(path(f"r{i}", "**", "*.nii.gz"), recursive=True)
        run(PRLX, "convert", c, path(f"r{i}_conv.nii.gz"), "--quiet")
        made.append(path(f"r{i}_conv.nii.gz"))
    chi, lab, A = scene()
    c = save("r_n2.nii", chi, A, cls=nib.Nifti2Image)
    run(PRLX, "convert", c, path("r_n1.nii"), "--quiet")
    return made + [path("r_n1.nii")]


def reads(tool, files, get, itk=False):
    """get(file) -> voxels [i,j,k], affine RAS, as this tool understands the file. itk: of a sheared
    volume it takes the nearest rotation, which convert writes as qform."""
    worst = voxels = 0.0
    good = True
    for f in files:
        im = nib.load(f)
        want, A = im.get_fdata(), im.affine
        if itk and "_conv" in f:
            A = im.get_qform()
        try:
            v, B = get(f)
        except Exception as x:
            good = check(False, f"{tool} does not read {os.path.basename(f)}: {str(x)[:300]}")
            continue
        far = max(np.abs((A - B) @ [*(np.array(want.shape) - 1) * c, 1]).max() for c in (0, 1))
        diff = np.abs(v - want).max() if v.shape == want.shape else np.inf
        worst, voxels = max(worst, far), max(voxels, diff)
        good &= check(far < 1e-3 and diff <= 1e-6,
                      f"{tool}: {os.path.basename(f)}: {far:.2g} mm, {diff:.2g} off")
    rows.append((tool, f"reads {len(files)} patches, masks, converted volumes: {worst:.1g} mm and "
                 f"{voxels:.1g} at most off nibabel", good))


def sitk_get(sitk):
    def get(f):
        im = sitk.ReadImage(f)
        D = np.array(im.GetDirection()).reshape(3, 3) * np.array(im.GetSpacing())
        B = np.eye(4)
        B[:3, :3], B[:3, 3] = D, im.GetOrigin()
        return sitk.GetArrayFromImage(im).T, np.diag([-1, -1, 1, 1]) @ B
    return get


def ants_get(ants):
    def get(f):
        im = ants.image_read(f)
        B = np.eye(4)
        B[:3, :3], B[:3, 3] = im.direction * np.array(im.spacing), im.origin
        return im.numpy(), np.diag([-1, -1, 1, 1]) @ B
    return get


def mrtrix_get(f):
    A = nib.load(f).affine
    run("mrconvert", f, path("back.nii"), "-strides", f, "-force", "-quiet")
    im = nib.load(path("back.nii"))
    B = im.affine
    v, (j, k) = im.get_fdata(), (np.argmax(abs(A[:3, :3]), 0), np.argmax(abs(B[:3, :3]), 0))
    if (j != k).any():
        raise RuntimeError("axes in another order")
    for c in range(3):
        if (A[j[c], c] < 0) != (B[j[c], c] < 0):
            v = np.flip(v, c)
            B = B.copy()
            B[:3, 3] += B[:3, c] * (v.shape[c] - 1)
            B[:3, c] *= -1
    return v, B


def niimath_get(f):
    for old in glob.glob(path("nback*")):
        os.remove(old)
    run(program("niimath"), f, "-add", 0, path("nback"), "-odt", "float")
    im = nib.load(glob.glob(path("nback*"))[0])
    return im.get_fdata(), im.affine


def main():
    global np, nib
    np, nib = module("numpy"), module("nibabel")
    if not np or not nib:
        print("tools of the field: skipped, no numpy and nibabel (PYTHON names a python with them)")
        print("0 passed, 0 failed")
        return 0
    files = patches()
    version = {"nibabel": nib.__version__}
    nibabel_writes()
    reads("nibabel", files, lambda f: (nib.load(f).get_fdata(), nib.load(f).affine))
    sitk, ants, pydicom = module("SimpleITK"), module("ants"), module("pydicom")
    if sitk:
        version["SimpleITK"] = sitk.Version.VersionString()
        sitk_writes(sitk)
        reads("SimpleITK", files, sitk_get(sitk), itk=True)
    if ants:
        version["ANTsPy"] = ants.__version__
        ants_writes(ants)
        reads("ANTsPy", files, ants_get(ants), itk=True)
    if program("mrconvert"):
        version["MRtrix3"] = run("mrinfo", "--version").stdout.split()[2]
        mrtrix_writes()
        reads("MRtrix3", files, mrtrix_get)
    if program("niimath"):
        said = run(program("niimath"), check=False).stdout
        version["niimath"] = said.split("version ")[1].split()[0]
        niimath_writes()
        reads("niimath", files, niimath_get)
    if pydicom:
        version["dcm2niix"] = (run(program("dcm2niix"), "--version", check=False).stdout.split()
                               or ["?"])[-1] if program("dcm2niix") else "?"
        hd = module("highdicom")
        version["highdicom"] = hd.__version__ if hd else "?"
        md = module("importlib.metadata")
        try:
            version["dcmqi"] = md.version("dcmqi")
        except Exception:
            version["dcmqi"] = "?"
        dicom_writes(pydicom)
    for tool in ("SimpleITK", "ANTsPy", "MRtrix3", "niimath"):
        if tool not in version:
            print(f"{tool}: skipped, absent")
    if not pydicom:
        print("DICOM SEG: skipped, no pydicom")
    seen = {}
    for tool, what, ok in rows:
        n = seen.setdefault((tool, what), [0, 0])
        n[0] += bool(ok)
        n[1] += 1
    for (tool, what), (good, n) in seen.items():
        print(f"| {tool} | {version.get(tool, '?')} | {what} | {good} of {n} |")
    print(f"{passed} passed, {failed} failed")
    return failed > 0


try:
    code = main()
finally:
    if len(sys.argv) <= 2:
        shutil.rmtree(FOLDER, ignore_errors=True)
sys.exit(code)
