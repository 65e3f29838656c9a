/* datapath.h: where the bundled files (data/) are. */
#ifndef PRLX_DATAPATH_H
#define PRLX_DATAPATH_H
#include "core/base.h"

/* Path of a bundled file: $PRLX_DATA/name if that is set, else the first that there is of
 * <folder of the program>/../data, <folder of the program>/../share/prlx/data, the folder it was
 * installed in (make install), ./data; the last if there is none. Static buffer: one thread. */
const char *data_path(const char *name);

/* The same into out [n], or in folder dir (the --data option) if that is not NULL. ST_IO lists
 * where it was looked for. */
Status data_find(const char *name, const char *dir, char *out, size_t n, Error *e);
#endif
