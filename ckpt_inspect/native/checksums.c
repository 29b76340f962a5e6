/* CRC-32C: by carry-less products where there are wide ones, else by the processor's own instruction in three lanes, else by
 * tables. Polynomials are bit-reversed: bit 31 is the coefficient of x**0.
 *
 * Lanes and folds are put together by multiplying with powers of x modulo the polynomial: see Gopal et al., "Fast CRC
 * Computation for Generic Polynomials Using PCLMULQDQ Instruction" (Intel, 2009), and Adler's crc32c.c for lanes.
 */
#include "checksums.h"

#if defined(HAS_VERSIONS)
#include <immintrin.h>
#elif !defined(PORTABLE_ONLY) && defined(__GNUC__) && defined(__aarch64__) && defined(__linux__)
#define HAS_ARM_VERSION 1
#include <arm_acle.h>
#include <sys/auxv.h>
#endif

#define POLYNOMIAL 0x82F63B78u

enum { LANE = 2720 }; /* bytes of a lane: a multiple of 8, three of which fit the first-level cache with their tables */

static uint32_t tables[8][256];     /* of the bytes of eight */
static uint32_t past_lane[4][256];  /* a checksum, by its bytes, advanced over the zeros of a lane */
#if defined(HAS_VERSIONS) || defined(HAS_ARM_VERSION)
static int has_instruction;
#endif
#if defined(HAS_VERSIONS)
static int has_wide_products;
#endif

/* --- arithmetic modulo the polynomial, for the tables */

static uint32_t product_of(uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (; a; a <<= 1) {
        if (a & 0x80000000u)
            product ^= b;
        b = b & 1 ? b >> 1 ^ POLYNOMIAL : b >> 1;
    }
    return product;
}

static uint32_t power_of_x(uint64_t exponent)
{
    uint32_t result = 0x80000000u, square = 0x40000000u;
    for (; exponent; exponent >>= 1, square = product_of(square, square))
        if (exponent & 1)
            result = product_of(result, square);
    return result;
}

/* --- by tables */

