/* Fletcher's checksum of 32 bits, as `formats.hdf5_chunks.fletcher32` has it. */
#ifndef CKPT_INSPECT_FLETCHER_H
#define CKPT_INSPECT_FLETCHER_H

#include <stddef.h>
#include <stdint.h>

#include "processor.h"

/* Both sums, each modulo 65535, the second in the upper half: of big-endian words, a last byte as if a zero followed. */
BETWEEN_FILES uint32_t fletcher32(const unsigned char *data, size_t size);

#endif
