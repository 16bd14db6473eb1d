#include "format.h"

#include "ggml_abi.h"

namespace herd {
namespace {

constexpr Activations kMins{Rule::kQ8K, Sums::kPairsOf32, 1};
constexpr Activations kOffset32{Rule::kQ8K, Sums::kOf16, -32};     // Q6_K: q - 32
constexpr Activations kOffset128{Rule::kQ8K, Sums::kOf32, -128};   // IQ4_XS: table + 128
constexpr Activations kBlocks128{Rule::kQ80, Sums::kOf32, -128};   // Q8_0: q + 128
constexpr Activations kBlocks8{Rule::kQ80, Sums::kOf32, -8};       // Q4_0: q - 8
constexpr Activations kHalves{Rule::kF16, Sums::kNone, 0};
constexpr Activations kBFloats{Rule::kBF16, Sums::kNone, 0};

template <class File, class Packed>
constexpr Format k_format(int32_t type, const char* name, Activations activations, UnpackFunction unpack) {
    return {type, name, kSuperBlock, sizeof(File), sizeof(Packed), kSuperBlock * kRows, activations, unpack};
}

template <class File, class Packed>
constexpr Format pair_format(int32_t type, const char* name, Activations activations, UnpackFunction unpack) {
    return {type, name, kPair, 2 * sizeof(File), sizeof(Packed), kPair * kRows, activations, unpack};
}

template <class Packed>
constexpr Format float_format(int32_t type, const char* name, Activations activations, UnpackFunction unpack) {
    return {type, name, kFloatBlock, sizeof(FileFloats), sizeof(Packed), 0, activations, unpack};
}

}  // namespace

const Format kFormat[kFormats] = {
    k_format<FileQ4K, PackedQ4K>(ggml::kTypeQ4_K, "Q4_K", kMins, unpack_q4k),
    k_format<FileQ5K, PackedQ5K>(ggml::kTypeQ5_K, "Q5_K", kMins, unpack_q5k),
    k_format<FileQ6K, PackedQ6K>(ggml::kTypeQ6_K, "Q6_K", kOffset32, unpack_q6k),
    k_format<FileIQ4XS, PackedIQ4XS>(ggml::kTypeIQ4_XS, "IQ4_XS", kOffset128, unpack_iq4xs),
    pair_format<FileQ80, PackedQ80>(ggml::kTypeQ8_0, "Q8_0", kBlocks128, unpack_q80),
    pair_format<FileQ40, PackedQ40>(ggml::kTypeQ4_0, "Q4_0", kBlocks8, unpack_q40),
    float_format<PackedF16>(ggml::kTypeF16, "F16", kHalves, unpack_f16),
    float_format<PackedBF16>(ggml::kTypeBF16, "BF16", kBFloats, unpack_bf16),
};

const Format* find_format(int32_t type) {
    for (const Format& format : kFormat) {
        if (format.type == type) return &format;
    }
    return nullptr;
}

}  // namespace herd
