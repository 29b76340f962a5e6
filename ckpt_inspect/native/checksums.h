/* CRC-32C, as `google_crc32c.extend` computes it. */
#ifndef CKPT_INSPECT_CHECKSUMS_H
#define CKPT_INSPECT_CHECKSUMS_H

#include <stddef.h>
#include <stdint.h>

#include "processor.h"

/* Make the tables and look at the processor; once, before anything else. */
BETWEEN_FILES void prepare_checksums(void);

/* The checksum of A and then `size` bytes, from that of A; 0 is the checksum of nothing. */
BETWEEN_FILES uint32_t extend_checksum(uint32_t crc, const unsigned char *data, size_t size);

#endif
