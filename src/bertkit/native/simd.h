/* Vectors of the width that the file is compiled for: 8 floats with AVX2, 16 with AVX-512. */
#ifndef BERTKIT_SIMD_H
#define BERTKIT_SIMD_H

#include <immintrin.h>
#include <string.h>

#include "engine.h"

#define INLINE static inline __attribute__((always_inline))

#ifdef __AVX512F__
enum { VL = 16 };
typedef __m512 vf;
typedef __m512i vi;
#define V(operation) _mm512_##operation
#define NAME(name) name##_avx512
INLINE vi load_i(const void *p) { return _mm512_loadu_si512(p); }
INLINE void store_i(void *p, vi v) { _mm512_storeu_si512(p, v); }
INLINE vi or_i(vi a, vi b) { return _mm512_or_si512(a, b); }
INLINE vi and_i(vi a, vi b) { return _mm512_and_si512(a, b); }
/* The first n of a vector's numbers; nearly always all of them. */
INLINE __mmask16 first(int n) { return (__mmask16)((1u << n) - 1); }
INLINE vf load_first(const float *p, int n) { return n >= VL ? _mm512_loadu_ps(p) : _mm512_maskz_loadu_ps(first(n), p); }
INLINE void store_first(float *p, int n, vf v) { _mm512_mask_storeu_ps(p, n >= VL ? 0xffff : first(n), v); }
INLINE vf keep_first(vf v, int n, vf other) { return n >= VL ? v : _mm512_mask_blend_ps(first(n), other, v); }
INLINE float sum_of(vf v) { return _mm512_reduce_add_ps(v); }
INLINE float max_of(vf v) { return _mm512_reduce_max_ps(v); }
INLINE void store_bytes(void *p, vi v) { _mm_storeu_si128(p, _mm512_cvtepi32_epi8(v)); }
INLINE vf absolute(vf v) { return _mm512_abs_ps(v); }
#else
enum { VL = 8 };
typedef __m256 vf;
typedef __m256i vi;
#define V(operation) _mm256_##operation
#define NAME(name) name##_avx2
INLINE vi load_i(const void *p) { return _mm256_loadu_si256(p); }
INLINE void store_i(void *p, vi v) { _mm256_storeu_si256(p, v); }
INLINE vi or_i(vi a, vi b) { return _mm256_or_si256(a, b); }
INLINE vi and_i(vi a, vi b) { return _mm256_and_si256(a, b); }
INLINE vi first(int n) { return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)); }
INLINE vf load_first(const float *p, int n) { return n >= VL ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, first(n)); }
INLINE void store_first(float *p, int n, vf v) { _mm256_maskstore_ps(p, first(n), v); }
INLINE vf keep_first(vf v, int n, vf other) {
    return n >= VL ? v : _mm256_blendv_ps(other, v, _mm256_castsi256_ps(first(n)));
}
INLINE float sum_of(vf v) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
INLINE float max_of(vf v) {
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}
INLINE __m128i halves_of(vi v) {
    return _mm256_castsi256_si128(_mm256_permute4x64_epi64(_mm256_packus_epi32(v, v), 0xd8));
}
INLINE void store_halves(void *p, vi v) { _mm_storeu_si128(p, halves_of(v)); }
INLINE void store_bytes(void *p, vi v) {
    __m128i h = halves_of(v);
    _mm_storel_epi64(p, _mm_packus_epi16(h, h));
}
INLINE vf absolute(vf v) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v); }
#endif

INLINE vf load(const float *p) { return V(loadu_ps)(p); }
INLINE void store(float *p, vf v) { V(storeu_ps)(p, v); }
INLINE vf all(float x) { return V(set1_ps)(x); }
INLINE vf fma_(vf a, vf b, vf c) { return V(fmadd_ps)(a, b, c); }

/* float32 to bf16, to nearest, ties to even. Whatever else the file runs on, only a CPU that multiplies bf16 gets here. */
#ifdef __AVX512BF16__
INLINE vi to_bf16(vf v) { return _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(v)); }
INLINE void store_bf16(void *p, vf v) { _mm256_storeu_si256(p, (__m256i)_mm512_cvtneps_pbh(v)); }
#elif !defined(__AVX512F__)
INLINE vi to_bf16(vf v) {
    vi bits = _mm256_castps_si256(v), odd = and_i(V(srli_epi32)(bits, 16), V(set1_epi32)(1));
    return V(srli_epi32)(V(add_epi32)(bits, V(add_epi32)(odd, V(set1_epi32)(0x7fff))), 16);
}
INLINE void store_bf16(void *p, vf v) { store_halves(p, to_bf16(v)); }
#endif

/* 2^x within 1e-4 of it, for what is rounded to 8 bits afterwards; x from -126 to 1. */
INLINE vf rough_power_of_2(vf x) {
    x = V(max_ps)(x, all(-126.0f));
    vi n = V(cvtps_epi32)(x);
    vf f = V(sub_ps)(x, V(cvtepi32_ps)(n));
    vf p = fma_(fma_(fma_(fma_(all(0.0096181f), f, all(0.0555041f)), f, all(0.2402265f)), f, all(0.6931472f)), f,
                all(1.0f));
#ifdef __AVX512F__
    return _mm512_scalef_ps(p, _mm512_cvtepi32_ps(n));
#else
    return _mm256_mul_ps(p, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23)));
#endif
}

/* e^x to 2 units of the last place, for x <= 88; 0 below -87. Cephes' reduction, x = n ln 2 + r, |r| <= ln 2 / 2. */
INLINE vf exp_of(vf x) {
    x = V(max_ps)(x, all(-87.3f));
    vi n = V(cvtps_epi32)(V(mul_ps)(x, all(1.44269504f)));
    vf whole = V(cvtepi32_ps)(n);
    vf r = fma_(whole, all(-0.693359375f), x);
    r = fma_(whole, all(2.12194440e-4f), r);
    vf p = fma_(all(1.9875691500e-4f), r, all(1.3981999507e-3f));
    p = fma_(p, r, all(8.3334519073e-3f));
    p = fma_(p, r, all(4.1665795894e-2f));
    p = fma_(p, r, all(1.6666665459e-1f));
    p = fma_(p, r, all(5.0000001201e-1f));
    p = fma_(p, V(mul_ps)(r, r), V(add_ps)(r, all(1.0f)));
    vi exponent = V(slli_epi32)(V(add_epi32)(n, V(set1_epi32)(127)), 23);
#ifdef __AVX512F__
    return _mm512_mul_ps(p, _mm512_castsi512_ps(exponent));
#else
    return _mm256_mul_ps(p, _mm256_castsi256_ps(exponent));
#endif
}

#endif
