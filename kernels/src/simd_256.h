// What AVX2 and AVX-VNNI share: 256-bit registers, two of which cover the 16 rows. Each adds its byte products.
#pragma once

#include <immintrin.h>

#include "inline.h"
#include "layout.h"

namespace herd {

struct Registers256 {
    using Int = __m256i;
    using Float = __m256;
    static constexpr int kLanes = 8;
    static constexpr int kParts = kRows / kLanes;

    static HERD_INLINE Int zero() { return _mm256_setzero_si256(); }
    static HERD_INLINE Float zero_float() { return _mm256_setzero_ps(); }
    static HERD_INLINE Int line(const void* p) { return _mm256_load_si256(static_cast<const __m256i*>(p)); }
    static HERD_INLINE Int bytes(int value) { return _mm256_set1_epi8(static_cast<char>(value)); }
    static HERD_INLINE Int repeat(const void* word) { return _mm256_set1_epi32(*static_cast<const int32_t*>(word)); }
    static HERD_INLINE Float repeat_float(const void* word) { return _mm256_set1_ps(*static_cast<const float*>(word)); }
    static HERD_INLINE void store_line(void* p, Int value) { _mm256_store_si256(static_cast<__m256i*>(p), value); }

    template <int N>
    static HERD_INLINE Int right(Int x) { return _mm256_srli_epi16(x, N); }
    template <int N>
    static HERD_INLINE Int left(Int x) { return _mm256_slli_epi16(x, N); }
    static HERD_INLINE Int both(Int x, Int y) { return _mm256_and_si256(x, y); }
    static HERD_INLINE Int with_bits(Int low, Int high, Int mask) {
        return _mm256_or_si256(low, _mm256_and_si256(high, mask));
    }
    static HERD_INLINE Int table16(const uint8_t* entries) {
        return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(entries)));
    }
    static HERD_INLINE Int look_up(Int table, Int index) { return _mm256_shuffle_epi8(table, index); }

    static HERD_INLINE void add_product(Float& sum, Float w, const float* p) {
        sum = _mm256_fmadd_ps(w, _mm256_broadcast_ss(p), sum);
    }
    static HERD_INLINE void pin(Int& x) { asm volatile("" : "+x"(x)); }
    static HERD_INLINE void pin(Float& x) { asm volatile("" : "+x"(x)); }

    static HERD_INLINE Float to_float(Int x) { return _mm256_cvtepi32_ps(x); }
    static HERD_INLINE Float add(Float x, Float y) { return _mm256_add_ps(x, y); }
    static HERD_INLINE Float multiply(Float x, Float y) { return _mm256_mul_ps(x, y); }
    static HERD_INLINE Float multiply_add(Float x, Float y, Float sum) { return _mm256_fmadd_ps(x, y, sum); }
    static HERD_INLINE Float multiply_subtract(Float x, Float y, Float sum) { return _mm256_fnmadd_ps(x, y, sum); }

    static HERD_INLINE Float halves(const Half* p) {
        return _mm256_cvtph_ps(_mm_load_si128(reinterpret_cast<const __m128i*>(p)));
    }
    static HERD_INLINE Float low_bf16(Int x) { return _mm256_castsi256_ps(_mm256_slli_epi32(x, 16)); }
    static HERD_INLINE Float high_bf16(Int x) {
        return _mm256_castsi256_ps(_mm256_and_si256(x, _mm256_set1_epi32(static_cast<int>(0xFFFF0000))));
    }
    static HERD_INLINE Float scales(const uint8_t* p) {
        return to_float(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
    }
    static HERD_INLINE Float scales(const int8_t* p) {
        return to_float(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
    }
    static HERD_INLINE Int byte_pairs(const uint8_t* p) {
        return _mm256_cvtepu8_epi16(_mm_load_si128(reinterpret_cast<const __m128i*>(p)));
    }

    static HERD_INLINE Int mask(int n) {
        return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    }
    // At any address, all lanes.
    static HERD_INLINE Float any(const float* p) { return _mm256_loadu_ps(p); }
    static HERD_INLINE Float any_halves(const Half* p) {
        return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    }
    static HERD_INLINE void put(float* p, Float x) { _mm256_storeu_ps(p, x); }
    static HERD_INLINE float sum(Float x) {
        const __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
        const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
    }

    static HERD_INLINE Float load(const float* p, int n) { return _mm256_maskload_ps(p, mask(n)); }
    static HERD_INLINE void store(float* p, int n, Float x) { _mm256_maskstore_ps(p, mask(n), x); }
};

}  // namespace herd
