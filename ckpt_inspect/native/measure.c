/* Figures of an optimizer's state: a stretch of a tensor is read once, a chunk at a time that fits the second-level cache, and
 * leaves sums, counts and extremes behind. The tests of measurement check these loops against numpy.
 *
 * Elements are taken a block at a time. Within a block there are no branches, so that the compiler can use the vector
 * registers of the processor at hand; what an element doesn't take part in, it enters as zero. Every operation on
 * elements is rounded as IEEE 754 has it and as numpy does it: contraction into fused multiply-add is off (pyproject.toml).
 * Sums are of doubles.
 */
#include "halves.h"
#include "loops.h"
#include "mapping.h"

enum { BLOCK = 1024 }; /* elements; the few arrays of a block fit the first-level cache */

typedef enum {
    ROOT_OF_SECOND, /* E = numerator / (sqrt(v) + epsilon); of float32 and float64 */
    ROOT,           /* E = numerator / (sqrt(u / divisor + inner_epsilon) + epsilon), u being what is under the root */
    NO_ROOT,        /* E = numerator / (u / divisor + epsilon): v and u are norms, not squares */
    CONSTANT        /* E = numerator */
} Denominator;

/* Whether E is not negative, no -0 either, and falls as u grows, so that its extremes are those of u. */
INLINE int is_sane(const Coefficients *c)
{
    return c->numerator >= 0 && !signbit(c->numerator) && c->numerator < INFINITY && c->divisor > 0 && c->epsilon >= 0 &&
           c->inner_epsilon >= 0;
}

/* --- counting in lanes */

/* Values that are known to be positive or 0. */
INLINE void count_in_lanes(const float *values, int n, LaneCounts *counts)
{
    int i = 0;
    for (; i + LANES <= n; i += LANES) {
        uint64_t first, second; /* two values at a load, a tenth of the time of a piece less */
        memcpy(&first, values + i, sizeof first);
        memcpy(&second, values + i + 2, sizeof second);
        counts->lanes[0][(uint32_t)first >> FINE_SHIFT]++;
        counts->lanes[1][first >> (FINE_SHIFT + 32)]++;
        counts->lanes[2][(uint32_t)second >> FINE_SHIFT]++;
        counts->lanes[3][second >> (FINE_SHIFT + 32)]++;
    }
    for (; i < n; i++)
        counts->lanes[0][bits_of(values[i]) >> FINE_SHIFT]++;
}

/* BLOCK elements that have been measured, to be counted while the next ones are. */
typedef struct {
    const float *lr, *under;
    LaneCounts *lanes; /* of each */
} Waiting;

INLINE void count_waiting(const Waiting *waiting, int begin, int n)
{
    count_in_lanes(waiting->lr + begin, n, &waiting->lanes[0]);
    count_in_lanes(waiting->under + begin, n, &waiting->lanes[1]);
}

/* --- blocks of each type */

#define REAL float
#define UNSIGNED uint32_t
#define SIGNED int32_t
#define OF(name) name##_32
#define TO_BITS bits_of
#define FROM_BITS of_bits
#define EXPONENT INFINITE
#define ABS fabsf
#define SQRT sqrtf
#define ROUNDED rounded
/* What doesn't move a weight: TensorFlow's threads flush subnormals to zero; halves are computed in float32. */
#define SMALLEST_UPDATE(half) ((half) == NO_HALF ? FLT_MIN : 0x1p-149f)
#define HAS_SQUARED_RATIO(denominator) 0
#define LEAST_SQUARED FLT_MIN
#define MOST_SQUARED FLT_MAX
#define COUNT_WAITING(waiting, begin, n) \
    do { \
        if (waiting) \
            count_waiting(waiting, begin, n); \
    } while (0)

INLINE float half_ulp_32(float w, const Half half)
{
    float power = of_bits(bits_of(w) & INFINITE);
    if (half == NO_HALF)
        return power * 0x1p-24f;
    const float least = half == IEEE_HALF ? 0x1p-14f : 0x1p-126f;
    return (power < least ? least : power) * (half == IEEE_HALF ? 0x1p-11f : 0x1p-8f);
}

#include "block.h"


