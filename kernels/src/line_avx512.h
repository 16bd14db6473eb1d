// A line of packed weights in one register of 512 bits: a word of each of 16 rows. See pack.h.
#pragma once

#include <immintrin.h>

#include "inline.h"

namespace herd {
namespace {

struct Line512 {
    __m512i words;
};

HERD_INLINE Line512 mask_bits(Line512 x, int word) { return {_mm512_and_si512(x.words, _mm512_set1_epi32(word))}; }
HERD_INLINE Line512 flip_bits(Line512 x, int word) { return {_mm512_xor_si512(x.words, _mm512_set1_epi32(word))}; }
HERD_INLINE Line512 merge(Line512 x, Line512 y) { return {_mm512_or_si512(x.words, y.words)}; }
HERD_INLINE Line512 less(Line512 x, int value) { return {_mm512_sub_epi32(x.words, _mm512_set1_epi32(value))}; }
HERD_INLINE Line512 left(Line512 x, int n) { return {_mm512_slli_epi32(x.words, static_cast<unsigned>(n))}; }
HERD_INLINE Line512 right(Line512 x, int n) { return {_mm512_srli_epi32(x.words, static_cast<unsigned>(n))}; }

HERD_INLINE void put_line(void* to, Line512 x) { _mm512_store_si512(to, x.words); }
// The lowest byte, and the lower half, of each word.
HERD_INLINE void put_bytes(void* to, Line512 x) {
    _mm_store_si128(static_cast<__m128i*>(to), _mm512_cvtepi32_epi8(x.words));
}
HERD_INLINE void put_halves(void* to, Line512 x) {
    _mm256_store_si256(static_cast<__m256i*>(to), _mm512_cvtepi32_epi16(x.words));
}

// words[i] = word i, counted from `file`, of each row; at most 16.
template <int kCount>
HERD_INLINE void words_of_rows(const uint8_t* file, size_t row_bytes, Line512 (&words)[kCount]) {
    const auto wanted = static_cast<__mmask16>((1u << kCount) - 1);  // never reads behind the block
    __m512i a[16], b[16];
    for (int i = 0; i < 16; ++i) a[i] = _mm512_maskz_loadu_epi32(wanted, file + i * row_bytes);
    for (int i = 0; i < 16; i += 2) {
        b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
        b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {  // four rows side by side, one word in each quarter
        a[i] = _mm512_unpacklo_epi64(b[i], b[i + 2]);
        a[i + 1] = _mm512_unpackhi_epi64(b[i], b[i + 2]);
        a[i + 2] = _mm512_unpacklo_epi64(b[i + 1], b[i + 3]);
        a[i + 3] = _mm512_unpackhi_epi64(b[i + 1], b[i + 3]);
    }
    for (int i = 0; i < 4; ++i) {  // now quarter q of a[i + 4 r] is word 4 q + i of rows 4 r to 4 r + 3
        const __m512i low01 = _mm512_shuffle_i32x4(a[i], a[i + 4], 0x44), high01 = _mm512_shuffle_i32x4(a[i], a[i + 4], 0xEE);
        const __m512i low23 = _mm512_shuffle_i32x4(a[i + 8], a[i + 12], 0x44);
        const __m512i high23 = _mm512_shuffle_i32x4(a[i + 8], a[i + 12], 0xEE);
        const __m512i quarters[4] = {_mm512_shuffle_i32x4(low01, low23, 0x88), _mm512_shuffle_i32x4(low01, low23, 0xDD),
                                     _mm512_shuffle_i32x4(high01, high23, 0x88), _mm512_shuffle_i32x4(high01, high23, 0xDD)};
        for (int q = 0; q < 4; ++q) {
            if (4 * q + i < kCount) words[4 * q + i] = {quarters[q]};
        }
    }
}

}  // namespace
}  // namespace herd
