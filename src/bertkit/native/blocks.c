/* The inner loop of every matrix product: a few rows times one panel of 32 outputs, sums kept in registers.
 *
 * Compiled several times. DOT_FLOAT32, DOT_BF16 or DOT_INT8 says what a cell holds, the compiler's flags how wide vectors
 * are. Rows times two vectors of sums fill the registers: 14 rows with AVX-512's 32, 6 (5 where a product needs two more)
 * with AVX2's 16, which takes a panel in two halves.
 */
#include "simd.h"

#if defined(DOT_FLOAT32)
typedef vf sums;
#define BLOCK NAME(block_float32)
INLINE sums dot(sums c, vi a, vi b) {
#ifdef __AVX512F__
    return _mm512_fmadd_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b), c);
#else
    return _mm256_fmadd_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b), c);
#endif
}
#define STORE(p, v) V(storeu_ps)((float *)(p), v)
#define ZERO V(setzero_ps)()

#elif defined(DOT_BF16)
typedef vf sums;
#define BLOCK NAME(block_bf16)
INLINE sums dot(sums c, vi a, vi b) { return _mm512_dpbf16_ps(c, (__m512bh)a, (__m512bh)b); }
#define STORE(p, v) V(storeu_ps)((float *)(p), v)
#define ZERO V(setzero_ps)()

#else
typedef vi sums;
#define STORE(p, v) store_i(p, v)
#if defined(__AVX512F__)
#define ZERO _mm512_setzero_si512()
#define BLOCK block_int8_avx512
INLINE sums dot(sums c, vi a, vi b) { return _mm512_dpbusd_epi32(c, a, b); }
#elif defined(__AVXVNNI__)
#define ZERO _mm256_setzero_si256()
#define BLOCK block_int8_avxvnni
INLINE sums dot(sums c, vi a, vi b) { return _mm256_dpbusd_avx_epi32(c, a, b); }
#else
#define ZERO _mm256_setzero_si256()
#define BLOCK block_int8_avx2
#define PAIRS_IN_16_BITS /* exact as long as weights are within 63: 2 * 255 * 63 < 2^15 */
INLINE sums dot(sums c, vi a, vi b) {
    return _mm256_add_epi32(c, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), _mm256_set1_epi16(1)));
}
#endif
#endif

/* `rows` is a constant wherever this is inlined, so that `c` is registers. */
INLINE void block_rows(const int rows, const char *a, size_t stride, const char *panel, long depth, int32_t *out,
                       size_t out_stride) {
    for (int half = 0; half < PANEL; half += 2 * VL) {
        sums c[14][2];
#pragma GCC unroll 14
        for (int r = 0; r < rows; r++) c[r][0] = c[r][1] = ZERO;
        const int32_t *b = (const int32_t *)panel + half;
        /* Five pointers, each for three rows, cost fewer registers than fourteen. */
        const char *p0 = a, *p1 = a + 3 * stride, *p2 = a + 6 * stride, *p3 = a + 9 * stride, *p4 = a + 12 * stride;
        for (long k = 0; k < depth; k += 2, b += 2 * PANEL, p0 += 8, p1 += 8, p2 += 8, p3 += 8, p4 += 8) {
#pragma GCC unroll 2
            for (int step = 0; step < 2; step++) {
                vi b0 = load_i(b + step * PANEL), b1 = load_i(b + step * PANEL + VL);
#pragma GCC unroll 14
                for (int r = 0; r < rows; r++) {
                    const char *p = r < 3 ? p0 : r < 6 ? p1 : r < 9 ? p2 : r < 12 ? p3 : p4;
                    int32_t cell;
                    memcpy(&cell, p + (r % 3) * stride + 4 * step, 4);
                    vi x = V(set1_epi32)(cell);
                    c[r][0] = dot(c[r][0], x, b0);
                    c[r][1] = dot(c[r][1], x, b1);
                }
            }
        }
#pragma GCC unroll 14
        for (int r = 0; r < rows; r++) {
            STORE(out + r * out_stride + half, c[r][0]);
            STORE(out + r * out_stride + half + VL, c[r][1]);
        }
    }
}

void BLOCK(const char *a, size_t a_stride, const char *panel, long depth, int rows, void *out, size_t out_stride) {
#define CASE(n) \
    case n: block_rows(n, a, a_stride, panel, depth, out, out_stride); break;
    switch (rows) {
        CASE(1) CASE(2) CASE(3) CASE(4) CASE(5)
#ifndef PAIRS_IN_16_BITS
        CASE(6)
#endif
#ifdef __AVX512F__
        CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12) CASE(13) CASE(14)
#endif
    }
}