#define measure_floats_body(s, b, total, denominator) measure_any_block_32(s, b, total, denominator, NO_HALF)
#define measure_ieee_halves_body(s, b, total, denominator) measure_any_block_32(s, b, total, denominator, IEEE_HALF)
#define measure_brain_halves_body(s, b, total, denominator) measure_any_block_32(s, b, total, denominator, BRAIN_HALF)
#define PARAMETERS (const Scalars_32 *s, const Block_32 *b, Totals_32 *total, Denominator denominator)
VERSIONS(int, measure_floats, PARAMETERS, (s, b, total, denominator))
VERSIONS(int, measure_ieee_halves, PARAMETERS, (s, b, total, denominator))
VERSIONS(int, measure_brain_halves, PARAMETERS, (s, b, total, denominator))
#undef PARAMETERS

#undef REAL
#undef UNSIGNED
#undef SIGNED
#undef OF
#undef TO_BITS
#undef FROM_BITS
#undef EXPONENT
#undef ABS
#undef SQRT
#undef ROUNDED
#undef SMALLEST_UPDATE
#undef COUNT_WAITING
#undef HAS_SQUARED_RATIO
#undef LEAST_SQUARED
#undef MOST_SQUARED

#define REAL double
#define UNSIGNED uint64_t
#define SIGNED int64_t
#define OF(name) name##_64
#define TO_BITS wide_bits_of
#define FROM_BITS of_wide_bits
#define EXPONENT 0x7FF0000000000000u
#define ABS fabs
#define SQRT sqrt
#define ROUNDED(x, half) ((void)(half), (x))
#define SMALLEST_UPDATE(half) DBL_MIN
/* Whether of |m|/√v the square is taken, m²/v, where that saves a root; and of which numbers it is as good: |m|/√v is exact
 * to rounding, but for what is below 2**-311. */
#define HAS_SQUARED_RATIO(denominator) ((denominator) != NO_ROOT && (denominator) != ROOT_OF_SECOND)
#define LEAST_SQUARED 0x1p-400
#define MOST_SQUARED 0x1p300
#define COUNT_WAITING(waiting, begin, n) ((void)0) /* doubles are counted by themselves */

INLINE double half_ulp_64(double w, const Half half)
{
    (void)half;
    return of_wide_bits(wide_bits_of(w) & EXPONENT) * 0x1p-53;
}

#include "block.h"

#define measure_doubles_body(s, b, total, denominator) measure_any_block_64(s, b, total, denominator, NO_HALF)
VERSIONS(int, measure_doubles, (const Scalars_64 *s, const Block_64 *b, Totals_64 *total, Denominator denominator),
         (s, b, total, denominator))

/* --- histograms */

/* Count values that are known to be positive or 0: the sign bit of any other would lead out of the bins. */
static void count_unsigned(const float *values, int n, int64_t *counts)
{
    int i = 0;
    for (; i + 2 <= n; i += 2) { /* two at a load, a tenth of the time of a piece less */
        uint64_t both;
        memcpy(&both, values + i, sizeof both);
        counts[(uint32_t)both >> FINE_SHIFT]++;
        counts[both >> (FINE_SHIFT + 32)]++;
    }
    if (i < n)
        counts[bits_of(values[i]) >> FINE_SHIFT]++;
}

/* Count bins in lanes. */
static void count_bins_in_lanes(const uint32_t *bins, int n, LaneCounts *counts)
{
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int lane = 0; lane < LANES; lane++)
            counts->lanes[lane][bins[i + lane]]++;
    for (; i < n; i++)
        counts->lanes[0][bins[i]]++;
}

/* Count bins that aren't NOWHERE, in lanes unless those are NULL; then `bins` is written over. */
static void count_numbered(uint32_t *bins, int n, LaneCounts *lanes, int64_t *counts)
{
    int kept = 0;
    if (lanes) {
        count_bins_in_lanes(bins, n, lanes);
        return;
    }
    for (int i = 0; i < n; i++) { /* no branch, which would be foretold wrongly as often as rightly */
        const uint32_t bin = bins[i];
        bins[kept] = bin;
        kept += bin != NOWHERE;
    }
    for (int i = 0; i < kept; i++)
        counts[bins[i]]++;
}

