/* Two tensors against each other: sums of doubles over their elements. */
#include "loops.h"

INLINE Products compare_elements_body(const float *a, const float *b, size_t size)
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

VERSIONS(Products, compare_elements, (const float *a, const float *b, size_t size), (a, b, size))

Products compare_piece(const float *a, const float *b, size_t size)
{
    return compare_elements(a, b, size);
}

INLINE Window count_window_of_elements_body(const float *v1, const float *v2, size_t size, double decay, double smallest,
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

VERSIONS(Window, count_window_of_elements,
         (const float *v1, const float *v2, size_t size, double decay, double smallest, double tolerance),
         (v1, v2, size, decay, smallest, tolerance))

Window count_window_of_piece(const float *v1, const float *v2, size_t size, double decay, double smallest, double tolerance)
{
    return count_window_of_elements(v1, v2, size, decay, smallest, tolerance);
}
