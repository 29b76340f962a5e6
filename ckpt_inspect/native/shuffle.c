/* Bytes of elements put together again: a loop over elements for each usual width, in which a compiler sees that whole
 * registers of each byte can be interleaved. Registers of 16 bytes do it as fast as the memory takes it; wider ones don't
 * do better.
 */
#include "shuffle.h"

enum { BLOCK = 1 << 12 }; /* elements of another width, which fit the cache, a byte of all at a time */

#define JOINED(name, WIDTH) \
    static void name(const unsigned char *restrict shuffled, size_t count, unsigned char *restrict elements) \
    { \
        for (size_t i = 0; i < count; i++) \
            for (size_t byte = 0; byte < (WIDTH); byte++) \
                elements[i * (WIDTH) + byte] = shuffled[byte * count + i]; \
    }

JOINED(join_2, 2)
JOINED(join_4, 4)
JOINED(join_8, 8)

void unshuffle(const unsigned char *shuffled, size_t width, size_t count, unsigned char *elements)
{
    if (width == 2)
        join_2(shuffled, count, elements);
    else if (width == 4)
        join_4(shuffled, count, elements);
    else if (width == 8)
        join_8(shuffled, count, elements);
    else
        for (size_t first = 0; first < count; first += BLOCK) {
            const size_t last = count - first < BLOCK ? count : first + BLOCK;
            for (size_t byte = 0; byte < width; byte++)
                for (size_t i = first; i < last; i++)
                    elements[i * width + byte] = shuffled[byte * count + i];
        }
}
