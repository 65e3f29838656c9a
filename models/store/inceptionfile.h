/* inceptionfile.h: Inception weights from files. */
#ifndef PRLX_INCEPTIONFILE_H
#define PRLX_INCEPTIONFILE_H
#include "models/judge/inception.h"

/* path NULL: the bundled inception_v3_nsfwjs.safetensors. Tensors under pytorch-fid's names, of any
 * number type; U8 X with X.scale and X.min means X * scale + min. Metadata `name` names the
 * weights, `pool7c` ("max", "avg") the last pooling (else: max, for files that say they are not the
 * FID network avg). Folded and ready. data_dir as in data_find. ST_IO: no such file; ST_FORMAT: no
 * Inception, or an incomplete one; ST_NUMERIC: weights that are not finite. After an error v is
 * empty. */
Status inception_load(Inception *v, const char *path, const char *data_dir, Error *e);

/* Name and key of that file only, without its weights. */
Status inception_identify(Inception *v, const char *path, const char *data_dir, Error *e);
#endif
