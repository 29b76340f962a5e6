/* The loops over elements that decide how long an analysis takes: each reads a piece of a tensor once, while it lies in
 * the cache, and leaves sums, counts and extremes behind. Float32 alone; everything else goes the ways of numpy.
 * The tests of measurement check these loops against numpy.
 *
 * Elements are taken a block at a time. Within a block there are no branches, so that the compiler can use the vector
 * registers of the processor at hand; what an element doesn't take part in, it enters as zero. Every operation on
 * elements is rounded as IEEE 754 has it and as numpy does it: contraction into fused multiply-add is off (pyproject.toml).
 * Sums are of doubles.
 */
#include "loops.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { BLOCK = 1024 }; /* elements; the few arrays of a block fit the first-level cache */
#define INFINITE 0x7F800000u /* exponent bits of a float32: all set in what is not finite */

/* One version of a loop for each width of vector registers, chosen when the module is loaded; -DFOR_EACH_PROCESSOR= makes
 * one alone, for the compiler's own target. Of static functions only: clang renames others. */
#if !defined(FOR_EACH_PROCESSOR) && defined(__x86_64__) && defined(__GLIBC__) && defined(__has_attribute)
#if __has_attribute(target_clones)
#define FOR_EACH_PROCESSOR __attribute__((target_clones("avx512f", "avx2", "default")))
#endif
#endif
#ifndef FOR_EACH_PROCESSOR
#define FOR_EACH_PROCESSOR
#endif
#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#else
#define INLINE static inline
#endif

INLINE uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

INLINE float of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* x, or 0 if the condition doesn't hold; by its bits, because GCC 12 vectorises `condition ? x / y : 0` wrongly. */
INLINE float kept_if(int condition, float x)
{
    return of_bits(bits_of(x) & (0u - (uint32_t)condition));
}

INLINE int is_finite(float x)
{
    return fabsf(x) < INFINITY;
}

/* --- histograms */

/* Count values that are known to be positive or 0: the sign bit of any other would lead out of the bins. */
static void count_unsigned(const float *values, size_t n, int64_t *counts)
{
    size_t i = 0;
    for (; i + 2 <= n; i += 2) { /* two at a load, a tenth of the time of a piece less */
        uint64_t both;
        memcpy(&both, values + i, sizeof both);
        counts[(uint32_t)both >> FINE_SHIFT]++;
        counts[both >> (FINE_SHIFT + 32)]++;
    }
    if (i < n)
        counts[bits_of(values[i]) >> FINE_SHIFT]++;
}

/* Count values of which `gate` is positive and finite, if they are positive or 0 themselves. */
static void count_touched(const float *values, const float *gate, size_t n, int64_t *counts)
{
    for (size_t i = 0; i < n; i++)
        if (gate[i] > 0 && gate[i] < INFINITY && bits_of(values[i]) <= INFINITE)
            counts[bits_of(values[i]) >> FINE_SHIFT]++;
}

FOR_EACH_PROCESSOR
static int are_touched(const float *values, int n)
{
    uint32_t odd = 0;
#pragma omp simd reduction(| : odd)
    for (int i = 0; i < n; i++)
        odd |= bits_of(values[i]) - 1 >= INFINITE - 1; /* not in (0, inf) */
    return !odd;
}

void count_piece(const float *values, size_t size, int64_t *counts)
{
    for (size_t start = 0; start < size; start += BLOCK) {
        const float *block = values + start;
        const int n = size - start < BLOCK ? (int)(size - start) : BLOCK;
        if (are_touched(block, n))
            count_unsigned(block, n, counts);
        else
            count_touched(block, block, n, counts);
    }
}

/* --- measure: a piece of an optimizer's state */

typedef enum {
    ROOT_OF_SECOND, /* E = numerator / (sqrt(v) + epsilon) */
    ROOT,           /* E = numerator / (sqrt(u / divisor + inner_epsilon) + epsilon), u being `under` */
    NO_ROOT         /* E = numerator / (u / divisor + epsilon): v and u are norms, not squares */
} Denominator;

typedef struct { /* what becomes `Figures` */
    int64_t touched, untouched, nonfinite, negative, epsilon_dominated, lost, with_ratio, with_update;
    double lr_sum, update_squares, value_squares, first_squares, second_sum, ratio_squares;
    uint32_t under_min, under_max, update_max, ratio_max; /* bits of what isn't negative, which are ordered as it is */
} Totals;

/* Whether every element has finite weights and moments, and positive second moments. */
INLINE int is_clean(const float *value, const float *first, const float *second, const float *under, int n)
{
    uint32_t odd = 0;
#pragma omp simd reduction(| : odd)
    for (int i = 0; i < n; i++) {
        odd |= (bits_of(value[i]) & INFINITE) == INFINITE;
        odd |= (bits_of(first[i]) & INFINITE) == INFINITE;
        odd |= bits_of(second[i]) - 1 >= INFINITE - 1; /* not in (0, inf) */
        odd |= bits_of(under[i]) - 1 >= INFINITE - 1;
    }
    return !odd;
}

