/* torch_impl.h: pieces of the reader of torch files: numpy arrays and tensors of types that are not
 * read (torch_numpy.c). */
#ifndef PRLX_TORCH_IMPL_H
#define PRLX_TORCH_IMPL_H
#include "io/formats/torch.h"

/* Copies elements of `one` bytes in row-major order; all indexes were checked. */
void torch_gather(uint8_t *dst, const uint8_t *src, const Shape *s, const int64_t *stride,
                  size_t one);

/* Whether v is a tensor of a kind that is known and not read: sparse, quantised, nested, without
 * data, or of numbers that only other programs have. torch_foreign tells its type and, where it is
 * written, its shape. */
bool torch_is_foreign(const Pk *v);
void torch_foreign(const Pk *v, TorchTensor *out);

/* Whether v is a pickled numpy array (protocols 0 to 5). torch_numpy: its numbers in row-major
 * order, lowest byte first; arrays of texts, objects and records give only their type. ST_FORMAT:
 * data and shape do not fit; ST_NOMEM. */
bool torch_is_numpy(const Pk *v);
Status torch_numpy(TorchFile *f, const Pk *v, const char *what, TorchTensor *out, Error *e);
#endif
