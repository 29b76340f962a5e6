/* Bytes of files where the kernel has them, without a copy. */
#ifndef CKPT_INSPECT_MAPPING_H
#define CKPT_INSPECT_MAPPING_H

#include "loops.h"

/* Once, before anything else. */
BETWEEN_FILES void prepare_mapping(void);

typedef int Work(void *given);

/* Do work on at most SOURCES sources, of each of which `size` bytes are wanted: those that lie in memory anyway become sources
 * in memory meanwhile. Return what the work does; 0 if it was left in the middle, because a file is not what it was. */
BETWEEN_FILES int with_mapped(Source *sources, size_t count, size_t size, Work *work, void *given);

#endif
