/* Floats of 16 bits, of both kinds: widened to float32, in which they are computed, and rounded as their own arithmetic is. */
#ifndef CKPT_INSPECT_HALVES_H
#define CKPT_INSPECT_HALVES_H

#include "loops.h"

typedef enum { NO_HALF, IEEE_HALF, BRAIN_HALF } Half;

/* The half, of either kind, nearest to x, which is not negative; ties to even. Without branches and without the processor's own conversions, which
 * few have for both kinds. */
INLINE float rounded_size(float x, const Half half)
{
    if (half == NO_HALF)
        return x;
    const uint32_t bits = bits_of(x);
    if (half == BRAIN_HALF) {
        const uint32_t nearest = (bits + 0x7FFFu + (bits >> 16 & 1)) & 0xFFFF0000u;
        return of_bits((bits & 0x7FFFFFFFu) > INFINITE ? bits : nearest);
    }
    const uint32_t kept = (bits + 0xFFFu + (bits >> 13 & 1)) & 0xFFFFE000u;
    const uint32_t large = bits > INFINITE ? bits : INFINITE; /* NaN stays what it is */
    const uint32_t normal = kept > 0x477FE000u ? large : kept; /* 65504, the largest */
    const float small = (x + 0.5f) - 0.5f; /* the sum ends where a subnormal half does */
    return of_bits(bits < 0x38800000u ? bits_of(small) : normal); /* 2**-14 */
}

/* The same of any x. */
INLINE float rounded(float x, const Half half)
{
    if (half != IEEE_HALF)
        return rounded_size(x, half);
    return of_bits(bits_of(rounded_size(fabsf(x), half)) | (bits_of(x) & 0x80000000u));
}

INLINE float widened(uint16_t x, const Half half)
{
    if (half == BRAIN_HALF)
        return of_bits((uint32_t)x << 16);
    const uint32_t magnitude = (uint32_t)(x & 0x7FFF) << 13;
    const uint32_t finite = bits_of(of_bits(magnitude) * 0x1p112f);
    return of_bits((magnitude >= 0x0F800000u ? magnitude | INFINITE : finite) | (uint32_t)(x & 0x8000) << 16);
}

/* The bits of what is positive and a half already. */
INLINE uint32_t narrowed(float x, const Half half)
{
    return half == BRAIN_HALF ? bits_of(x) >> 16 : bits_of(x * 0x1p-112f) >> 13;
}

INLINE Half half_of(Dtype dtype)
{
    return dtype == FLOAT16 ? IEEE_HALF : dtype == BFLOAT16 ? BRAIN_HALF : NO_HALF;
}

INLINE void widen_body(const uint16_t *x, int n, float *wide, Half half)
{
#pragma omp simd
    for (int i = 0; i < n; i++)
        wide[i] = widened(x[i], half);
}

#define widen_ieee_body(x, n, wide) widen_body(x, n, wide, IEEE_HALF)
#define widen_brain_body(x, n, wide) widen_body(x, n, wide, BRAIN_HALF)
VERSIONS(void, widen_ieee, (const uint16_t *x, int n, float *wide), (x, n, wide))
VERSIONS(void, widen_brain, (const uint16_t *x, int n, float *wide), (x, n, wide))

INLINE void widen_halves(const uint16_t *x, int n, Half half, float *wide)
{
    if (half == IEEE_HALF)
        widen_ieee(x, n, wide);
    else
        widen_brain(x, n, wide);
}

#endif