/* Add the lanes up, and clear them. What was counted is positive, no smaller than `least` and no larger than `most`. */
static void add_lanes(LaneCounts *counts, double least, double most, int64_t *total)
{
    const uint32_t first = bin_of(least), last = bin_of(most) + 1; /* what is infinite in float32 has a bin of its own */
    for (uint32_t bin = first; bin <= last && bin < FINE_BINS; bin++) {
        for (int lane = 0; lane < LANES; lane++) {
            total[bin] += counts->lanes[lane][bin];
            counts->lanes[lane][bin] = 0;
        }
    }
}

/* The bins of values of which `gate` is touched: positive, finite and not `start`; if they are positive or 0 themselves. */
INLINE void number_floats_body(const float *values, const float *gate, float start, int n, uint32_t *bins)
{
#pragma omp simd
    for (int i = 0; i < n; i++) {
        const uint32_t bits = bits_of(values[i]);
        const int is_counted = (gate[i] > 0) & (gate[i] < INFINITY) & (gate[i] != start) & (bits <= INFINITE);
        bins[i] = is_counted ? bits >> FINE_SHIFT : (uint32_t)NOWHERE;
    }
}

VERSIONS(void, number_floats, (const float *values, const float *gate, float start, int n, uint32_t *bins),
         (values, gate, start, n, bins))

INLINE void number_doubles_body(const double *values, const double *gate, double start, int n, uint32_t *bins)
{
#pragma omp simd
    for (int i = 0; i < n; i++) {
        const double x = values[i];
        const int is_counted = (gate[i] > 0) & (gate[i] < INFINITY) & (gate[i] != start) &
                               (x >= 0) & !(wide_bits_of(x) >> 63);
        bins[i] = is_counted ? bin_of(x) : (uint32_t)NOWHERE;
    }
}

VERSIONS(void, number_doubles, (const double *values, const double *gate, double start, int n, uint32_t *bins),
         (values, gate, start, n, bins))

/* Doubles that float32 has as normal numbers: their upper bits number the bin, but for the exponent's other zero. */
#define LEAST_NORMAL 0x3810000000000000u /* 2**-126 */
#define BEYOND_FLOATS 0x47F0000000000000u /* 2**128 */
enum { WIDE_SHIFT = FINE_SHIFT + 29, FIRST_BIN = (1023 - 127) << (23 - FINE_SHIFT) };

INLINE int are_normal_body(const double *values, int n)
{
    uint64_t odd = 0;
#pragma omp simd reduction(| : odd)
    for (int i = 0; i < n; i++)
        odd |= wide_bits_of(values[i]) - LEAST_NORMAL >= BEYOND_FLOATS - LEAST_NORMAL;
    return !odd;
}

VERSIONS(int, are_normal, (const double *values, int n), (values, n))

INLINE void number_normal_body(const double *values, int n, uint32_t *bins)
{
#pragma omp simd
    for (int i = 0; i < n; i++)
        bins[i] = (uint32_t)(wide_bits_of(values[i]) >> WIDE_SHIFT) - FIRST_BIN;
}

VERSIONS(void, number_normal, (const double *values, int n, uint32_t *bins), (values, n, bins))

/* Count doubles of which `gate` is touched. */
static void count_doubles_of(const double *values, const double *gate, double start, int is_clean, int n, uint32_t *bins,
                             LaneCounts *lanes, int64_t *counts)
{
    if (is_clean && are_normal(values, n))
        number_normal(values, n, bins);
    else
        number_doubles(values, gate, start, n, bins);
    count_numbered(bins, n, lanes, counts);
}

INLINE int are_touched_body(const float *values, int n)
{
    uint32_t odd = 0;
#pragma omp simd reduction(| : odd)
    for (int i = 0; i < n; i++)
        odd |= bits_of(values[i]) - 1 >= INFINITE - 1; /* not in (0, inf) */
    return !odd;
}

VERSIONS(int, are_touched, (const float *values, int n), (values, n))

void count_piece(const float *values, size_t size, int64_t *counts)
{
    uint32_t bins[BLOCK];
    if (!counts)
        return;
    for (size_t start = 0; start < size; start += BLOCK) {
        const float *block = values + start;
        const int n = size - start < BLOCK ? (int)(size - start) : BLOCK;
        if (are_touched(block, n)) {
            count_unsigned(block, n, counts);
        } else {
            number_floats(block, block, 0, n, bins);
            count_numbered(bins, n, NULL, counts);
        }
    }
}

