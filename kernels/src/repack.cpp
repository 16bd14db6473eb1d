#include "repack.h"

#include <cstring>

// Everything here works on 32-bit words: four elements of one row that stay together. Plain C++:
// at four to five bytes a cycle it keeps up with the memory that the weights come from.

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

template <class Block>
Block read_block(const uint8_t* file, size_t row_bytes, int row) {
    Block block;  // a copy: blocks in a file are aligned to two bytes only
    std::memcpy(&block, file + row * row_bytes, sizeof block);
    return block;
}

template <class Block>
void write_block(const Block& block, uint8_t* file, size_t row_bytes, int row) {
    std::memcpy(file + row * row_bytes, &block, sizeof block);
}

// ---- Q4_K and Q5_K

// Twelve bytes hold eight 6-bit scales and eight 6-bit mins. Bytes 0-3 and 4-7 have scale and min
// of the first four sub-blocks in six bits and two bits of those of the last four on top; bytes
// 8-11 have the rest of the last four, the scale in the low nibble.
void split_scales(const uint8_t* packed, uint8_t* scale, uint8_t* min) {
    for (int s = 0; s < 4; ++s) {
        scale[s] = packed[s] & 63;
        min[s] = packed[s + 4] & 63;
        scale[s + 4] = (packed[s + 8] & 15) | (packed[s] >> 6 << 4);
        min[s + 4] = (packed[s + 8] >> 4) | (packed[s + 4] >> 6 << 4);
    }
}

void join_scales(const uint8_t* scale, const uint8_t* min, uint8_t* packed) {
    for (int s = 0; s < 4; ++s) {
        packed[s] = scale[s] | (scale[s + 4] >> 4 << 6);
        packed[s + 4] = min[s] | (min[s + 4] >> 4 << 6);
        packed[s + 8] = (scale[s + 4] & 15) | (min[s + 4] & 15) << 4;
    }
}

