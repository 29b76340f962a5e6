/* What the processor at hand can do, and loops compiled once for each width of its vector registers. The choice is made when
 * the module is loaded, by `choose_instructions`; tests make others. A wheel runs on every processor of its architecture.
 */
#ifndef CKPT_INSPECT_PROCESSOR_H
#define CKPT_INSPECT_PROCESSOR_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__)
#define BETWEEN_FILES __attribute__((visibility("hidden")))
#define INLINE static inline __attribute__((always_inline))
#else
#define BETWEEN_FILES
#define INLINE static inline
#endif

typedef enum { PORTABLE, SSE42, AVX2, AVX512 } Instructions; /* each with those before; AVX2: and F16C */

BETWEEN_FILES extern Instructions instructions; /* in use */

/* -DPORTABLE_ONLY leaves the versions for particular processors out. */
#if !defined(PORTABLE_ONLY) && defined(__GNUC__) && defined(__x86_64__)
#define HAS_VERSIONS 1
#define FOR_AVX2 __attribute__((target("avx2")))
#define FOR_AVX512 __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl")))
#endif

/* Define the function `name`, which is `name_body`, an INLINE function, compiled for the instructions in use. */
#if defined(HAS_VERSIONS)
#define VERSIONS(result, name, parameters, arguments) \
    static result name##_portable parameters { return name##_body arguments; } \
    FOR_AVX2 static result name##_avx2 parameters { return name##_body arguments; } \
    FOR_AVX512 static result name##_avx512 parameters { return name##_body arguments; } \
    static result name parameters \
    { \
        if (instructions == AVX512) \
            return name##_avx512 arguments; \
        return instructions == AVX2 ? name##_avx2 arguments : name##_portable arguments; \
    }
#else
#define VERSIONS(result, name, parameters, arguments) \
    static result name parameters { return name##_body arguments; }
#endif

#define INFINITE 0x7F800000u /* exponent bits of a float32: all set in what is not finite */

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

INLINE uint64_t wide_bits_of(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

INLINE double of_wide_bits(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

#endif