void count_doubles_piece(const double *values, size_t size, int64_t *counts)
{
    uint32_t bins[BLOCK];
    if (!counts)
        return;
    for (size_t start = 0; start < size; start += BLOCK) {
        const int n = size - start < BLOCK ? (int)(size - start) : BLOCK;
        count_doubles_of(values + start, values + start, 0, 1, n, bins, NULL, counts);
    }
}

/* --- rows and samples */

static void touch(unsigned char *row)
{
#if defined(__GNUC__)
    __atomic_store_n(row, 1, __ATOMIC_RELAXED); /* another thread may be at the same row */
#else
    *row = 1;
#endif
}

/* Elements first:first+n of the tensor are touched. */
static void touch_rows(const Stretch *stretch, int64_t first, int64_t n)
{
    for (int64_t row = first / stretch->row_length; row * stretch->row_length < first + n; row++)
        touch(stretch->rows + row);
}

static void take_samples(const Stretch *stretch, const unsigned char *const data[SOURCES], size_t begin, size_t n, size_t *next)
{
    const size_t width = width_of(stretch->dtype);
    for (; *next < stretch->place_count && (size_t)stretch->places[*next] < begin + n; ++*next)
        for (int i = 0; i < SOURCES; i++)
            if (data[i])
                memcpy(stretch->samples + ((size_t)i * stretch->place_count + *next) * width,
                       data[i] + ((size_t)stretch->places[*next] - begin) * width, width);
}

/* --- a stretch */

static const double zeros[BLOCK]; /* of what isn't there; nothing of such weights is lost in rounding */

static Denominator denominator_of(const Stretch *stretch)
{
    const Coefficients *c = &stretch->c;
    if (!c->is_adaptive)
        return CONSTANT;
    if (!c->has_root)
        return NO_ROOT;
    const int is_simple = c->divisor == 1 && c->inner_epsilon == 0 && stretch->under == UNDER_SECOND;
    return is_simple && half_of(stretch->dtype) == NO_HALF ? ROOT_OF_SECOND : ROOT;
}

/* The bits of halves that are touched, 0 for the others. */
INLINE void number_halves_body(const float *under, float start, int n, uint32_t *bits, Half half)
{
#pragma omp simd
    for (int i = 0; i < n; i++) {
        const int is_counted = (under[i] > 0) & (under[i] < INFINITY) & (under[i] != start);
        bits[i] = is_counted ? narrowed(under[i], half) : 0;
    }
}

#define number_ieee_body(under, start, n, bits) number_halves_body(under, start, n, bits, IEEE_HALF)
#define number_brain_body(under, start, n, bits) number_halves_body(under, start, n, bits, BRAIN_HALF)
VERSIONS(void, number_ieee, (const float *under, float start, int n, uint32_t *bits), (under, start, n, bits))
VERSIONS(void, number_brain, (const float *under, float start, int n, uint32_t *bits), (under, start, n, bits))

/* Count halves by their bits, whatever they are. */
static void count_halves(const uint16_t *halves, int n, int64_t *counts)
{
    int i = 0;
    for (; i + 4 <= n; i += 4) {
        uint64_t four;
        memcpy(&four, halves + i, sizeof four);
        counts[four & 0xFFFF]++;
        counts[four >> 16 & 0xFFFF]++;
        counts[four >> 32 & 0xFFFF]++;
        counts[four >> 48]++;
    }
    for (; i < n; i++)
        counts[halves[i]]++;
}

/* A block, and what it needs of memory. */
typedef struct {
    float wide[SOURCES][BLOCK], centered[2][BLOCK], lr[2][BLOCK]; /* in turn: those of the block before may be waiting */
    uint32_t bins[BLOCK];
    Block_32 block;
    const uint16_t *halves; /* what is under the root, as it is stored; NULL if it is computed */
    Waiting waiting;
    int has_waiting, turn;
} FloatBlock;

typedef struct {
    double centered[BLOCK], lr[BLOCK];
    uint32_t bins[BLOCK];
    Block_64 block;
} DoubleBlock;

