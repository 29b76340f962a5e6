/* Figures of small tensors, many in one call: those of measure.c, and the order statistics and coarse histograms of their
 * touched elements, which are exact.
 */
#include "loops.h"

enum { DIGIT = 11, BUCKETS = 1 << DIGIT, FEW = 48 };

/* Bits of floats that are positive or 0, which are ordered as they are; `room` is as long. Returns which of the two holds
 * them, ascending. */
#define SORTED(name, UNSIGNED) \
    static UNSIGNED *name(UNSIGNED *values, UNSIGNED *room, size_t n) \
    { \
        if (n <= FEW) { \
            for (size_t i = 1; i < n; i++) { \
                const UNSIGNED own = values[i]; \
                size_t at = i; \
                for (; at && values[at - 1] > own; at--) \
                    values[at] = values[at - 1]; \
                values[at] = own; \
            } \
            return values; \
        } \
        for (int shift = 0; shift < (int)sizeof(UNSIGNED) * 8; shift += DIGIT) { \
            uint32_t begins[BUCKETS] = {0}, begin = 0; \
            for (size_t i = 0; i < n; i++) \
                begins[values[i] >> shift & (BUCKETS - 1)]++; \
            if (begins[values[0] >> shift & (BUCKETS - 1)] == n) \
                continue; \
            for (int bucket = 0; bucket < BUCKETS; bucket++) { \
                const uint32_t count = begins[bucket]; \
                begins[bucket] = begin; \
                begin += count; \
            } \
            for (size_t i = 0; i < n; i++) \
                room[begins[values[i] >> shift & (BUCKETS - 1)]++] = values[i]; \
            UNSIGNED *const other = values; \
            values = room; \
            room = other; \
        } \
        return values; \
    }

SORTED(sorted_32, uint32_t)
SORTED(sorted_64, uint64_t)

/* The values below and above the rank of each level, of such floats: they are spread over equally wide buckets, of which those
 * are sorted that hold one of these ranks. `values` and `room` are overwritten. */
#define RANKED(name, UNSIGNED, FROM_BITS, SORT) \
    static void name(UNSIGNED *values, UNSIGNED *room, size_t n, const double *levels, size_t level_count, double *ranked) \
    { \
        UNSIGNED least = values[0], largest = values[0]; \
        for (size_t i = 1; i < n; i++) { \
            least = values[i] < least ? values[i] : least; \
            largest = values[i] > largest ? values[i] : largest; \
        } \
        int shift = 0; \
        while ((largest - least) >> shift >= BUCKETS) \
            shift++; \
        uint32_t ends[BUCKETS] = {0}, begin = 0; \
        unsigned char are_sorted[BUCKETS] = {0}; \
        for (size_t i = 0; i < n; i++) \
            ends[(values[i] - least) >> shift]++; \
        for (int bucket = 0; bucket < BUCKETS; bucket++) { \
            const uint32_t count = ends[bucket]; \
            ends[bucket] = begin; \
            begin += count; \
        } \
        for (size_t i = 0; i < n; i++) \
            room[ends[(values[i] - least) >> shift]++] = values[i]; \
        for (size_t i = 0; i < 2 * level_count; i++) { \
            const double position = levels[i % level_count] * (double)(n - 1); \
            const size_t below = (size_t)position < n - 1 ? (size_t)position : n - 1; \
            const size_t rank = i < level_count || below == n - 1 ? below : below + 1; \
            const size_t bucket = (size_t)((room[rank] - least) >> shift); \
            if (!are_sorted[bucket]) { \
                const size_t first = bucket ? ends[bucket - 1] : 0, size = ends[bucket] - first; \
                const UNSIGNED *const ordered = SORT(room + first, values + first, size); \
                if (ordered != room + first) \
                    memcpy(room + first, ordered, size * sizeof *room); \
                are_sorted[bucket] = 1; \
            } \
            ranked[i] = FROM_BITS(room[rank]); \
        } \
    }

RANKED(ranked_32, uint32_t, of_bits, sorted_32)
RANKED(ranked_64, uint64_t, of_wide_bits, sorted_64)

/* The touched ones of a tensor's elements: their bits, the bins that they fall into, and the values at each rank. Whether E of
 * all is a number that isn't negative: of others nothing is left behind that would count. */
