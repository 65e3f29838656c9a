/* bids.h: names in the Brain Imaging Data Structure (BIDS 1.10 and its derivatives): which patient,
 * visit and scan a file belongs to, the names of the patches that this program writes, and the
 * files that make a folder of them a dataset.
 *
 * A lesion is named by patient, scan and lesion id. The scan is what tells several examinations of
 * a patient apart, written as BIDS writes it: "ses-02_acq-epi_run-1", in the order ses, acq, rec,
 * run; "" where there is only one. */
#ifndef PRLX_BIDS_H
#define PRLX_BIDS_H
#include "io/formats/nifti.h"
#include "io/images/resample.h"
#include "io/images/window.h"

enum { BIDS_LABEL = 64 /* bytes of one label with its end */, BIDS_SCAN = 64 };
typedef enum { ENT_SES, ENT_ACQ, ENT_REC, ENT_RUN, ENT_COUNT } ScanEntity;
extern const char *const bids_entity[ENT_COUNT]; /* "ses", "acq", "rec", "run" */

/* Labels without their keys; "" where the name has none. */
typedef struct BidsName {
  char sub[BIDS_LABEL];
  char scan[ENT_COUNT][BIDS_LABEL];
  char label[BIDS_LABEL];
  char desc[BIDS_LABEL];
  char space[BIDS_LABEL];
  char suffix[BIDS_LABEL]; /* "Chimap"; "" for a name without underscores */
} BidsName;

/* The entities of a file's name; ses also from its folders (sub-01/ses-02/anat/...). A name that
 * does not begin with sub- has none and is no error. ST_FORMAT: a session without a subject, an
 * entity without a label or twice, a session that folder and name give differently. */
Status bids_parse(BidsName *n, const char *path, Error *e);

/* A subject as tables name it, "sub-01" or, with the scan behind it, "P7_ses-02_run-1": the scan's
 * labels go into n, *length is the number of bytes of the patient's own name. Errors as above. */
Status bids_split_subject(BidsName *n, const char *subject, size_t *length, Error *e);

/* "ses-02_run-1" of these labels (with or without their keys, "" or n/a: none), letters and digits
 * only. ST_INVALID when it does not fit in BIDS_SCAN - 1 bytes. */
Status bids_scan(const char *const label[ENT_COUNT], char out[BIDS_SCAN], Error *e);

/* Label of one entity of a scan text, "" if it has none: (ENT_SES, "ses-02_run-1") is "02". */
void bids_scan_label(const char *scan, ScanEntity entity, char out[BIDS_LABEL]);

/* Order of two scans in time as far as their names tell: by session, then acquisition,
 * reconstruction, run; numbers within labels count as numbers (M6 before M12). <0, 0, >0. */
int bids_scan_order(const char *a, const char *b);

/* What is left of a patient's name without case, punctuation, accents and zeros in front of
 * numbers: "P-01" and "p1", but "1-11" and "11-1", too, have one. Two patients who share it may
 * be one: worth a question, not proof. */
void bids_loose_key(const char *subject, char key[2 * BIDS_LABEL]);

/* What two spellings of a patient have in common: "sub-01", "01", "Sub-1 " and "sub-01_ses-02" give
 * one key. Case, the prefix sub-, entities behind it, zeros in front of numbers, the kind of
 * separator, characters that nobody sees and the two ways to store an accent do not count. */
void bids_patient_key(const char *subject, char key[2 * BIDS_LABEL]);

/* ---- patches ---- */
/* The first CH_COUNT are channels. */
typedef enum {
  PATCH_CHI = CH_CHI,
  PATCH_RIM = CH_RIM, /* a probability: probseg */
  PATCH_FLAIR = CH_FLAIR,
  PATCH_MASK = CH_COUNT, /* of the lesion, 0 and 1: uint8 */
  PATCH_KINDS
} PatchKind;

enum { PATCH_NAME = 400 };

/* File name without folder and ending: sub-01/ses-02/anat/sub-01_ses-02_desc-lesion03_Chimap,
 * ..._label-rim_desc-lesion03_probseg, ..._label-lesion_desc-lesion03_mask. What BIDS does not
 * allow in a label is left out, so two lesions may get one name: who writes several calls
 * patch_names_check first. */
void patch_name(const char *subject, const char *scan, const char *lesion, PatchKind kind,
                char out[PATCH_NAME]);

typedef struct PatchId {
  const char *subject;
  const char *scan; /* "" for the only one */
  const char *lesion;
} PatchId;

/* Every lesion of a set has file names of its own (patch_name), also where the file system does not
 * tell A from a. ST_INVALID names the two that have not, or the one that is there twice; ST_NOMEM.
 * Before any of them is written. */
Status patch_names_check(const PatchId *id, int64_t n, Error *e);

/* Writes DIR/NAME.nii.gz in the type of its kind and, if json is given, DIR/NAME.json; makes
 * folders. v: voxels of g, i fastest. descrip at most 79 characters. */
Status patch_write(const char *dir, const char *name, PatchKind kind, const float *v, const Grid *g,
                   const char *descrip, const char *json, Error *e);

/* Text for between the quotes of a JSON string, cut at n - 1 bytes. */
void bids_json_text(const char *s, char *out, size_t n);

/* ---- datasets ---- */
typedef struct BidsDataset {
  const char *name; /* Name */
  const char *tool; /* GeneratedBy: "prlx crop" */
  const char *version;
  const char *how;      /* its Description, or NULL */
  const char *readme;   /* whole text of README */
  const char *ignore;   /* lines of .bidsignore: what is in the folder and not BIDS */
  const char *chi_more; /* more lines of Chimap.json (",\n  \"ZeroReference\": ..."), or "" */
  unsigned kinds;       /* bit 1 << PatchKind: of which there are files, which get a sidecar */
  bool skull_stripped;
  bool simulated; /* says so in every sidecar */
} BidsDataset;

/* dataset_description.json, README, .bidsignore, and of Chimap.json, FLAIR.json,
 * label-rim_probseg.json, label-lesion_mask.json those of d->kinds. keep: those that are there
 * already stay as they are. */
Status bids_describe(const char *dir, const BidsDataset *d, bool keep, Error *e);

/* The value of a boolean key in the sidecar of a volume (FILE.json beside FILE.nii.gz): *flag 1, 0,
 * or -1 where there is no sidecar or no such key. ST_IO, ST_FORMAT, ST_NOMEM: it is there and
 * cannot be read. */
Status bids_sidecar_flag(const char *volume, const char *key, int *flag, Error *e);
#endif