/* Elements begin:begin+n of a chunk of float32 or of halves. */
static void set_floats(FloatBlock *b, const Stretch *stretch, Half half, const unsigned char *const data[SOURCES], size_t begin,
                       int n, float *lr)
{
    const float *arrays[SOURCES];
    for (int i = 0; i < SOURCES; i++) {
        arrays[i] = (const float *)zeros;
        if (!data[i])
            continue;
        if (half == NO_HALF) {
            arrays[i] = (const float *)data[i] + begin;
            continue;
        }
        arrays[i] = b->wide[i];
        widen_halves((const uint16_t *)data[i] + begin, n, half, b->wide[i]);
    }
    const int source = stretch->under == UNDER_MAXIMUM ? MAXIMUM : SECOND;
    const float *under = arrays[source];
    b->halves = half == NO_HALF ? NULL : (const uint16_t *)data[source] + begin;
    b->turn = !b->turn;
    if (stretch->under == UNDER_CENTERED) {
        b->halves = NULL;
        float *const centered = b->centered[b->turn];
        for (int i = 0; i < n; i++)
            centered[i] = rounded(arrays[SECOND][i] - rounded(arrays[MEAN][i] * arrays[MEAN][i], half), half);
        under = centered;
    }
    b->block = (Block_32){arrays[VALUE], arrays[FIRST], arrays[SECOND],
                          under,         lr ? lr : b->lr[b->turn], n, b->has_waiting ? &b->waiting : NULL};
}

static void set_doubles(DoubleBlock *b, const Stretch *stretch, const unsigned char *const data[SOURCES], size_t begin, int n,
                        double *lr)
{
    const double *arrays[SOURCES];
    for (int i = 0; i < SOURCES; i++)
        arrays[i] = data[i] ? (const double *)data[i] + begin : zeros;
    const double *under = arrays[stretch->under == UNDER_MAXIMUM ? MAXIMUM : SECOND];
    if (stretch->under == UNDER_CENTERED) {
        for (int i = 0; i < n; i++)
            b->centered[i] = arrays[SECOND][i] - arrays[MEAN][i] * arrays[MEAN][i];
        under = b->centered;
    }
    b->block = (Block_64){arrays[VALUE], arrays[FIRST], arrays[SECOND], under, lr ? lr : b->lr, n, NULL};
}

/* Count what is waiting of the blocks before; the memory that they were read into may be used again. */
static void count_rest(FloatBlock *b)
{
    if (b->has_waiting)
        count_waiting(&b->waiting, 0, BLOCK);
    b->has_waiting = 0;
}

/* Count what was measured, or have it wait; `is_clean` is what `measure_any_block` returned. */
static void count_floats(FloatBlock *b, const Stretch *stretch, Half half, float start, int is_clean)
{
    const float *const lr = b->block.lr, *const under = b->block.under;
    const int n = b->block.n;
    if (stretch->half_counts && b->halves) {
        count_halves(b->halves, n, stretch->half_counts);
    } else if (stretch->half_counts) {
        if (half == IEEE_HALF)
            number_ieee(under, start, n, b->bins);
        else
            number_brain(under, start, n, b->bins);
        for (int i = 0; i < n; i++)
            stretch->half_counts[b->bins[i]]++;
    }
    LaneCounts *const lanes = stretch->lanes;
    b->has_waiting = stretch->lr_counts && is_clean && lanes && n == BLOCK;
    if (b->has_waiting) {
        b->waiting = (Waiting){lr, under, lanes};
    } else if (stretch->lr_counts && is_clean && lanes) {
        count_in_lanes(lr, n, &lanes[0]);
        count_in_lanes(under, n, &lanes[1]);
    } else if (stretch->lr_counts && is_clean) {
        count_unsigned(lr, n, stretch->lr_counts);
        count_unsigned(under, n, stretch->under_counts);
    } else if (stretch->lr_counts) {
        number_floats(lr, under, start, n, b->bins);
        count_numbered(b->bins, n, lanes ? &lanes[0] : NULL, stretch->lr_counts);
        number_floats(under, under, start, n, b->bins);
        count_numbered(b->bins, n, lanes ? &lanes[1] : NULL, stretch->under_counts);
    }
}

static void count_doubles(DoubleBlock *b, const Stretch *stretch, double start, int is_clean)
{
    const double *const under = b->block.under;
    const int n = b->block.n;
    LaneCounts *const lanes = stretch->lanes;
    if (!stretch->lr_counts)
        return;
    count_doubles_of(b->block.lr, under, start, is_clean, n, b->bins, lanes ? &lanes[0] : NULL, stretch->lr_counts);
    count_doubles_of(under, under, start, is_clean, n, b->bins, lanes ? &lanes[1] : NULL, stretch->under_counts);
}

