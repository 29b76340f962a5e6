/* HDF5's filter that stores the first bytes of all elements, then all second ones, as `formats.hdf5_chunks` undoes it. */
#ifndef CKPT_INSPECT_SHUFFLE_H
#define CKPT_INSPECT_SHUFFLE_H

#include <stddef.h>

#include "processor.h"

/* So many elements of `width` bytes, put together again in `elements`, which is other memory. */
BETWEEN_FILES void unshuffle(const unsigned char *shuffled, size_t width, size_t count, unsigned char *elements);

#endif
