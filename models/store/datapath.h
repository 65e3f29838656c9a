/* datapath.h: where the files of data/ are. */
#ifndef PRLX_DATAPATH_H
#define PRLX_DATAPATH_H
/* Path of a bundled file: $PRLX_DATA/name, else <folder of the program>/../data/name, else
 * data/name. Static buffer. */
const char *data_path(const char *name);
#endif
