// How weights lie in a GGUF file and how the kernels want them.
//
// A file stores each row of a matrix by itself, in blocks along k. The kernels compute 16 rows at
// once, one row a 32-bit lane, and multiply four bytes a lane in one instruction. So 16 rows are
// packed together and every 64-byte line holds four consecutive k of each of the 16 rows:
//
//     line:  row 0: k k+1 k+2 k+3 | row 1: k k+1 k+2 k+3 | ... | row 15: k k+1 k+2 k+3
//
// Packing (pack.h) only moves bits: unpack.cpp inverts it exactly.
#pragma once

#include <cstddef>
#include <cstdint>

namespace herd {

constexpr int kRows = 16;        // rows packed together: 32-bit lanes of a 512-bit register
constexpr int kLine = 64;        // bytes of four k of 16 rows
constexpr int kSuperBlock = 256; // elements of a block of the K and IQ formats
constexpr int kBlock32 = 32;     // elements of a block of Q8_0 and Q4_0
constexpr int kPair = 64;        // two of those are packed together, so that lines stay aligned
constexpr int kFloatBlock = 64;  // elements of F16 and BF16 that are packed, and summed, together

using Half = uint16_t;  // the bits of an IEEE 16-bit float

// ---- GGUF files. Source of the formats: ggml-common.h and the dequantize_row_* functions of
// ggml-quants.c in llama.cpp.

// w = d * scale[k / 32] * q - dmin * min[k / 32]; 6-bit scales and mins share `scales`.
struct FileQ4K {
    Half d, dmin;
    uint8_t scales[12];
    uint8_t qs[128];  // 32 bytes hold 64 elements: low nibbles the first 32
};
struct FileQ5K {
    Half d, dmin;
    uint8_t scales[12];
    uint8_t qh[32];  // bit s of byte l: bit 4 of element l of sub-block s
    uint8_t qs[128];
};
// w = d * scale[k / 16] * (q - 32)
struct FileQ6K {
    uint8_t ql[128];
    uint8_t qh[64];
    int8_t scales[16];
    Half d;
};
// w = d * (scale[k / 32] - 32) * table[q]
struct FileIQ4XS {
    Half d;
    uint16_t scales_h;    // two high bits of each scale
    uint8_t scales_l[4];  // four low bits of each scale
    uint8_t qs[128];      // 16 bytes hold 32 elements: low nibbles the first 16
};
// w = d * q
struct FileQ80 {
    Half d;
    int8_t qs[32];
};
// w = d * (q - 8)
struct FileQ40 {
    Half d;
    uint8_t qs[16];  // low nibbles the first 16
};
// F16 and BF16: no blocks, only values.
struct FileFloats {
    uint16_t w[kFloatBlock];
};
static_assert(sizeof(FileQ4K) == 144 && sizeof(FileQ5K) == 176 && sizeof(FileQ6K) == 210, "GGUF");
static_assert(sizeof(FileIQ4XS) == 136 && sizeof(FileQ80) == 34 && sizeof(FileQ40) == 18, "GGUF");

// ---- packed, 16 rows. "Sub-block": the elements that share a scale. A line of nibbles holds the
// line's own k in the low nibbles and those half a sub-block further on in the high ones.

struct alignas(64) PackedQ4K {
    uint8_t qs[32][kLine];      // [sub-block of 32 x 4]
    uint8_t scales[8][kRows];   // [sub-block]
    uint8_t mins[4][kRows][2];  // sub-blocks 2i and 2i + 1 side by side, for vpdpwssd
    Half d[kRows], dmin[kRows];
};
struct alignas(64) PackedQ5K {
    uint8_t qs[32][kLine];
    uint8_t qh[8][kLine];  // [sub-block]; bit j of a byte: bit 4 of the same byte of line j
    uint8_t scales[8][kRows];
    uint8_t mins[4][kRows][2];
    Half d[kRows], dmin[kRows];
};
struct alignas(64) PackedQ6K {
    uint8_t ql[32][kLine];     // [sub-block of 16 x 2]
    uint8_t qh[16][kLine];     // [sub-block]; bits 2j and 2j + 1: bits 4 and 5 of line j
    int8_t scales[16][kRows];  // [sub-block]
    Half d[kRows];
    uint8_t padding[32];
};
struct alignas(64) PackedIQ4XS {
    uint8_t qs[32][kLine];    // [sub-block of 32 x 4], indices into the table
    int8_t scales[8][kRows];  // already less 32
    Half d[kRows];
    uint8_t padding[32];
};
struct alignas(64) PackedQ80 {
    uint8_t qs[16][kLine];  // q + 128: the instruction wants one side unsigned
    Half d[2][kRows];
};
struct alignas(64) PackedQ40 {
    uint8_t qs[8][kLine];  // [block x 4]
    Half d[2][kRows];
};
struct alignas(64) PackedF16 {
    Half w[kFloatBlock][kRows];  // [k]: as one instruction converts them
};
struct alignas(64) PackedBF16 {
    uint16_t w[kFloatBlock / 2][kRows][2];  // k and k + 1 side by side: each a shift or a mask away from a float
};
static_assert(sizeof(PackedQ4K) == 2368 && sizeof(PackedQ5K) == 2880 && sizeof(PackedQ6K) == 3392, "packed");
static_assert(sizeof(PackedIQ4XS) == 2240 && sizeof(PackedQ80) == 1088 && sizeof(PackedQ40) == 576, "packed");
static_assert(sizeof(PackedF16) == kRows * sizeof(FileFloats) && sizeof(PackedBF16) == sizeof(PackedF16), "packed");

}  // namespace herd
