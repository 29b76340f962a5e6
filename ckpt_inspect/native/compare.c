/* Two tensors against each other: sums of doubles over their elements. */
#include "halves.h"
#include "loops.h"
#include "mapping.h"

#define COMPARE_BODY(bits) \
    double aa = 0, bb = 0, ab = 0, dd = 0; \
    uint64_t differing = 0; \
    _Pragma("omp simd reduction(+ : aa, bb, ab, dd) reduction(| : differing)") for (size_t i = 0; i < size; i++) \
    { \
        const double x = a[i], y = b[i], d = y - x; \
        differing |= bits(a[i]) ^ bits(b[i]); \
        aa += x * x; \
        bb += y * y; \
        ab += x * y; \
        dd += d * d; \
    } \
    return (Products){aa, bb, ab, dd, differing != 0};

INLINE Products compare_floats_body(const float *a, const float *b, size_t size)
{
    COMPARE_BODY(bits_of)
}

INLINE Products compare_doubles_body(const double *a, const double *b, size_t size)
{
    COMPARE_BODY(wide_bits_of)
}

VERSIONS(Products, compare_floats, (const float *a, const float *b, size_t size), (a, b, size))
VERSIONS(Products, compare_doubles, (const double *a, const double *b, size_t size), (a, b, size))

Products compare_piece(const float *a, const float *b, size_t size)
{
    return compare_floats(a, b, size);
}

#define WINDOW_BODY \
    double sum_a = 0, sum_b = 0; \
    int64_t touched = 0, starved = 0, impossible = 0; \
    _Pragma("omp simd reduction(+ : sum_a, sum_b, touched, starved, impossible)") for (size_t i = 0; i < size; i++) \
    { \
        const double a = v1[i], b = v2[i], left = a * decay; \
        const int is_certain = left > smallest; \
        sum_a += a; \
        sum_b += b; \
        touched += v1[i] != 0; \
        impossible += is_certain & (b < left * (1.0 - tolerance)); \
        starved += is_certain & (fabs(b - left) <= left * tolerance); \
    } \
    return (Window){sum_a, sum_b, touched, starved, impossible};

INLINE Window count_window_of_floats_body(const float *v1, const float *v2, size_t size, double decay, double smallest,
                                          double tolerance)
{
    WINDOW_BODY
}

INLINE Window count_window_of_doubles_body(const double *v1, const double *v2, size_t size, double decay, double smallest,
                                           double tolerance)
{
    WINDOW_BODY
}

VERSIONS(Window, count_window_of_floats,
         (const float *v1, const float *v2, size_t size, double decay, double smallest, double tolerance),
         (v1, v2, size, decay, smallest, tolerance))
VERSIONS(Window, count_window_of_doubles,
         (const double *v1, const double *v2, size_t size, double decay, double smallest, double tolerance),
         (v1, v2, size, decay, smallest, tolerance))

Window count_window_of_piece(const float *v1, const float *v2, size_t size, double decay, double smallest, double tolerance)
{
    return count_window_of_floats(v1, v2, size, decay, smallest, tolerance);
}

enum { BLOCK = 1024 };

/* Float32 elements of a chunk in place, halves widened in `room`. */
static const float *floats_at(const unsigned char *data, size_t begin, int n, Dtype dtype, float *room)
{
    if (dtype == FLOAT32)
        return (const float *)data + begin;
    widen_halves((const uint16_t *)data + begin, n, half_of(dtype), room);
    return room;
}

static void compare_block(PairStretch *stretch, const unsigned char *const data[2], size_t begin, int n)
{
    const double decay = stretch->decay, smallest = stretch->smallest, tolerance = stretch->tolerance;
    float wide_a[BLOCK], wide_b[BLOCK];
    Products p;
    Window w = {0, 0, 0, 0, 0};
    if (stretch->dtype == FLOAT64) {
        const double *const a = (const double *)data[0] + begin, *const b = (const double *)data[1] + begin;
        p = compare_doubles(a, b, (size_t)n);
        if (stretch->has_window)
            w = count_window_of_doubles(a, b, (size_t)n, decay, smallest, tolerance);
        count_doubles_piece(a, (size_t)n, stretch->counts[0]);
        count_doubles_piece(b, (size_t)n, stretch->counts[1]);
    } else {
        const float *const a = floats_at(data[0], begin, n, stretch->dtype, wide_a);
        const float *const b = floats_at(data[1], begin, n, stretch->dtype, wide_b);
        p = compare_floats(a, b, (size_t)n);
        if (stretch->has_window)
            w = count_window_of_floats(a, b, (size_t)n, decay, smallest, tolerance);
        count_piece(a, (size_t)n, stretch->counts[0]);
        count_piece(b, (size_t)n, stretch->counts[1]);
    }
    stretch->products.aa += p.aa;
    stretch->products.bb += p.bb;
    stretch->products.ab += p.ab;
    stretch->products.dd += p.differing_bits ? p.dd : 0; /* of what is the same NaNs would leave one behind */
    stretch->products.differing_bits |= p.differing_bits;
    stretch->window.sum_a += w.sum_a;
    stretch->window.sum_b += w.sum_b;
    stretch->window.touched += w.touched;
    stretch->window.starved += w.starved;
    stretch->window.impossible += w.impossible;
}

static int compare_elements(void *given)
{
    PairStretch *const stretch = given;
    const size_t width = width_of(stretch->dtype);
    const unsigned char *data[2];
    for (size_t begin = 0; begin < stretch->size; begin += CHUNK) {
        const size_t n = stretch->size - begin < CHUNK ? stretch->size - begin : CHUNK;
        for (int side = 0; side < 2; side++) {
            data[side] = fetch(&stretch->sources[side], begin, n, width, stretch->scratch + (size_t)side * CHUNK * width);
            if (!data[side])
                return 0;
        }
        for (size_t i = 0; i < n; i += BLOCK)
            compare_block(stretch, data, i, n - i < BLOCK ? (int)(n - i) : BLOCK);
    }
    return 1;
}

int compare_stretch(PairStretch *stretch)
{
    const size_t width = width_of(stretch->dtype), size = FINE_BINS * sizeof(int64_t);
    unsigned char *const before = stretch->scratch + 2 * CHUNK * width;
    for (size_t side = 0; side < 2; side++)
        if (stretch->counts[side])
            memcpy(before + side * size, stretch->counts[side], size);
    const int is_read = with_mapped(stretch->sources, 2, stretch->size * width, compare_elements, stretch);
    for (size_t side = 0; side < 2; side++)
        if (!is_read && stretch->counts[side])
            memcpy(stretch->counts[side], before + side * size, size);
    return is_read;
}