template <class File, class Packed>
void pack_scales(const File& in, Packed& out, int row) {
    uint8_t scale[8], min[8];
    split_scales(in.scales, scale, min);
    for (int s = 0; s < 8; ++s) {
        out.scales[s][row] = scale[s];
        out.mins[s / 2][row][s % 2] = min[s];
    }
    out.d[row] = in.d;
    out.dmin[row] = in.dmin;
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
void pack_nibbles(const File& in, Packed& out, int row) {
    for (int p = 0; p < 4; ++p) {
        for (int j = 0; j < 4; ++j) {
            const uint32_t first = load(in.qs, 8 * p + j), second = load(in.qs, 8 * p + 4 + j);
            store(out.qs[8 * p + j], row, (first & kLow4) | (second & kLow4) << 4);
            store(out.qs[8 * p + 4 + j], row, (first >> 4 & kLow4) | (second & kHigh4));
        }
    }
}

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

void pack_q4k(const uint8_t* file, size_t row_bytes, void* packed) {
    auto& out = *static_cast<PackedQ4K*>(packed);
    for (int row = 0; row < kRows; ++row) {
        const auto in = read_block<FileQ4K>(file, row_bytes, row);
        pack_nibbles(in, out, row);
        pack_scales(in, out, row);
    }
}

void unpack_q4k(const void* packed, uint8_t* file, size_t row_bytes) {
    const auto& in = *static_cast<const PackedQ4K*>(packed);
    for (int row = 0; row < kRows; ++row) {
        FileQ4K out;
        unpack_nibbles(in, out, row);
        unpack_scales(in, out, row);
        write_block(out, file, row_bytes, row);
    }
}

// In a file bit s of a byte belongs to sub-block s; packed, bit j of a byte belongs to line j.
void pack_fifth_bits(const FileQ5K& in, PackedQ5K& out, int row) {
    for (int s = 0; s < 8; ++s) {
        uint32_t bits = 0;
        for (int j = 0; j < 8; ++j) bits |= (load(in.qh, j) >> s & kBit) << j;
        store(out.qh[s], row, bits);
    }
}

void unpack_fifth_bits(const PackedQ5K& in, FileQ5K& out, int row) {
    for (int j = 0; j < 8; ++j) {
        uint32_t bits = 0;
        for (int s = 0; s < 8; ++s) bits |= (load(in.qh[s], row) >> j & kBit) << s;
        store(out.qh, j, bits);
    }
}

void pack_q5k(const uint8_t* file, size_t row_bytes, void* packed) {
    auto& out = *static_cast<PackedQ5K*>(packed);
    for (int row = 0; row < kRows; ++row) {
        const auto in = read_block<FileQ5K>(file, row_bytes, row);
        pack_nibbles(in, out, row);
        pack_fifth_bits(in, out, row);
        pack_scales(in, out, row);
    }
}

void unpack_q5k(const void* packed, uint8_t* file, size_t row_bytes) {
    const auto& in = *static_cast<const PackedQ5K*>(packed);
    for (int row = 0; row < kRows; ++row) {
        FileQ5K out;
        unpack_nibbles(in, out, row);
        unpack_fifth_bits(in, out, row);
        unpack_scales(in, out, row);
        write_block(out, file, row_bytes, row);
    }
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

void pack_q6k(const uint8_t* file, size_t row_bytes, void* packed) {
    auto& out = *static_cast<PackedQ6K*>(packed);
    std::memset(out.padding, 0, sizeof out.padding);
    for (int row = 0; row < kRows; ++row) {
        const auto in = read_block<FileQ6K>(file, row_bytes, row);
        for (int s = 0; s < 16; ++s) {
            const PlaceQ6K at(s);
            uint32_t high = 0, low[4];
            for (int j = 0; j < 4; ++j) {
                low[j] = load(in.ql, at.ql + j) >> at.nibble_shift & kLow4;
                high |= (load(in.qh, at.qh + j) >> at.bits_shift & kTwoBits) << 2 * j;
            }
            store(out.ql[2 * s], row, low[0] | low[2] << 4);
            store(out.ql[2 * s + 1], row, low[1] | low[3] << 4);
            store(out.qh[s], row, high);
            out.scales[s][row] = in.scales[s];
        }
        out.d[row] = in.d;
    }
}

void unpack_q6k(const void* packed, uint8_t* file, size_t row_bytes) {
    const auto& in = *static_cast<const PackedQ6K*>(packed);
    for (int row = 0; row < kRows; ++row) {
        FileQ6K out{};
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
        write_block(out, file, row_bytes, row);
    }
}

// ---- IQ4_XS

void pack_iq4xs(const uint8_t* file, size_t row_bytes, void* packed) {
    auto& out = *static_cast<PackedIQ4XS*>(packed);
    std::memset(out.padding, 0, sizeof out.padding);
    for (int row = 0; row < kRows; ++row) {
        const auto in = read_block<FileIQ4XS>(file, row_bytes, row);
        for (int word = 0; word < 32; ++word) store(out.qs[word], row, load(in.qs, word));
        for (int s = 0; s < 8; ++s) {
            const int low = in.scales_l[s / 2] >> 4 * (s % 2) & 15, high = in.scales_h >> 2 * s & 3;
            out.scales[s][row] = static_cast<int8_t>((low | high << 4) - 32);
        }
        out.d[row] = in.d;
    }
}

void unpack_iq4xs(const void* packed, uint8_t* file, size_t row_bytes) {
    const auto& in = *static_cast<const PackedIQ4XS*>(packed);
    for (int row = 0; row < kRows; ++row) {
        FileIQ4XS out{};
        for (int word = 0; word < 32; ++word) store(out.qs, word, load(in.qs[word], row));
        for (int s = 0; s < 8; ++s) {
            const int scale = in.scales[s][row] + 32;
            out.scales_l[s / 2] |= static_cast<uint8_t>((scale & 15) << 4 * (s % 2));
            out.scales_h |= static_cast<uint16_t>((scale >> 4 & 3) << 2 * s);
        }
        out.d = in.d[row];
        write_block(out, file, row_bytes, row);
    }
}

// ---- Q8_0 and Q4_0: two blocks of a row at a time

constexpr uint32_t kSigns = 0x80808080;  // q + 128 differs from q in the top bit

template <class File, class Packed, uint32_t kFlip>
void pack_pair(const uint8_t* file, size_t row_bytes, void* packed) {
    constexpr int kWords = sizeof(File::qs) / 4;
    auto& out = *static_cast<Packed*>(packed);
    for (int row = 0; row < kRows; ++row) {
        for (int half = 0; half < 2; ++half) {
            const auto in = read_block<File>(file + half * sizeof(File), row_bytes, row);
            for (int word = 0; word < kWords; ++word) {
                store(out.qs[half * kWords + word], row, load(in.qs, word) ^ kFlip);
            }
            out.d[half][row] = in.d;
        }
    }
}

template <class File, class Packed, uint32_t kFlip>
void unpack_pair(const void* packed, uint8_t* file, size_t row_bytes) {
    constexpr int kWords = sizeof(File::qs) / 4;
    const auto& in = *static_cast<const Packed*>(packed);
    for (int row = 0; row < kRows; ++row) {
        for (int half = 0; half < 2; ++half) {
            File out;
            for (int word = 0; word < kWords; ++word) {
                store(out.qs, word, load(in.qs[half * kWords + word], row) ^ kFlip);
            }
            out.d = in.d[half][row];
            write_block(out, file + half * sizeof(File), row_bytes, row);
        }
    }
}

// ---- F16 and BF16

// Element k of a row in the packed block.
uint16_t& element(PackedF16& packed, int k, int row) { return packed.w[k][row]; }
uint16_t& element(PackedBF16& packed, int k, int row) { return packed.w[k / 2][row][k % 2]; }
uint16_t element(const PackedF16& packed, int k, int row) { return packed.w[k][row]; }
uint16_t element(const PackedBF16& packed, int k, int row) { return packed.w[k / 2][row][k % 2]; }

template <class Packed>
void pack_floats(const uint8_t* file, size_t row_bytes, void* packed) {
    auto& out = *static_cast<Packed*>(packed);
    for (int row = 0; row < kRows; ++row) {
        const auto in = read_block<FileFloats>(file, row_bytes, row);
        for (int k = 0; k < kFloatBlock; ++k) element(out, k, row) = in.w[k];
    }
}

template <class Packed>
void unpack_floats(const void* packed, uint8_t* file, size_t row_bytes) {
    const auto& in = *static_cast<const Packed*>(packed);
    for (int row = 0; row < kRows; ++row) {
        FileFloats out;
        for (int k = 0; k < kFloatBlock; ++k) out.w[k] = element(in, k, row);
        write_block(out, file, row_bytes, row);
    }
}

}  // namespace

const Repacking kRepackQ4K = {pack_q4k, unpack_q4k};
const Repacking kRepackQ5K = {pack_q5k, unpack_q5k};
const Repacking kRepackQ6K = {pack_q6k, unpack_q6k};
const Repacking kRepackIQ4XS = {pack_iq4xs, unpack_iq4xs};
const Repacking kRepackQ80 = {pack_pair<FileQ80, PackedQ80, kSigns>, unpack_pair<FileQ80, PackedQ80, kSigns>};
const Repacking kRepackQ40 = {pack_pair<FileQ40, PackedQ40, 0>, unpack_pair<FileQ40, PackedQ40, 0>};
const Repacking kRepackF16 = {pack_floats<PackedF16>, unpack_floats<PackedF16>};
const Repacking kRepackBF16 = {pack_floats<PackedBF16>, unpack_floats<PackedBF16>};

}  // namespace herd
