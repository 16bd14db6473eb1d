#include "unpack.h"

#include <cstring>

// Everything here works on 32-bit words: four elements of one row that stay together. Plain C++, for
// every CPU: weights are seldom read back.

namespace herd {
namespace {

constexpr uint32_t kLow4 = 0x0F0F0F0F, kHigh4 = 0xF0F0F0F0, kBit = 0x01010101, kTwoBits = 0x03030303;

uint32_t load(const void* bytes, int word) {
    uint32_t value;
    std::memcpy(&value, static_cast<const uint8_t*>(bytes) + 4 * word, 4);
    return value;
}

void store(void* bytes, int word, uint32_t value) {
    std::memcpy(static_cast<uint8_t*>(bytes) + 4 * word, &value, 4);
}

// ---- Q4_K and Q5_K

// Twelve bytes hold eight 6-bit scales and eight 6-bit mins. Bytes 0-3 and 4-7 have scale and min
// of the first four sub-blocks in six bits and two bits of those of the last four on top; bytes
// 8-11 have the rest of the last four, the scale in the low nibble.
void join_scales(const uint8_t* scale, const uint8_t* min, uint8_t* packed) {
    for (int s = 0; s < 4; ++s) {
        packed[s] = scale[s] | (scale[s + 4] >> 4 << 6);
        packed[s + 4] = min[s] | (min[s + 4] >> 4 << 6);
        packed[s + 8] = (scale[s + 4] & 15) | (min[s + 4] & 15) << 4;
    }
}

template <class File, class Packed>
void unpack_scales(const Packed& in, File& out, int row) {
    uint8_t scale[8], min[8];
    for (int s = 0; s < 8; ++s) {
        scale[s] = in.scales[s][row];
        min[s] = in.mins[s / 2][row][s % 2];
    }
    join_scales(scale, min, out.scales);
    out.d = in.d[row];
    out.dmin = in.dmin[row];
}

// A file keeps sub-blocks 2p and 2p + 1 in the nibbles of the same bytes; packed, the halves of
// one sub-block share them.
template <class File, class Packed>
void unpack_nibbles(const Packed& in, File& out, int row) {
    for (int p = 0; p < 4; ++p) {
        for (int j = 0; j < 4; ++j) {
            const uint32_t even = load(in.qs[8 * p + j], row), odd = load(in.qs[8 * p + 4 + j], row);
            store(out.qs, 8 * p + j, (even & kLow4) | (odd & kLow4) << 4);
            store(out.qs, 8 * p + 4 + j, (even >> 4 & kLow4) | (odd & kHigh4));
        }
    }
}

void unpack_row(const PackedQ4K& in, int row, FileQ4K& out) {
    unpack_nibbles(in, out, row);
    unpack_scales(in, out, row);
}

// In a file bit s of a byte belongs to sub-block s; packed, bit j of a byte belongs to line j.
void unpack_fifth_bits(const PackedQ5K& in, FileQ5K& out, int row) {
    for (int j = 0; j < 8; ++j) {
        uint32_t bits = 0;
        for (int s = 0; s < 8; ++s) bits |= (load(in.qh[s], row) >> j & kBit) << s;
        store(out.qh, j, bits);
    }
}

void unpack_row(const PackedQ5K& in, int row, FileQ5K& out) {
    unpack_nibbles(in, out, row);
    unpack_fifth_bits(in, out, row);
    unpack_scales(in, out, row);
}

// ---- Q6_K

// Where a file keeps sub-block s (16 elements). Each half of the super-block has 64 bytes `ql` and
// 32 bytes `qh` for four quarters of 32 elements: quarter 0 and 1 in the low nibbles of the first
// and second 32 bytes of ql, 2 and 3 in the high ones; quarter i in bits 2i and 2i + 1 of qh.
struct PlaceQ6K {
    int ql, qh;  // first words
    int nibble_shift, bits_shift;
    explicit PlaceQ6K(int s) {
        const int half = s / 8, quarter = s % 8 / 2, side = s % 2;
        ql = 16 * half + 8 * (quarter % 2) + 4 * side;
        qh = 8 * half + 4 * side;
        nibble_shift = 4 * (quarter / 2);
        bits_shift = 2 * quarter;
    }
};

void unpack_row(const PackedQ6K& in, int row, FileQ6K& out) {
    for (int s = 0; s < 16; ++s) {
        const PlaceQ6K at(s);
        const uint32_t high = load(in.qh[s], row);
        for (int j = 0; j < 4; ++j) {
            const uint32_t low = load(in.ql[2 * s + j % 2], row) >> 4 * (j / 2) & kLow4;
            store(out.ql, at.ql + j, load(out.ql, at.ql + j) | low << at.nibble_shift);
            store(out.qh, at.qh + j,
                  load(out.qh, at.qh + j) | (high >> 2 * j & kTwoBits) << at.bits_shift);
        }
        out.scales[s] = in.scales[s][row];
    }
    out.d = in.d[row];
}

// ---- IQ4_XS

void unpack_row(const PackedIQ4XS& in, int row, FileIQ4XS& out) {
    for (int word = 0; word < 32; ++word) store(out.qs, word, load(in.qs[word], row));
    for (int s = 0; s < 8; ++s) {
        const int scale = in.scales[s][row] + 32;
        out.scales_l[s / 2] |= static_cast<uint8_t>((scale & 15) << 4 * (s % 2));
        out.scales_h |= static_cast<uint16_t>((scale >> 4 & 3) << 2 * s);
    }
    out.d = in.d[row];
}

// ---- Q8_0 and Q4_0: two blocks of a row at a time

template <class Packed, class File>
void unpack_pair(const Packed& in, int row, File (&out)[2], uint32_t flip) {
    constexpr int kWords = sizeof(File::qs) / 4;
    for (int half = 0; half < 2; ++half) {
        for (int word = 0; word < kWords; ++word) {
            store(out[half].qs, word, load(in.qs[half * kWords + word], row) ^ flip);
        }
        out[half].d = in.d[half][row];
    }
}

void unpack_row(const PackedQ80& in, int row, FileQ80 (&out)[2]) {
    unpack_pair(in, row, out, 0x80808080);  // q + 128 differs from q in the top bit
}

void unpack_row(const PackedQ40& in, int row, FileQ40 (&out)[2]) { unpack_pair(in, row, out, 0); }

// ---- F16 and BF16

void unpack_row(const PackedF16& in, int row, FileFloats& out) {
    for (int k = 0; k < kFloatBlock; ++k) out.w[k] = in.w[k][row];
}

void unpack_row(const PackedBF16& in, int row, FileFloats& out) {
    for (int k = 0; k < kFloatBlock; ++k) out.w[k] = in.w[k / 2][row][k % 2];
}

}  // namespace

template <class File, class Packed>
void unpack(const void* packed, uint8_t* file, size_t row_bytes) {
    for (int row = 0; row < kRows; ++row) {
        File out{};
        unpack_row(*static_cast<const Packed*>(packed), row, out);
        std::memcpy(file + row * row_bytes, &out, sizeof out);
    }
}

template void unpack<FileQ4K, PackedQ4K>(const void*, uint8_t*, size_t);
template void unpack<FileQ5K, PackedQ5K>(const void*, uint8_t*, size_t);
template void unpack<FileQ6K, PackedQ6K>(const void*, uint8_t*, size_t);
template void unpack<FileIQ4XS, PackedIQ4XS>(const void*, uint8_t*, size_t);
template void unpack<FileQ80[2], PackedQ80>(const void*, uint8_t*, size_t);
template void unpack<FileQ40[2], PackedQ40>(const void*, uint8_t*, size_t);
template void unpack<FileFloats, PackedF16>(const void*, uint8_t*, size_t);
template void unpack<FileFloats, PackedBF16>(const void*, uint8_t*, size_t);

}  // namespace herd