static uint32_t extend_by_tables(uint32_t crc, const unsigned char *data, size_t size)
{
    for (; size >= 8; data += 8, size -= 8) {
        const uint32_t low = crc ^ ((uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 | (uint32_t)data[3] << 24);
        crc = tables[7][low & 255] ^ tables[6][low >> 8 & 255] ^ tables[5][low >> 16 & 255] ^ tables[4][low >> 24] ^
              tables[3][data[4]] ^ tables[2][data[5]] ^ tables[1][data[6]] ^ tables[0][data[7]];
    }
    for (; size; size--)
        crc = tables[0][(crc ^ *data++) & 255] ^ crc >> 8;
    return crc;
}

/* --- by the processor's instruction */

#if defined(HAS_VERSIONS) || defined(HAS_ARM_VERSION)
#if defined(HAS_VERSIONS)
#define FOR_INSTRUCTION __attribute__((target("sse4.2")))
#define CRC_OF_8(crc, x) ((uint32_t)_mm_crc32_u64(crc, x))
#define CRC_OF_1(crc, x) _mm_crc32_u8(crc, x)
#else
#if defined(__clang__) /* whose header declares them only if every function of the file may use them */
#define FOR_INSTRUCTION __attribute__((target("crc")))
#define CRC_OF_8(crc, x) __builtin_arm_crc32cd(crc, x)
#define CRC_OF_1(crc, x) __builtin_arm_crc32cb(crc, x)
#else
#define FOR_INSTRUCTION __attribute__((target("+crc")))
#define CRC_OF_8(crc, x) __crc32cd(crc, x)
#define CRC_OF_1(crc, x) __crc32cb(crc, x)
#endif
#endif

INLINE uint64_t eight_at(const unsigned char *data)
{
    uint64_t x;
    memcpy(&x, data, sizeof x);
    return x;
}

INLINE uint32_t advanced(uint32_t crc)
{
    return past_lane[0][crc & 255] ^ past_lane[1][crc >> 8 & 255] ^ past_lane[2][crc >> 16 & 255] ^ past_lane[3][crc >> 24];
}

FOR_INSTRUCTION static uint32_t extend_by_instruction(uint32_t crc, const unsigned char *data, size_t size)
{
    /* An instruction waits three cycles for its result, and one can begin each cycle. */
    for (; size >= 3 * LANE; data += 3 * LANE, size -= 3 * LANE) {
        uint32_t second = 0, third = 0;
        for (size_t i = 0; i < LANE; i += 8) {
            crc = CRC_OF_8(crc, eight_at(data + i));
            second = CRC_OF_8(second, eight_at(data + LANE + i));
            third = CRC_OF_8(third, eight_at(data + 2 * LANE + i));
        }
        crc = advanced(advanced(crc) ^ second) ^ third;
    }
    for (; size >= 8; data += 8, size -= 8)
        crc = CRC_OF_8(crc, eight_at(data));
    for (; size; size--)
        crc = CRC_OF_1(crc, *data++);
    return crc;
}
#endif

/* --- by carry-less products of 512 bits */

#if defined(HAS_VERSIONS)
#define FOR_WIDE_PRODUCTS __attribute__((target("sse4.2,pclmul,avx512f,avx512dq,avx512bw,avx512vl,vpclmulqdq")))

static uint64_t fold_factors[2][2]; /* by 256 and by 64 bytes: of the first and of the second half of 16 bytes */

FOR_WIDE_PRODUCTS INLINE __m512i folded(__m512i sum, __m512i factors, __m512i next)
{
    const __m512i first = _mm512_clmulepi64_epi128(sum, factors, 0x00), second = _mm512_clmulepi64_epi128(sum, factors, 0x11);
    return _mm512_ternarylogic_epi64(first, second, next, 0x96); /* the exclusive or of three */
}

FOR_WIDE_PRODUCTS static uint32_t extend_by_products(uint32_t crc, const unsigned char *data, size_t size)
{
    if (size >= 512) {
        const __m512i far = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)fold_factors[0]));
        const __m512i near = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)fold_factors[1]));
        __m512i a = _mm512_loadu_si512(data), b = _mm512_loadu_si512(data + 64);
        __m512i c = _mm512_loadu_si512(data + 128), d = _mm512_loadu_si512(data + 192);
        a = _mm512_xor_si512(a, _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)crc)));
        for (data += 256, size -= 256; size >= 256; data += 256, size -= 256) {
            a = folded(a, far, _mm512_loadu_si512(data));
            b = folded(b, far, _mm512_loadu_si512(data + 64));
            c = folded(c, far, _mm512_loadu_si512(data + 128));
            d = folded(d, far, _mm512_loadu_si512(data + 192));
        }
        a = folded(folded(folded(a, near, b), near, c), near, d);
        /* What is left is as if the 64 bytes stood there, and nothing before them. */
        unsigned char rest[64];
        _mm512_storeu_si512(rest, a);
        crc = extend_by_instruction(0, rest, sizeof rest);
    }
    return extend_by_instruction(crc, data, size);
}
#endif

/* --- all together */

void prepare_checksums(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ POLYNOMIAL : crc >> 1;
        tables[0][byte] = crc;
    }
    const uint32_t lane = power_of_x(8 * (uint64_t)LANE);
    for (uint32_t byte = 0; byte < 256; byte++) {
        for (int i = 1; i < 8; i++)
            tables[i][byte] = tables[0][tables[i - 1][byte] & 255] ^ tables[i - 1][byte] >> 8;
        for (int i = 0; i < 4; i++)
            past_lane[i][byte] = product_of(lane, byte << 8 * i);
    }
#if defined(HAS_VERSIONS)
    __builtin_cpu_init();
    has_instruction = __builtin_cpu_supports("sse4.2");
    has_wide_products = has_instruction && __builtin_cpu_supports("vpclmulqdq") && __builtin_cpu_supports("avx512vl") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
    /* The product of two reversed polynomials of 64 bits comes out shifted by one; the factor's 32 bits stand below. */
    const uint64_t bits[2] = {8 * 256, 8 * 64};
    for (int i = 0; i < 2; i++) {
        fold_factors[i][0] = power_of_x(bits[i] + 64 - 33);
        fold_factors[i][1] = power_of_x(bits[i] - 33);
    }
#elif defined(HAS_ARM_VERSION)
    has_instruction = (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0;
#endif
}

uint32_t extend_checksum(uint32_t crc, const unsigned char *data, size_t size)
{
#if defined(HAS_VERSIONS)
    if (has_wide_products && instructions == AVX512)
        return ~extend_by_products(~crc, data, size);
    if (has_instruction && instructions >= SSE42)
        return ~extend_by_instruction(~crc, data, size);
#elif defined(HAS_ARM_VERSION)
    if (has_instruction)
        return ~extend_by_instruction(~crc, data, size);
#endif
    return ~extend_by_tables(~crc, data, size);
}
