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

// `File` is what a file has of a row in one packed block.
template <class File, class Packed>
constexpr Format format(int32_t type, const char* name, int block, size_t line_bytes, Activations activations) {
    return {type, name, block, sizeof(File), sizeof(Packed), line_bytes, activations, unpack<File, Packed>};
}

template <class File, class Packed>
constexpr Format k_format(int32_t type, const char* name, Activations activations) {
    return format<File, Packed>(type, name, kSuperBlock, kSuperBlock * kRows, activations);
}

template <class File, class Packed>
constexpr Format pair_format(int32_t type, const char* name, Activations activations) {
    return format<File[2], Packed>(type, name, kPair, kPair * kRows, activations);
}

template <class Packed>
constexpr Format float_format(int32_t type, const char* name, Activations activations) {
    return format<FileFloats, Packed>(type, name, kFloatBlock, 0, activations);
}

}  // namespace

const Format kFormat[kFormats] = {
    k_format<FileQ4K, PackedQ4K>(ggml::kTypeQ4_K, "Q4_K", kMins),
    k_format<FileQ5K, PackedQ5K>(ggml::kTypeQ5_K, "Q5_K", kMins),
    k_format<FileQ6K, PackedQ6K>(ggml::kTypeQ6_K, "Q6_K", kOffset32),
    k_format<FileIQ4XS, PackedIQ4XS>(ggml::kTypeIQ4_XS, "IQ4_XS", kOffset128),
    pair_format<FileQ80, PackedQ80>(ggml::kTypeQ8_0, "Q8_0", kBlocks128),
    pair_format<FileQ40, PackedQ40>(ggml::kTypeQ4_0, "Q4_0", kBlocks8),
    float_format<PackedF16>(ggml::kTypeF16, "F16", kHalves),
    float_format<PackedBF16>(ggml::kTypeBF16, "BF16", kBFloats),
};

const Format* find_format(int32_t type) {
    for (const Format& format : kFormat) {
        if (format.type == type) return &format;
    }
    return nullptr;
}

}  // namespace herd
