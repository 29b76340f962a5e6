/* Floats of 16 bits, of both kinds: widened to float32, in which they are computed, and rounded as their own arithmetic is. */
#ifndef CKPT_INSPECT_HALVES_H
#define CKPT_INSPECT_HALVES_H

#include "loops.h"

typedef enum { NO_HALF, IEEE_HALF, BRAIN_HALF } Half;

/* The half, of either kind, nearest to x; ties to even, and 0 without a sign. Without branches and without the processor's own
 * conversions, which few have for both kinds, and which compilers don't put into loops. */
INLINE float rounded(float x, const Half half)
{
    if (half == NO_HALF)
        return x;
    const uint32_t bits = bits_of(x);
    if (half == BRAIN_HALF) {
        const uint32_t nearest = (bits + 0x7FFFu + (bits >> 16 & 1)) & 0xFFFF0000u;
        return of_bits((bits & 0x7FFFFFFFu) > INFINITE ? bits : nearest);
    }
    /* Floats around 3/2 of x's power of two times 2**13 are as far apart as halves around x: adding it rounds. The least
     * power is that of subnormal halves, and beyond the greatest nothing is finite. */
    const int32_t power = (int32_t)(bits & INFINITE), least = 0x38800000, most = 0x47000000; /* 2**-14, 2**15 */
    const int32_t kept = power < least ? least : power > most ? most : power;
    const float far = of_bits((uint32_t)kept + (13u << 23) + (1u << 22));
    const float nearest = (x + far) - far;
    return fabsf(nearest) > 65504 ? of_bits((bits & 0x80000000u) | INFINITE) : nearest;
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
