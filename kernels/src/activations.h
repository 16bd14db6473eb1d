// The right-hand side of a product, rounded by ggml's own rules, so that results agree with
// ggml-cpu's to rounding: quantised to bytes for Q8_K and Q8_0 (quantize_row_q8_K_ref and
// quantize_row_q8_0), or to the weights' own 16-bit floats.
//
// Tokens are handled T at a time. A cell holds T tokens and as many k as a packed block has:
//
//     int8  q[k / 4][T][4]      four k a token side by side: one 32-bit broadcast
//     int32 sums[n_sums][T]     see Sums; already multiplied by the bias
//     float scale[n_scales][T]
//
// or, for weights of F16 and BF16, only
//
//     float x[k][T]             rounded to 16 bits
#pragma once

#include <cstddef>
#include <cstdint>

namespace herd {

enum class Rule {
    kQ8K,  // one scale per 256, signed so that the largest value becomes -127
    kQ80,  // one scale per 32, rounded to 16 bits
    kF16,  // 16-bit floats, no scales
    kBF16,
};

enum class Sums {
    kPairsOf32,  // 4 words: int16 sums over 32 elements, two a word; for the mins
    kOf32,       // sums over 32 elements
    kOf16,       // sums over 16 elements
    kNone,
};

struct Activations {
    Rule rule;
    Sums sums;
    // Weights are stored with an offset to make them unsigned, w' = w - bias. Starting the integer
    // sum at bias * sum(q) takes it back out exactly.
    int bias;

    constexpr bool floats() const { return rule == Rule::kF16 || rule == Rule::kBF16; }
    constexpr int block() const { return rule == Rule::kQ8K ? 256 : 64; }
    constexpr int n_scales() const { return rule == Rule::kQ8K ? 1 : 2; }
    constexpr int n_sums() const {
        return sums == Sums::kPairsOf32 ? 4 : sums == Sums::kOf32 ? block() / 32 : block() / 16;
    }
    constexpr size_t bytes_per_token() const {
        return floats() ? block() * sizeof(float) : block() + 4 * (n_sums() + n_scales());
    }
    constexpr bool operator==(const Activations& other) const {
        return rule == other.rule && sums == other.sums && bias == other.bias;
    }
};

// Of one cell. From 9 on not all sums stay in registers, but one cell of 16 unpacks the weights half as
// often as two of 8: a tenth faster at 16.
#ifdef HERD_MAX_TOKENS  // for the sanitizers, which would compile for half an hour
constexpr int kMaxTokens = HERD_MAX_TOKENS;
#else
constexpr int kMaxTokens = 16;
#endif

// Writes the cell of `n_tokens` (1 to kMaxTokens) rows from element `k` on. Needs AVX2, FMA, F16C.
void quantise_cell(const Activations& as, const float* const* rows, int n_tokens, int64_t k, uint8_t* cell);

}  // namespace herd
