#include "repack_avx512.h"

#include <immintrin.h>

#include <cstring>

#include "inline.h"

// Packing is a transposition of 32-bit words: what one row has side by side, the packed form has in
// as many lines. So 16 words of 16 rows go through a 16 x 16 transposition in registers, and the
// bits are then shifted in whole lines. repack.cpp describes where the bits lie.

namespace herd {
namespace {

using Line = __m512i;  // one word of each of the 16 rows

HERD_INLINE Line mask_bits(Line x, int word) { return _mm512_and_si512(x, _mm512_set1_epi32(word)); }
HERD_INLINE Line merge(Line x, Line y) { return _mm512_or_si512(x, y); }
HERD_INLINE Line left(Line x, int n) { return _mm512_slli_epi32(x, static_cast<unsigned>(n)); }
HERD_INLINE Line right(Line x, int n) { return _mm512_srli_epi32(x, static_cast<unsigned>(n)); }
HERD_INLINE Line byte(Line x, int n) { return mask_bits(right(x, 8 * n), 0xFF); }

HERD_INLINE void put_line(void* to, Line x) { _mm512_store_si512(to, x); }
HERD_INLINE void put_bytes(void* to, Line x) {
    _mm_store_si128(static_cast<__m128i*>(to), _mm512_cvtepi32_epi8(x));
}
HERD_INLINE void put_halves(void* to, Line x) {
    _mm256_store_si256(static_cast<__m256i*>(to), _mm512_cvtepi32_epi16(x));
}

// words[i] = word i, counted from `file`, of each row; of the first kCount words, at most 16.
template <int kCount>
HERD_INLINE void words_of_rows(const uint8_t* file, size_t row_bytes, Line* words) {
    const auto wanted = static_cast<__mmask16>((1u << kCount) - 1);  // never reads behind the block
    Line a[16], b[16];
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
        const Line low01 = _mm512_shuffle_i32x4(a[i], a[i + 4], 0x44), high01 = _mm512_shuffle_i32x4(a[i], a[i + 4], 0xEE);
        const Line low23 = _mm512_shuffle_i32x4(a[i + 8], a[i + 12], 0x44);
        const Line high23 = _mm512_shuffle_i32x4(a[i + 8], a[i + 12], 0xEE);
        const Line quarters[4] = {_mm512_shuffle_i32x4(low01, low23, 0x88), _mm512_shuffle_i32x4(low01, low23, 0xDD),
                                  _mm512_shuffle_i32x4(high01, high23, 0x88), _mm512_shuffle_i32x4(high01, high23, 0xDD)};
        for (int q = 0; q < 4; ++q) {
            if (4 * q + i < kCount) words[4 * q + i] = quarters[q];
        }
    }
}

// ---- Q4_K and Q5_K

template <class Packed>
HERD_INLINE void pack_header(const uint8_t* file, size_t row_bytes, Packed& out) {
    Line header[4];  // d and dmin, then the twelve bytes of scales and mins
    words_of_rows<4>(file, row_bytes, header);
    put_halves(out.d, header[0]);
    put_halves(out.dmin, right(header[0], 16));
    Line min[8];
    for (int s = 0; s < 4; ++s) {
        const Line scale = byte(header[1], s), least = byte(header[2], s), rest = byte(header[3], s);
        put_bytes(out.scales[s], mask_bits(scale, 63));
        put_bytes(out.scales[s + 4], merge(mask_bits(rest, 15), left(right(scale, 6), 4)));
        min[s] = mask_bits(least, 63);
        min[s + 4] = merge(right(rest, 4), left(right(least, 6), 4));
    }
    for (int pair = 0; pair < 4; ++pair) put_halves(out.mins[pair], merge(min[2 * pair], left(min[2 * pair + 1], 8)));
}

template <class Packed>
HERD_INLINE void pack_nibbles(const uint8_t* qs, size_t row_bytes, Packed& out) {
    for (int half = 0; half < 2; ++half) {
        Line words[16];
        words_of_rows<16>(qs + 64 * half, row_bytes, words);
        for (int p = 0; p < 2; ++p) {
            for (int j = 0; j < 4; ++j) {
                const Line first = words[8 * p + j], second = words[8 * p + 4 + j];
                uint8_t(*lines)[kLine] = out.qs + 16 * half + 8 * p + j;
                put_line(lines[0], merge(mask_bits(first, 0x0F0F0F0F), left(mask_bits(second, 0x0F0F0F0F), 4)));
                put_line(lines[4], merge(mask_bits(right(first, 4), 0x0F0F0F0F), mask_bits(second, ~0x0F0F0F0F)));
            }
        }
    }
}

// ---- Q8_0 and Q4_0

template <class File, class Packed>
HERD_INLINE void pack_pair(const uint8_t* file, size_t row_bytes, Packed& out, int flip) {
    constexpr int kWords = sizeof(File::qs) / 4;
    for (int half = 0; half < 2; ++half) {
        const uint8_t* block = file + half * sizeof(File);
        Line words[kWords];
        words_of_rows<kWords>(block + offsetof(File, qs), row_bytes, words);
        for (int word = 0; word < kWords; ++word) {
            put_line(out.qs[half * kWords + word], _mm512_xor_si512(words[word], _mm512_set1_epi32(flip)));
        }
        for (int row = 0; row < kRows; ++row) std::memcpy(&out.d[half][row], block + row * row_bytes, sizeof(Half));
    }
}

}  // namespace