/* Figures of a block; E of its elements goes to `lr`, and whether none of them is negative or NaN is returned. */
INLINE int measure_block(const Coefficients *c, const float *value, const float *first, const float *second,
                         const float *under, int n, float *lr, Totals *total, const int all_clean,
                         const Denominator denominator)
{
    const float numerator = c->numerator, divisor = c->divisor, inner = c->inner_epsilon, epsilon = c->epsilon;
    const float smallest = inner > 0 ? inner : epsilon;
    const float correction = 1 / c->first_correction, decay = c->decay, kept = fabsf(1 / (1 - c->decay));
    int32_t touched = 0, untouched = 0, nonfinite = 0, negative = 0, dominated = 0, lost = 0, with_ratio = 0;
    int32_t with_update = 0;
    double lr_sum = 0, update_squares = 0, value_squares = 0, first_squares = 0, second_sum = 0, ratio_squares = 0;
    uint32_t odd = 0, under_min = UINT32_MAX, under_max = 0, update_max = 0, ratio_max = 0;

#pragma omp simd reduction(| : odd) \
    reduction(+ : touched, untouched, nonfinite, negative, dominated, lost, with_ratio, with_update) \
    reduction(+ : lr_sum, update_squares, value_squares, first_squares, second_sum, ratio_squares) \
    reduction(min : under_min) reduction(max : under_max, update_max, ratio_max)
    for (int i = 0; i < n; i++) {
        const float w = value[i], m = first[i], v = second[i], u = denominator == ROOT_OF_SECOND ? v : under[i];
        const int finite = all_clean || (is_finite(w) & is_finite(m) & is_finite(v) & is_finite(u));
        const int is_touched = all_clean || ((u > 0) & (u < INFINITY));
        touched += is_touched;
        untouched += u == 0;
        nonfinite += !finite;
        negative += u < 0;

        const double wide_w = kept_if(finite, w), wide_m = kept_if(finite, m), wide_v = kept_if(finite, v);
        value_squares += wide_w * wide_w;
        first_squares += wide_m * wide_m;
        second_sum += wide_v;

        const float root_v = denominator == NO_ROOT ? v : sqrtf(v);
        const int has_ratio = all_clean || (finite & (v > 0));
        const float ratio = kept_if(has_ratio, fabsf(m) / root_v);
        ratio_squares += (double)ratio * ratio;
        with_ratio += has_ratio;
        ratio_max = bits_of(ratio) > ratio_max ? bits_of(ratio) : ratio_max;

        const float corrected = denominator == ROOT_OF_SECOND ? u : u / divisor;
        const float root = denominator == ROOT ? sqrtf(corrected + inner)
                           : denominator == NO_ROOT ? corrected
                                                    : root_v;
        dominated += is_touched & ((inner > 0 ? corrected : root) < smallest);
        const float e = numerator / (root + epsilon);
        lr[i] = e;
        odd |= bits_of(e) > INFINITE; /* negative, or not a number */
        lr_sum += kept_if(is_touched, e);
        const uint32_t u_or_least = bits_of(kept_if(is_touched, u)), u_or_most = u_or_least - !is_touched;
        under_min = u_or_most < under_min ? u_or_most : under_min;
        under_max = u_or_least > under_max ? u_or_least : under_max;

        /* |E·m/c1 + d·θ|/(1 - d), which is what solving for the weights before a decay of d comes to */
        const float size = fabsf(e * m * correction + decay * w) * kept;
        const int has_moved = finite & (size < INFINITY);
        const float update = kept_if(has_moved, size);
        update_squares += (double)update * update;
        with_update += has_moved;
        update_max = bits_of(update) > update_max ? bits_of(update) : update_max;
        const float half_ulp = of_bits(bits_of(w) & INFINITE) * 0x1p-24f;
        lost += has_moved & (update >= FLT_MIN) & (update < half_ulp); /* subnormal ones were flushed to zero */
    }
    total->touched += touched;
    total->untouched += untouched;
    total->nonfinite += nonfinite;
    total->negative += negative;
    total->epsilon_dominated += dominated;
    total->lost += lost;
    total->lr_sum += lr_sum;
    total->update_squares += update_squares;
    total->value_squares += value_squares;
    total->first_squares += first_squares;
    total->second_sum += second_sum;
    total->ratio_squares += ratio_squares;
    total->with_ratio += with_ratio;
    total->with_update += with_update;
    total->under_min = under_min < total->under_min ? under_min : total->under_min;
    total->under_max = under_max > total->under_max ? under_max : total->under_max;
    total->update_max = update_max > total->update_max ? update_max : total->update_max;
    total->ratio_max = ratio_max > total->ratio_max ? ratio_max : total->ratio_max;
    return !odd;
}

/* Each kind of block has its own loop. Return whether, throughout, what is under the root is positive and E is positive
 * or 0. */
