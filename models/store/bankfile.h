/* bankfile.h: a bank of starts (models/gan/project_start.h) as a file, so that it is made once per
 * network. Tensors "w" [n,w_dim] and "look" [n,size] F32; metadata format "prlx-starts-1" and
 * "network": SHA-256 of the generator's configuration and weights, with the class. */
#ifndef PRLX_BANKFILE_H
#define PRLX_BANKFILE_H
#include "models/gan/project_start.h"

/* The bank in `path` if the file is there, else a new one of n, written there (path NULL: kept in
 * memory only). on, cond as start_bank_new. ST_FORMAT: the file is no bank, is cut off, or belongs
 * to another network, another class or another n; nothing is overwritten then. */
Status start_bank_open(const char *path, Backend *on, const Generator *G, const real *cond, int n,
                       VggChannels pick, StartBank *out, Error *e);
#endif
