// AVX-512 with VNNI: one register holds a 32-bit lane for each of the 16 rows.
#pragma once

#include <immintrin.h>

#include "inline.h"
#include "layout.h"

namespace herd {

struct Avx512 {
    using Int = __m512i;
    using Float = __m512;
    static constexpr int kLanes = 16;
    static constexpr int kParts = kRows / kLanes;  // registers that cover the 16 rows

    static HERD_INLINE Int zero() { return _mm512_setzero_si512(); }
    static HERD_INLINE Float zero_float() { return _mm512_setzero_ps(); }
    static HERD_INLINE Int line(const void* p) { return _mm512_load_si512(p); }
    static HERD_INLINE Int bytes(int value) { return _mm512_set1_epi8(static_cast<char>(value)); }
    static HERD_INLINE Int repeat(const void* word) { return _mm512_set1_epi32(*static_cast<const int32_t*>(word)); }
    static HERD_INLINE Float repeat_float(const void* word) { return _mm512_set1_ps(*static_cast<const float*>(word)); }
    static HERD_INLINE void store_line(void* p, Int value) { _mm512_store_si512(p, value); }

    template <int N>
    static HERD_INLINE Int right(Int x) { return _mm512_srli_epi16(x, N); }
    template <int N>
    static HERD_INLINE Int left(Int x) { return _mm512_slli_epi16(x, N); }
    static HERD_INLINE Int both(Int x, Int y) { return _mm512_and_si512(x, y); }
    // (x & mask) of `high`, the rest from `low`: low | (high & mask)
    static HERD_INLINE Int with_bits(Int low, Int high, Int mask) {
        return _mm512_ternarylogic_epi32(low, high, mask, 0xF8);
    }
    static HERD_INLINE Int table16(const uint8_t* entries) {
        return _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(entries)));
    }
    static HERD_INLINE Int look_up(Int table, Int index) { return _mm512_shuffle_epi8(table, index); }

    // sum += four unsigned bytes of each lane of w times the four signed bytes at p. Assembly,
    // because gcc 12 loads the broadcast into a register first and then runs out of registers.
    static HERD_INLINE void dot(Int& sum, Int w, const void* p) {
        asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(w), "m"(*static_cast<const int32_t*>(p)));
    }
    // The same with two pairs of int16.
    static HERD_INLINE void dot16(Int& sum, Int w, const void* p) {
        asm("vpdpwssd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(w), "m"(*static_cast<const int32_t*>(p)));
    }
    // sum += the weights of each lane times the float at p.
    static HERD_INLINE void add_product(Float& sum, Float w, const float* p) {
        asm("vfmadd231ps %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(w), "m"(*p));
    }
    // Keeps the compiler from computing many lines ahead, for which there are no registers.
    static HERD_INLINE void pin(Int& x) { asm volatile("" : "+v"(x)); }
    static HERD_INLINE void pin(Float& x) { asm volatile("" : "+v"(x)); }

    static HERD_INLINE Float to_float(Int x) { return _mm512_cvtepi32_ps(x); }
    static HERD_INLINE Float add(Float x, Float y) { return _mm512_add_ps(x, y); }
    static HERD_INLINE Float multiply(Float x, Float y) { return _mm512_mul_ps(x, y); }
    static HERD_INLINE Float multiply_add(Float x, Float y, Float sum) { return _mm512_fmadd_ps(x, y, sum); }
    static HERD_INLINE Float multiply_subtract(Float x, Float y, Float sum) { return _mm512_fnmadd_ps(x, y, sum); }

    static HERD_INLINE Float halves(const Half* p) {
        return _mm512_cvtph_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(p)));
    }
    // Two BF16 in each lane: those in the low 16 bits as floats, and those in the high ones.
    static HERD_INLINE Float low_bf16(Int x) { return _mm512_castsi512_ps(_mm512_slli_epi32(x, 16)); }
    static HERD_INLINE Float high_bf16(Int x) {
        return _mm512_castsi512_ps(_mm512_and_si512(x, _mm512_set1_epi32(static_cast<int>(0xFFFF0000))));
    }
    static HERD_INLINE Float scales(const uint8_t* p) {
        return to_float(_mm512_cvtepu8_epi32(_mm_load_si128(reinterpret_cast<const __m128i*>(p))));
    }
    static HERD_INLINE Float scales(const int8_t* p) {
        return to_float(_mm512_cvtepi8_epi32(_mm_load_si128(reinterpret_cast<const __m128i*>(p))));
    }
    static HERD_INLINE Int byte_pairs(const uint8_t* p) {
        return _mm512_cvtepu8_epi16(_mm256_load_si256(reinterpret_cast<const __m256i*>(p)));
    }

    static HERD_INLINE __mmask16 mask(int n) { return static_cast<__mmask16>((1u << n) - 1); }
    // At any address, all lanes.
    static HERD_INLINE Float any(const float* p) { return _mm512_loadu_ps(p); }
    static HERD_INLINE Float any_halves(const Half* p) {
        return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    }
    static HERD_INLINE void put(float* p, Float x) { _mm512_storeu_ps(p, x); }
    static HERD_INLINE float sum(Float x) { return _mm512_reduce_add_ps(x); }

    static HERD_INLINE Float load(const float* p, int n) { return _mm512_maskz_loadu_ps(mask(n), p); }
    static HERD_INLINE void store(float* p, int n, Float x) { _mm512_mask_storeu_ps(p, mask(n), x); }
};

}  // namespace herd