FOR_EACH_PROCESSOR
static int measure_any_block(const Coefficients *c, const float *value, const float *first, const float *second,
                             const float *under, int n, float *lr, Totals *total)
{
    const int is_plain = under == second && c->divisor == 1 && c->inner_epsilon == 0;
    if (is_clean(value, first, second, under, n)) {
        if (!c->has_root)
            return measure_block(c, value, first, second, under, n, lr, total, 1, NO_ROOT);
        if (!is_plain)
            return measure_block(c, value, first, second, under, n, lr, total, 1, ROOT);
        return measure_block(c, value, first, second, under, n, lr, total, 1, ROOT_OF_SECOND);
    }
    if (!c->has_root)
        measure_block(c, value, first, second, under, n, lr, total, 0, NO_ROOT);
    else if (!is_plain)
        measure_block(c, value, first, second, under, n, lr, total, 0, ROOT);
    else
        measure_block(c, value, first, second, under, n, lr, total, 0, ROOT_OF_SECOND);
    return 0;
}

static float effective_lr(const Coefficients *c, float u)
{
    const float corrected = u / c->divisor;
    return c->numerator / ((c->has_root ? sqrtf(corrected + c->inner_epsilon) : corrected) + c->epsilon);
}

static Figures figures_of(const Totals *t, const Coefficients *c)
{
    Figures f = {.touched = t->touched, .untouched = t->untouched, .nonfinite = t->nonfinite, .negative = t->negative,
                 .epsilon_dominated = t->epsilon_dominated, .lost = t->lost, .lr_sum = t->lr_sum,
                 .update_squares = t->update_squares, .value_squares = t->value_squares,
                 .first_squares = t->first_squares, .second_sum = t->second_sum, .ratio_squares = t->ratio_squares,
                 .lr_min = INFINITY, .lr_max = -INFINITY, .under_min = INFINITY, .under_max = -INFINITY,
                 .update_max = -INFINITY, .ratio_max = -INFINITY};
    if (t->touched) {
        f.under_min = of_bits(t->under_min);
        f.under_max = of_bits(t->under_max);
        /* E falls as u grows, in floating point too: each operation is correctly rounded; see Formula.is_fast */
        f.lr_min = effective_lr(c, of_bits(t->under_max));
        f.lr_max = effective_lr(c, of_bits(t->under_min));
    }
    if (t->with_update)
        f.update_max = of_bits(t->update_max);
    if (t->with_ratio)
        f.ratio_max = of_bits(t->ratio_max);
    return f;
}

Figures measure_piece(const Coefficients *c, const float *value, const float *first, const float *second,
                             const float *under, size_t size, float *lr, int64_t *lr_counts, int64_t *under_counts)
{
    static const float no_weights[BLOCK]; /* of weights that aren't there nothing is lost in rounding */
    float scratch[BLOCK];
    Totals total = {.under_min = UINT32_MAX};
    for (size_t start = 0; start < size; start += BLOCK) {
        const int n = size - start < BLOCK ? (int)(size - start) : BLOCK;
        const float *u = under + start;
        float *e = lr ? lr + start : scratch;
        const int has_no_signs = measure_any_block(c, value ? value + start : no_weights, first + start, second + start,
                                                  u, n, e, &total);
        if (!lr_counts)
            continue;
        if (has_no_signs) {
            count_unsigned(e, n, lr_counts);
            count_unsigned(u, n, under_counts);
        } else {
            count_touched(e, u, n, lr_counts);
            count_touched(u, u, n, under_counts);
        }
    }
    return figures_of(&total, c);
}

/* --- compare: two tensors */

FOR_EACH_PROCESSOR
static Products compare_elements(const float *a, const float *b, size_t size)
{
    double aa = 0, bb = 0, ab = 0, dd = 0;
    uint32_t differing_bits = 0;
#pragma omp simd reduction(+ : aa, bb, ab, dd) reduction(| : differing_bits)
    for (size_t i = 0; i < size; i++) {
        const double x = a[i], y = b[i], d = y - x;
        differing_bits |= bits_of(a[i]) ^ bits_of(b[i]);
        aa += x * x;
        bb += y * y;
        ab += x * y;
        dd += d * d;
    }
    return (Products){aa, bb, ab, dd, differing_bits};
}

Products compare_piece(const float *a, const float *b, size_t size)
{
    return compare_elements(a, b, size);
}

FOR_EACH_PROCESSOR
static Window count_window_of_elements(const float *v1, const float *v2, size_t size, double decay, double smallest,
                                       double tolerance)
{
    double sum_a = 0, sum_b = 0;
    int64_t touched = 0, starved = 0, impossible = 0;
#pragma omp simd reduction(+ : sum_a, sum_b, touched, starved, impossible)
    for (size_t i = 0; i < size; i++) {
        const double a = v1[i], b = v2[i], left = a * decay;
        const int is_certain = left > smallest;
        sum_a += a;
        sum_b += b;
        touched += v1[i] != 0;
        impossible += is_certain & (b < left * (1.0 - tolerance));
        starved += is_certain & (fabs(b - left) <= left * tolerance);
    }
    return (Window){sum_a, sum_b, touched, starved, impossible};
}

Window count_window_of_piece(const float *v1, const float *v2, size_t size, double decay, double smallest,
                             double tolerance)
{
    return count_window_of_elements(v1, v2, size, decay, smallest, tolerance);
}
