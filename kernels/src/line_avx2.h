// A line of packed weights in two registers of 256 bits: a word of each of 16 rows. See pack.h.
#pragma once

#include <immintrin.h>

#include "inline.h"

namespace herd {
namespace {

struct Line256 {
    __m256i first, second;  // rows 0 to 7 and 8 to 15
};

HERD_INLINE Line256 mask_bits(Line256 x, int word) {
    const __m256i mask = _mm256_set1_epi32(word);
    return {_mm256_and_si256(x.first, mask), _mm256_and_si256(x.second, mask)};
}
HERD_INLINE Line256 flip_bits(Line256 x, int word) {
    const __m256i mask = _mm256_set1_epi32(word);
    return {_mm256_xor_si256(x.first, mask), _mm256_xor_si256(x.second, mask)};
}
HERD_INLINE Line256 merge(Line256 x, Line256 y) {
    return {_mm256_or_si256(x.first, y.first), _mm256_or_si256(x.second, y.second)};
}
HERD_INLINE Line256 less(Line256 x, int value) {
    const __m256i values = _mm256_set1_epi32(value);
    return {_mm256_sub_epi32(x.first, values), _mm256_sub_epi32(x.second, values)};
}
HERD_INLINE Line256 left(Line256 x, int n) { return {_mm256_slli_epi32(x.first, n), _mm256_slli_epi32(x.second, n)}; }
HERD_INLINE Line256 right(Line256 x, int n) { return {_mm256_srli_epi32(x.first, n), _mm256_srli_epi32(x.second, n)}; }

HERD_INLINE void put_line(void* to, Line256 x) {
    _mm256_store_si256(static_cast<__m256i*>(to), x.first);
    _mm256_store_si256(static_cast<__m256i*>(to) + 1, x.second);
}

// The lower halves of the words, which are below 2^16, in order.
HERD_INLINE __m256i halves_of(Line256 x) {
    constexpr int kQuarters = 0xD8;  // 0 2 1 3: packing interleaves the registers' halves
    return _mm256_permute4x64_epi64(_mm256_packus_epi32(x.first, x.second), kQuarters);
}

// The lowest byte, and the lower half, of each word.
HERD_INLINE void put_bytes(void* to, Line256 x) {
    const __m256i halves = halves_of(mask_bits(x, 0xFF));
    _mm_store_si128(static_cast<__m128i*>(to),
                    _mm_packus_epi16(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1)));
}
HERD_INLINE void put_halves(void* to, Line256 x) {
    _mm256_store_si256(static_cast<__m256i*>(to), halves_of(mask_bits(x, 0xFFFF)));
}

// words[i] = the first kCount words of 8 rows, a register for each.
template <int kCount>
HERD_INLINE void words_of_eight(const uint8_t* file, size_t row_bytes, __m256i* words) {
    const __m256i wanted = _mm256_cmpgt_epi32(_mm256_set1_epi32(kCount), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    __m256i a[8], b[8];
    for (int i = 0; i < 8; ++i) {  // never reads behind the block
        a[i] = _mm256_maskload_epi32(reinterpret_cast<const int*>(file + i * row_bytes), wanted);
    }
    for (int i = 0; i < 8; i += 2) {
        b[i] = _mm256_unpacklo_epi32(a[i], a[i + 1]);
        b[i + 1] = _mm256_unpackhi_epi32(a[i], a[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {  // four rows side by side, one word in each half
        a[i] = _mm256_unpacklo_epi64(b[i], b[i + 2]);
        a[i + 1] = _mm256_unpackhi_epi64(b[i], b[i + 2]);
        a[i + 2] = _mm256_unpacklo_epi64(b[i + 1], b[i + 3]);
        a[i + 3] = _mm256_unpackhi_epi64(b[i + 1], b[i + 3]);
    }
    for (int i = 0; i < 4; ++i) {
        if (i < kCount) words[i] = _mm256_permute2x128_si256(a[i], a[i + 4], 0x20);
        if (i + 4 < kCount) words[i + 4] = _mm256_permute2x128_si256(a[i], a[i + 4], 0x31);
    }
}

// words[i] = word i, counted from `file`, of each row; at most 16.
template <int kCount>
HERD_INLINE void words_of_rows(const uint8_t* file, size_t row_bytes, Line256 (&words)[kCount]) {
    constexpr int kFirst = kCount < 8 ? kCount : 8;
    __m256i some[8], others[8];
    words_of_eight<kFirst>(file, row_bytes, some);
    words_of_eight<kFirst>(file + 8 * row_bytes, row_bytes, others);
    for (int i = 0; i < kFirst; ++i) words[i] = {some[i], others[i]};
    if constexpr (kCount > 8) {
        words_of_eight<kCount - 8>(file + 32, row_bytes, some);
        words_of_eight<kCount - 8>(file + 32 + 8 * row_bytes, row_bytes, others);
        for (int i = 8; i < kCount; ++i) words[i] = {some[i - 8], others[i - 8]};
    }
}

}  // namespace
}  // namespace herd
