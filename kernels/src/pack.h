// Packing, for one instruction set: the layout of GGUF files to the packed one. See layout.h; unpack.cpp
// tells where files keep their bits. Included by one file an instruction set; everything here is its own copy.
//
// It is a transposition of 32-bit words: what one row has side by side, the packed form has in as many
// lines. So 16 words of 16 rows go through a transposition in registers, and the bits are then shifted
// in whole lines. `Line` is one word of each of the 16 rows.
#pragma once

#include <cstring>

#include "inline.h"
#include "layout.h"

namespace herd {
namespace {

template <class Line>
HERD_INLINE Line byte(Line x, int n) {
    return mask_bits(right(x, 8 * n), 0xFF);
}

// ---- Q4_K and Q5_K

template <class Line, class Packed>
HERD_INLINE void pack_header(const uint8_t* file, size_t row_bytes, Packed& out) {
    Line header[4];  // d and dmin, then the twelve bytes of scales and mins
    words_of_rows(file, row_bytes, header);
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

template <class Line, class Packed>
HERD_INLINE void pack_nibbles(const uint8_t* qs, size_t row_bytes, Packed& out) {
    for (int half = 0; half < 2; ++half) {
        Line words[16];
        words_of_rows(qs + 64 * half, row_bytes, words);
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

template <class Line, class File, class Packed>
HERD_INLINE void pack_pair(const uint8_t* file, size_t row_bytes, Packed& out, int flip) {
    constexpr int kWords = sizeof(File::qs) / 4;
    for (int half = 0; half < 2; ++half) {
        const uint8_t* block = file + half * sizeof(File);
        Line words[kWords];
        words_of_rows(block + offsetof(File, qs), row_bytes, words);
        for (int word = 0; word < kWords; ++word) {
            put_line(out.qs[half * kWords + word], flip_bits(words[word], flip));
        }
        for (int row = 0; row < kRows; ++row) std::memcpy(&out.d[half][row], block + row * row_bytes, sizeof(Half));
    }
}

// ---- a block of each type

template <class Line>
HERD_INLINE void pack_rows(const uint8_t* file, size_t row_bytes, PackedQ4K& out) {
    pack_header<Line>(file, row_bytes, out);
    pack_nibbles<Line>(file + offsetof(FileQ4K, qs), row_bytes, out);
}

template <class Line>
HERD_INLINE void pack_rows(const uint8_t* file, size_t row_bytes, PackedQ5K& out) {
    pack_header<Line>(file, row_bytes, out);
    pack_nibbles<Line>(file + offsetof(FileQ5K, qs), row_bytes, out);
    Line high[8];
    words_of_rows(file + offsetof(FileQ5K, qh), row_bytes, high);
    for (int s = 0; s < 8; ++s) {
        Line bits = mask_bits(high[0], 0);
        for (int j = 0; j < 8; ++j) bits = merge(bits, left(mask_bits(right(high[j], s), 0x01010101), j));
        put_line(out.qh[s], bits);
    }
}

template <class Line>
HERD_INLINE void pack_rows(const uint8_t* file, size_t row_bytes, PackedQ6K& out) {
    std::memset(out.padding, 0, sizeof out.padding);
    Line low[2][16], high[16], scales[4];
    words_of_rows(file, row_bytes, low[0]);
    words_of_rows(file + 64, row_bytes, low[1]);
    words_of_rows(file + offsetof(FileQ6K, qh), row_bytes, high);
    words_of_rows(file + offsetof(FileQ6K, scales), row_bytes, scales);
    for (int s = 0; s < 16; ++s) {
        const int half = s / 8, quarter = s % 8 / 2, side = s % 2;
        const Line* ql = low[half] + 8 * (quarter % 2) + 4 * side;
        const Line* qh = high + 8 * half + 4 * side;
        Line nibbles[4], bits = mask_bits(high[0], 0);
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

template <class Line>
HERD_INLINE void pack_rows(const uint8_t* file, size_t row_bytes, PackedIQ4XS& out) {
    std::memset(out.padding, 0, sizeof out.padding);
    Line header[2];  // d and the high bits of the scales; their low bits
    words_of_rows(file, row_bytes, header);
    put_halves(out.d, header[0]);
    for (int s = 0; s < 8; ++s) {
        const Line low = mask_bits(right(header[1], 4 * s), 15), high = mask_bits(right(header[0], 16 + 2 * s), 3);
        put_bytes(out.scales[s], less(merge(low, left(high, 4)), 32));
    }
    for (int half = 0; half < 2; ++half) {
        Line words[16];
        words_of_rows(file + offsetof(FileIQ4XS, qs) + 64 * half, row_bytes, words);
        for (int word = 0; word < 16; ++word) put_line(out.qs[16 * half + word], words[word]);
    }
}

template <class Line>
HERD_INLINE void pack_rows(const uint8_t* file, size_t row_bytes, PackedQ80& out) {
    pack_pair<Line, FileQ80>(file, row_bytes, out, static_cast<int>(0x80808080));
}

template <class Line>
HERD_INLINE void pack_rows(const uint8_t* file, size_t row_bytes, PackedQ40& out) {
    pack_pair<Line, FileQ40>(file, row_bytes, out, 0);
}

template <class Line>
HERD_INLINE void pack_rows(const uint8_t* file, size_t row_bytes, PackedF16& out) {
    for (int half = 0; half < 2; ++half) {
        Line words[16];
        words_of_rows(file + 64 * half, row_bytes, words);
        for (int word = 0; word < 16; ++word) {
            put_halves(out.w[32 * half + 2 * word], words[word]);
            put_halves(out.w[32 * half + 2 * word + 1], right(words[word], 16));
        }
    }
}

template <class Line>
HERD_INLINE void pack_rows(const uint8_t* file, size_t row_bytes, PackedBF16& out) {
    for (int half = 0; half < 2; ++half) {
        Line words[16];
        words_of_rows(file + 64 * half, row_bytes, words);
        for (int word = 0; word < 16; ++word) put_line(out.w[16 * half + word], words[word]);
    }
}

// A PackFunction.
template <class Line, class Packed>
void pack(const uint8_t* file, size_t row_bytes, void* packed) {
    pack_rows<Line>(file, row_bytes, *static_cast<Packed*>(packed));
}

}  // namespace
}  // namespace herd