/* Mark the rows of a block whose first is element `first` of the tensor. */
#define MARK_ROWS(stretch, under, n, first, start, is_clean) \
    if ((stretch)->rows && (is_clean)) { \
        touch_rows(stretch, first, n); \
    } else if ((stretch)->rows) { \
        for (int64_t i = 0; i < n;) { \
            const int64_t row = (first + i) / (stretch)->row_length, end = (row + 1) * (stretch)->row_length - first; \
            int is_touched = 0; \
            for (; i < end && i < n; i++) \
                is_touched |= under[i] != start; \
            if (is_touched) \
                touch((stretch)->rows + row); \
        } \
    }

/* Elements begin:begin+n of each source, NULL where there is none. Whether all could be read. */
static int fetch_all(Stretch *stretch, size_t begin, size_t n, const unsigned char *data[SOURCES])
{
    const size_t width = width_of(stretch->dtype);
    for (int i = 0; i < SOURCES; i++) {
        data[i] = NULL;
        if (is_there(&stretch->sources[i])) {
            unsigned char *const room = stretch->scratch ? stretch->scratch + (size_t)i * CHUNK * width : NULL;
            data[i] = fetch(&stretch->sources[i], begin, n, width, room);
            if (!data[i])
                return 0;
        }
    }
    return 1;
}

static int measure_halves_or_floats(Half half, const Scalars_32 *s, const Block_32 *b, Totals_32 *total, Denominator denominator)
{
    if (half == NO_HALF)
        return measure_floats(s, b, total, denominator);
    return half == IEEE_HALF ? measure_ieee_halves(s, b, total, denominator)
                             : measure_brain_halves(s, b, total, denominator);
}

typedef struct {
    Stretch *stretch;
    Figures *figures;
} Measuring;

static int measure_elements(void *given)
{
    Stretch *const stretch = ((Measuring *)given)->stretch;
    Figures *const figures = ((Measuring *)given)->figures;
    const Denominator denominator = denominator_of(stretch);
    const Half half = half_of(stretch->dtype);
    const Scalars_32 s = scalars_of_32(&stretch->c, denominator, half);
    const Scalars_64 wide = scalars_of_64(&stretch->c, denominator, half);
    Totals_32 total = {.under_min = UINT32_MAX};
    Totals_64 wide_total = {.under_min = UINT64_MAX};
    const unsigned char *data[SOURCES];
    FloatBlock floats;
    DoubleBlock doubles;
    floats.has_waiting = floats.turn = 0;
    size_t sample = 0;
    int is_read = 1;
    for (size_t begin = 0; begin < stretch->size; begin += CHUNK) {
        const size_t n = stretch->size - begin < CHUNK ? stretch->size - begin : CHUNK;
        is_read = fetch_all(stretch, begin, n, data);
        if (!is_read)
            break;
        take_samples(stretch, data, begin, n, &sample);
        for (size_t i = 0; i < n; i += BLOCK) {
            const int some = n - i < BLOCK ? (int)(n - i) : BLOCK;
            const int64_t first = stretch->first + (int64_t)(begin + i);
            if (stretch->dtype == FLOAT64) {
                set_doubles(&doubles, stretch, data, i, some, stretch->lr ? (double *)stretch->lr + begin + i : NULL);
                const int is_clean = measure_doubles(&wide, &doubles.block, &wide_total, denominator);
                count_doubles(&doubles, stretch, wide.start, is_clean);
                MARK_ROWS(stretch, doubles.block.under, some, first, wide.start, is_clean)
            } else {
                set_floats(&floats, stretch, half, data, i, some, stretch->lr ? (float *)stretch->lr + begin + i : NULL);
                const int is_clean = measure_halves_or_floats(half, &s, &floats.block, &total, denominator);
                count_floats(&floats, stretch, half, s.start, is_clean);
                MARK_ROWS(stretch, floats.block.under, some, first, s.start, is_clean)
            }
        }
        count_rest(&floats);
    }
    if (stretch->dtype == FLOAT64)
        add_figures_64(&wide_total, &wide, denominator, half, figures);
    else
        add_figures_32(&total, &s, denominator, half, figures);
    if (is_read && stretch->lanes && stretch->lr_counts && half == NO_HALF && figures->touched) {
        LaneCounts *const lanes = stretch->lanes;
        add_lanes(&lanes[0], figures->lr_min, figures->lr_max, stretch->lr_counts);
        add_lanes(&lanes[1], figures->under_min, figures->under_max, stretch->under_counts);
    }
    return is_read;
}

