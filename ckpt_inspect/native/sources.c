/* Elements in memory, or read from a file and checksummed on the way. */
#define _GNU_SOURCE
#include <string.h>

#include "checksums.h"
#include "loops.h"

#if defined(_WIN32)
static int64_t read_at(int descriptor, unsigned char *out, size_t size, int64_t offset)
{
    (void)descriptor, (void)out, (void)size, (void)offset;
    return -1; /* whoever asked reads it by Python */
}
#else
#include <errno.h>
#include <unistd.h>

static int64_t read_at(int descriptor, unsigned char *out, size_t size, int64_t offset)
{
    for (;;) {
        const ssize_t count = pread(descriptor, out, size, (off_t)offset);
        if (count >= 0 || errno != EINTR)
            return (int64_t)count;
    }
}
#endif

const unsigned char *fetch(Source *source, size_t begin, size_t n, size_t width, unsigned char *scratch)
{
    const size_t size = n * width;
    if (source->memory) {
        const unsigned char *const found = source->memory + begin * width;
        if (!source->is_received)
            return found;
        source->crc = extend_checksum(source->crc, found, size);
        return (uintptr_t)found % width ? memcpy(scratch, found, size) : found;
    }
    for (size_t done = 0; done < size;) {
        const int64_t count = read_at(source->descriptor, scratch + done, size - done,
                                      source->offset + (int64_t)(begin * width + done));
        if (count <= 0)
            return NULL;
        done += (size_t)count;
    }
    source->crc = extend_checksum(source->crc, scratch, size);
    return scratch;
}