#define DISTRIBUTE(name, REAL, UNSIGNED, TO_BITS, LARGEST, BIN, RANK) \
    static int name(const SmallTensors *all, const SmallTensor *tensor, const SmallRoom *room, size_t row) \
    { \
        const REAL *const lr = (const REAL *)room->lr, start = (REAL)all->c[tensor->formula].start; \
        const REAL *under = (const REAL *)room->arrays[tensor->under == UNDER_MAXIMUM ? MAXIMUM : SECOND]; \
        const REAL *const mean = (const REAL *)room->arrays[MEAN]; \
        UNSIGNED *const chosen[2] = {(UNSIGNED *)room->chosen[0], (UNSIGNED *)room->chosen[1]}; \
        size_t n = 0; \
        UNSIGNED largest = 0; \
        for (size_t i = 0; i < tensor->size; i++) { \
            const REAL u = tensor->under == UNDER_CENTERED ? under[i] - mean[i] * mean[i] : under[i]; \
            chosen[0][n] = TO_BITS(lr[i]); \
            chosen[1][n] = TO_BITS(u); \
            const int is_touched = (u > 0) & (u < (REAL)INFINITY) & (u != start); \
            const UNSIGNED bits = is_touched ? TO_BITS(lr[i]) : 0; \
            largest = bits > largest ? bits : largest; \
            n += (size_t)is_touched; \
        } \
        if (largest > (LARGEST)) \
            return 0; \
        for (int kind = 0; kind < 2; kind++) { \
            int64_t *const counts = all->counts[kind] + row * all->bins[kind]; \
            for (size_t i = 0; i < n; i++) \
                counts[all->coarse[kind][BIN(chosen[kind][i])]]++; \
            if (n) \
                RANK(chosen[kind], (UNSIGNED *)room->spare, n, all->levels, all->level_count, \
                     all->ranked + (row * 2 + (size_t)kind) * 2 * all->level_count); \
        } \
        return 1; \
    }

INLINE uint32_t bin_of_bits(uint32_t bits)
{
    return bits >> FINE_SHIFT;
}

INLINE uint32_t bin_of_wide_bits(uint64_t bits)
{
    return bin_of(of_wide_bits(bits));
}

DISTRIBUTE(distribute_32, float, uint32_t, bits_of, INFINITE, bin_of_bits, ranked_32)
DISTRIBUTE(distribute_64, double, uint64_t, wide_bits_of, 0x7FF0000000000000u, bin_of_wide_bits, ranked_64)

/* The elements at a tensor's places, as doubles. */
static void widen_samples(const SmallTensors *all, const SmallTensor *tensor, const unsigned char *found, size_t count, size_t row)
{
    for (size_t source = 0; source < SOURCES; source++)
        for (size_t i = 0; i < count; i++) {
            double *const out = all->samples + (row * SOURCES + source) * all->place_count + i;
            const unsigned char *const at = found + (source * count + i) * width_of(tensor->dtype);
            float narrow;
            if (!is_there(&tensor->sources[source]))
                continue;
            if (tensor->dtype == FLOAT64) {
                memcpy(out, at, sizeof *out);
            } else {
                memcpy(&narrow, at, sizeof narrow);
                *out = narrow;
            }
        }
}

int measure_small(const SmallTensors *all, SmallTensor *tensor, const SmallRoom *room, size_t row)
{
    const int64_t *const places = all->places + row * all->place_count;
    size_t count = 0;
    while (count < all->place_count && places[count] >= 0)
        count++;
    Stretch stretch = {.dtype = tensor->dtype, .c = all->c[tensor->formula], .under = tensor->under, .size = tensor->size,
                       .scratch = room->scratch, .lr = room->lr, .rows = tensor->rows ? room->rows : NULL,
                       .row_length = tensor->rows ? (int64_t)tensor->size / tensor->rows : 1, .places = places,
                       .place_count = count, .samples = room->samples};
    memcpy(stretch.sources, tensor->sources, sizeof stretch.sources);
    memset(room->rows, 0, (size_t)tensor->rows);
    Figures *const figures = all->figures + row;
    if (!measure_stretch(&stretch, figures))
        return 0;
    SmallRoom read = *room;
    for (int i = 0; i < SOURCES; i++) {
        all->checksums[row * SOURCES + (size_t)i] = stretch.sources[i].crc;
        read.arrays[i] = tensor->sources[i].memory
                             ? tensor->sources[i].memory
                             : room->scratch + (size_t)i * CHUNK * width_of(tensor->dtype);
    }
    for (int64_t i = 0; i < tensor->rows; i++)
        all->touched_rows[row] += room->rows[i];
    widen_samples(all, tensor, room->samples, count, row);
    return tensor->dtype == FLOAT64 ? distribute_64(all, tensor, &read, row) : distribute_32(all, tensor, &read, row);
}