int measure_stretch(Stretch *stretch, Figures *figures)
{
    Measuring measuring = {stretch, figures};
    if (!is_sane(&stretch->c))
        stretch->lanes = NULL;
    if (stretch->lr_counts && !stretch->lanes) /* what is counted at once can't be taken back */
        return measure_elements(&measuring);
    const int is_read = with_mapped(stretch->sources, SOURCES, stretch->size * width_of(stretch->dtype), measure_elements,
                                    &measuring);
    if (!is_read && stretch->lanes)
        memset(stretch->lanes, 0, LANES_SIZE);
    return is_read;
}

#define add_norms_of_floats_body(s, b, norms, denominator) add_norms_32(s, b, norms, denominator, NO_HALF)
#define add_norms_of_ieee_halves_body(s, b, norms, denominator) add_norms_32(s, b, norms, denominator, IEEE_HALF)
#define add_norms_of_brain_halves_body(s, b, norms, denominator) add_norms_32(s, b, norms, denominator, BRAIN_HALF)
#define add_norms_of_doubles_body(s, b, norms, denominator) add_norms_64(s, b, norms, denominator, NO_HALF)
#define PARAMETERS(width) (const Scalars_##width *s, const Block_##width *b, Norms *norms, Denominator denominator)
VERSIONS(void, add_norms_of_floats, PARAMETERS(32), (s, b, norms, denominator))
VERSIONS(void, add_norms_of_ieee_halves, PARAMETERS(32), (s, b, norms, denominator))
VERSIONS(void, add_norms_of_brain_halves, PARAMETERS(32), (s, b, norms, denominator))
VERSIONS(void, add_norms_of_doubles, PARAMETERS(64), (s, b, norms, denominator))
#undef PARAMETERS

typedef struct {
    Stretch *stretch;
    Norms *norms;
} AddingNorms;

static int add_norms_of_elements(void *given)
{
    Stretch *const stretch = ((AddingNorms *)given)->stretch;
    Norms *const norms = ((AddingNorms *)given)->norms;
    const Denominator denominator = denominator_of(stretch);
    const Half half = half_of(stretch->dtype);
    const Scalars_32 s = scalars_of_32(&stretch->c, denominator, half);
    const Scalars_64 wide = scalars_of_64(&stretch->c, denominator, half);
    const unsigned char *data[SOURCES];
    FloatBlock floats;
    DoubleBlock doubles;
    floats.has_waiting = floats.turn = 0;
    *norms = (Norms){0, 0, 0};
    for (size_t begin = 0; begin < stretch->size; begin += CHUNK) {
        const size_t n = stretch->size - begin < CHUNK ? stretch->size - begin : CHUNK;
        if (!fetch_all(stretch, begin, n, data))
            return 0;
        for (size_t i = 0; i < n; i += BLOCK) {
            const int some = n - i < BLOCK ? (int)(n - i) : BLOCK;
            if (stretch->dtype == FLOAT64) {
                set_doubles(&doubles, stretch, data, i, some, NULL);
                add_norms_of_doubles(&wide, &doubles.block, norms, denominator);
                continue;
            }
            set_floats(&floats, stretch, half, data, i, some, NULL);
            if (half == NO_HALF)
                add_norms_of_floats(&s, &floats.block, norms, denominator);
            else if (half == IEEE_HALF)
                add_norms_of_ieee_halves(&s, &floats.block, norms, denominator);
            else
                add_norms_of_brain_halves(&s, &floats.block, norms, denominator);
        }
    }
    return 1;
}

int norms_of_stretch(Stretch *stretch, Norms *norms)
{
    AddingNorms adding = {stretch, norms};
    return with_mapped(stretch->sources, SOURCES, stretch->size * width_of(stretch->dtype), add_norms_of_elements, &adding);
}
