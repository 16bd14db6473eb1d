// AVX-VNNI: the byte products of AVX-512 VNNI on 256-bit registers, for CPUs without AVX-512.
#pragma once

#include "simd_256.h"

namespace herd {

struct AvxVnni : Registers256 {
    static HERD_INLINE void dot(Int& sum, Int w, const void* p) { sum = _mm256_dpbusd_avx_epi32(sum, w, repeat(p)); }
    static HERD_INLINE void dot16(Int& sum, Int w, const void* p) { sum = _mm256_dpwssd_avx_epi32(sum, w, repeat(p)); }
};

}  // namespace herd