void pack_q4k_avx512(const uint8_t* file, size_t row_bytes, void* packed) {
    auto& out = *static_cast<PackedQ4K*>(packed);
    pack_header(file, row_bytes, out);
    pack_nibbles(file + offsetof(FileQ4K, qs), row_bytes, out);
}

void pack_q5k_avx512(const uint8_t* file, size_t row_bytes, void* packed) {
    auto& out = *static_cast<PackedQ5K*>(packed);
    pack_header(file, row_bytes, out);
    pack_nibbles(file + offsetof(FileQ5K, qs), row_bytes, out);
    Line high[8];
    words_of_rows<8>(file + offsetof(FileQ5K, qh), row_bytes, high);
    for (int s = 0; s < 8; ++s) {
        Line bits = _mm512_setzero_si512();
        for (int j = 0; j < 8; ++j) bits = merge(bits, left(mask_bits(right(high[j], s), 0x01010101), j));
        put_line(out.qh[s], bits);
    }
}

void pack_q6k_avx512(const uint8_t* file, size_t row_bytes, void* packed) {
    auto& out = *static_cast<PackedQ6K*>(packed);
    std::memset(out.padding, 0, sizeof out.padding);
    Line low[32], high[16], scales[4];
    words_of_rows<16>(file, row_bytes, low);
    words_of_rows<16>(file + 64, row_bytes, low + 16);
    words_of_rows<16>(file + offsetof(FileQ6K, qh), row_bytes, high);
    words_of_rows<4>(file + offsetof(FileQ6K, scales), row_bytes, scales);
    for (int s = 0; s < 16; ++s) {
        const int half = s / 8, quarter = s % 8 / 2, side = s % 2;
        const Line* ql = low + 16 * half + 8 * (quarter % 2) + 4 * side;
        const Line* qh = high + 8 * half + 4 * side;
        Line nibbles[4], bits = _mm512_setzero_si512();
        for (int j = 0; j < 4; ++j) {
            nibbles[j] = mask_bits(right(ql[j], 4 * (quarter / 2)), 0x0F0F0F0F);
            bits = merge(bits, left(mask_bits(right(qh[j], 2 * quarter), 0x03030303), 2 * j));
        }
        put_line(out.ql[2 * s], merge(nibbles[0], left(nibbles[2], 4)));
        put_line(out.ql[2 * s + 1], merge(nibbles[1], left(nibbles[3], 4)));
        put_line(out.qh[s], bits);
        put_bytes(out.scales[s], byte(scales[s / 4], s % 4));
    }
    for (int row = 0; row < kRows; ++row) {
        std::memcpy(&out.d[row], file + row * row_bytes + offsetof(FileQ6K, d), sizeof(Half));
    }
}

void pack_iq4xs_avx512(const uint8_t* file, size_t row_bytes, void* packed) {
    auto& out = *static_cast<PackedIQ4XS*>(packed);
    std::memset(out.padding, 0, sizeof out.padding);
    Line header[2];  // d and the high bits of the scales; their low bits
    words_of_rows<2>(file, row_bytes, header);
    put_halves(out.d, header[0]);
    for (int s = 0; s < 8; ++s) {
        const Line low = mask_bits(right(header[1], 4 * s), 15), high = mask_bits(right(header[0], 16 + 2 * s), 3);
        put_bytes(out.scales[s], _mm512_sub_epi32(merge(low, left(high, 4)), _mm512_set1_epi32(32)));
    }
    for (int half = 0; half < 2; ++half) {
        Line words[16];
        words_of_rows<16>(file + offsetof(FileIQ4XS, qs) + 64 * half, row_bytes, words);
        for (int word = 0; word < 16; ++word) put_line(out.qs[16 * half + word], words[word]);
    }
}

void pack_q80_avx512(const uint8_t* file, size_t row_bytes, void* packed) {
    pack_pair<FileQ80>(file, row_bytes, *static_cast<PackedQ80*>(packed), static_cast<int>(0x80808080));
}

void pack_q40_avx512(const uint8_t* file, size_t row_bytes, void* packed) {
    pack_pair<FileQ40>(file, row_bytes, *static_cast<PackedQ40*>(packed), 0);
}

void pack_f16_avx512(const uint8_t* file, size_t row_bytes, void* packed) {
    auto& out = *static_cast<PackedF16*>(packed);
    for (int half = 0; half < 2; ++half) {
        Line words[16];
        words_of_rows<16>(file + 64 * half, row_bytes, words);
        for (int word = 0; word < 16; ++word) {
            put_halves(out.w[32 * half + 2 * word], words[word]);
            put_halves(out.w[32 * half + 2 * word + 1], right(words[word], 16));
        }
    }
}

void pack_bf16_avx512(const uint8_t* file, size_t row_bytes, void* packed) {
    auto& out = *static_cast<PackedBF16*>(packed);
    for (int half = 0; half < 2; ++half) {
        Line words[16];
        words_of_rows<16>(file + 64 * half, row_bytes, words);
        for (int word = 0; word < 16; ++word) put_line(out.w[16 * half + word], words[word]);
    }
}

}  // namespace herd
