/* Floats of 16 bits, of both kinds: widened to float32, in which they are computed, and rounded as their own arithmetic is. */
#ifndef CKPT_INSPECT_HALVES_H
#define CKPT_INSPECT_HALVES_H

#include "loops.h"

#if defined(HAS_VERSIONS)
#include <immintrin.h>
#endif

typedef enum { NO_HALF, IEEE_HALF, BRAIN_HALF } Half;

/* The half, of either kind, nearest to x; ties to even, and 0 without a sign. x is what one operation on halves gave: below
 * 2**64, infinite or no number. Without branches and without the processor's own conversions, which few have for both kinds,
 * which compilers don't put into loops, and which aren't quicker: a division beside them takes longer. */
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
     * power is that of subnormal halves. Of what is not finite it is next to nothing. */
    const int32_t power = (int32_t)(bits & INFINITE), least = 0x38800000; /* 2**-14 */
    const float far = of_bits((uint32_t)(power < least ? least : power) + (13u << 23) + (1u << 22));
    return ((x + far) - far) * 0x1p112f * 0x1p-112f; /* infinite from 2**16 on */
}

INLINE float widened(uint16_t x, const Half half)
{
    if (half == BRAIN_HALF)
        return of_bits((uint32_t)x << 16);
    /* By integers, since many a processor multiplies floats that are subnormal in a hundred times the time. */
    const uint32_t magnitude = x & 0x7FFFu;
    const uint32_t small = bits_of((float)(int32_t)magnitude * 0x1p-24f);
    const uint32_t large = (magnitude << 13) + (magnitude < 0x7C00u ? 112u << 23 : 224u << 23);
    return of_bits((magnitude < 0x400u ? small : large) | (uint32_t)(x & 0x8000u) << 16);
}

/* The bits of what is positive and a half already. */
INLINE uint32_t narrowed(float x, const Half half)
{
    if (half == BRAIN_HALF)
        return bits_of(x) >> 16;
    const uint32_t small = (uint32_t)(int32_t)((x < 0x1p-14f ? x : 0) * 0x1p24f);
    return x < 0x1p-14f ? small : (bits_of(x) - (112u << 23)) >> 13;
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
#if defined(HAS_VERSIONS)
/* By the processor's own conversion: a quarter of the time. */
__attribute__((target("avx2,f16c"))) static void widen_ieee_avx2(const uint16_t *x, int n, float *wide)
{
    int i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(wide + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(x + i))));
    for (; i < n; i++)
        wide[i] = widened(x[i], IEEE_HALF);
}

static void widen_ieee_portable(const uint16_t *x, int n, float *wide)
{
    widen_ieee_body(x, n, wide);
}

static void widen_ieee(const uint16_t *x, int n, float *wide)
{
    if (instructions >= AVX2)
        widen_ieee_avx2(x, n, wide);
    else
        widen_ieee_portable(x, n, wide);
}
#else
VERSIONS(void, widen_ieee, (const uint16_t *x, int n, float *wide), (x, n, wide))
#endif
VERSIONS(void, widen_brain, (const uint16_t *x, int n, float *wide), (x, n, wide))

INLINE void widen_halves(const uint16_t *x, int n, Half half, float *wide)
{
    if (half == IEEE_HALF)
        widen_ieee(x, n, wide);
    else
        widen_brain(x, n, wide);
}

#endif
