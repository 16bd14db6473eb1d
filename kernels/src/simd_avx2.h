// AVX2, for CPUs without VNNI: a byte product takes three instructions.
#pragma once

#include "simd_256.h"

namespace herd {

struct Avx2 : Registers256 {
    // Pairs of products are added up in 16 bits, which saturate: weights of 8 bits do not fit.
    static HERD_INLINE void dot(Int& sum, Int w, const void* p) {
        const Int pairs = _mm256_maddubs_epi16(w, repeat(p));
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
    static HERD_INLINE void dot16(Int& sum, Int w, const void* p) {
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(w, repeat(p)));
    }
};

}  // namespace herd
