/* Fletcher's checksum of 32 bits, of words of 16 bits.
 *
 * The second sum counts each word as often as there are words from it to the end, so that both sums can be added up in
 * lanes: word LANES*row + lane belongs to its lane. Words are read low byte first, and the sums multiplied by 256, which
 * modulo 65535 is to swap the bytes of each.
 */
#include "fletcher.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define LOW_BYTE_FIRST(word) ((uint16_t)((word) << 8 | (word) >> 8))
#else
#define LOW_BYTE_FIRST(word) (word)
#endif

enum { LANES = 8, ROWS = 256 }; /* a second sum is 65535 * ROWS*(ROWS+1)/2 at most, which 32 bits hold */

typedef struct {
    uint64_t first, second;
} Sums;

INLINE Sums sums_of_rows_body(const unsigned char *data, size_t rows)
{
    uint32_t first[LANES] = {0}, second[LANES] = {0};
    for (size_t row = 0; row < rows; row++) {
        uint16_t words[LANES];
        memcpy(words, data + row * sizeof words, sizeof words);
#pragma omp simd
        for (int lane = 0; lane < LANES; lane++) {
            const uint32_t sum = first[lane] + LOW_BYTE_FIRST(words[lane]);
            first[lane] = sum;
            second[lane] += sum;
        }
    }
    Sums sums = {0, 0};
    for (int lane = 0; lane < LANES; lane++) {
        sums.first += first[lane];
        sums.second += (uint64_t)LANES * second[lane] - (uint64_t)lane * first[lane];
    }
    return sums;
}

VERSIONS(Sums, sums_of_rows, (const unsigned char *data, size_t rows), (data, rows))

uint32_t fletcher32(const unsigned char *data, size_t size)
{
    uint64_t first = 0, second = 0;
    while (size >= 2 * LANES) {
        const size_t rows = size < 2 * LANES * ROWS ? size / (2 * LANES) : ROWS;
        const Sums sums = sums_of_rows(data, rows);
        second = (second + first * LANES * rows + sums.second) % 65535;
        first = (first + sums.first) % 65535;
        data += 2 * LANES * rows, size -= 2 * LANES * rows;
    }
    for (; size > 1; data += 2, size -= 2) {
        first += data[0] | (unsigned)data[1] << 8;
        second += first;
    }
    if (size) {
        first += *data;
        second += first;
    }
    return (uint32_t)(256 * second % 65535) << 16 | (uint32_t)(256 * first % 65535);
}
