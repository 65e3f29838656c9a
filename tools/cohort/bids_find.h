/* bids_find.h: which files of a BIDS tree belong together: for each susceptibility map the FLAIR,
 * the lesion map and the rim mask of the same patient and scan, in the dataset and its
 * derivatives. */
#ifndef PRLX_BIDS_FIND_H
#define PRLX_BIDS_FIND_H
#include "io/images/bids.h"

typedef struct BidsFile {
  char *path;
  BidsName name;
  int root; /* 0: the dataset itself, 1, 2, ... its derivatives */
} BidsFile;
typedef struct BidsTree {
  BidsFile *file; /* [n], by path within each root */
  int n;
  int cap;
  int roots;
  int subjects; /* folders sub-... of all roots */
} BidsTree;

/* Volumes named Chimap, FLAIR, dseg, mask and probseg below DIR/sub-* and DIR/derivatives/X/sub-*.
 * labels, sessions: with or without sub- and ses-, of those wanted; none: all. skip: a folder to
 * leave out (the output, which may lie in the tree), or NULL. Patches of this program
 * (desc-lesion03) are left out. ST_IO: a folder cannot be read; ST_FORMAT: a name that cannot be
 * right (bids_parse), or that says another patient than its folder. Free also after an error. */
Status bids_tree_open(BidsTree *t, const char *dir, const char *const *labels, int nlabels,
                      const char *const *sessions, int nsessions, const char *skip, Error *e);
void bids_tree_free(BidsTree *t);

/* What belongs to one map; NULL: there is none. */
typedef struct BidsMatch {
  const BidsFile *chi;
  const BidsFile *flair;
  const BidsFile *lesions;
  const BidsFile *rim;
  bool plain; /* the lesion map is a dseg that does not say what of */
} BidsMatch;

/* chi: a file of t. lesions_as: desc or label of the lesion maps, NULL: anything that says lesion.
 * ST_INVALID: two files fit equally well; the message names both. */
Status bids_match(const BidsTree *t, const BidsFile *chi, const char *lesions_as, BidsMatch *out,
                  Error *e);
#endif
