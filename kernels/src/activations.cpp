#include "activations.h"

#include <immintrin.h>

#include <cstring>

// No templates of the standard library here: the linker merges their copies over all files, and
// one compiled for AVX2 could end up in code that runs before the CPU was asked.

namespace herd {
namespace {

struct Quantised {
    alignas(32) int8_t q[256];
    float scale[2];
};

// Smallest and largest of `n` floats.
void extremes(const float* x, int n, float& low, float& high) {
    __m256 lows = _mm256_loadu_ps(x), highs = lows;
    for (int i = 8; i < n; i += 8) {
        const __m256 values = _mm256_loadu_ps(x + i);
        lows = _mm256_min_ps(lows, values);
        highs = _mm256_max_ps(highs, values);
    }
    alignas(32) float low_lanes[8], high_lanes[8];
    _mm256_store_ps(low_lanes, lows);
    _mm256_store_ps(high_lanes, highs);
    low = low_lanes[0];
    high = high_lanes[0];
    for (int lane = 1; lane < 8; ++lane) {
        low = low_lanes[lane] < low ? low_lanes[lane] : low;
        high = high_lanes[lane] > high ? high_lanes[lane] : high;
    }
}

// Rounds to nearest, ties to even, as both of ggml's quantisers do.
void round_to_bytes(const float* x, int n, float factor, int8_t* q) {
    const __m256 times = _mm256_set1_ps(factor);
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);  // undoes the packs' halves
    for (int i = 0; i < n; i += 32) {
        __m256i words[4];
        for (int part = 0; part < 4; ++part) {
            words[part] = _mm256_cvtps_epi32(_mm256_mul_ps(times, _mm256_loadu_ps(x + i + 8 * part)));
        }
        const __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(words[0], words[1]),
                                                 _mm256_packs_epi32(words[2], words[3]));
        _mm256_store_si256(reinterpret_cast<__m256i*>(q + i), _mm256_permutevar8x32_epi32(bytes, order));
    }
}

void quantise_q8k(const float* x, Quantised& out) {
    float low, high;
    extremes(x, 256, low, high);
    const float largest = high >= -low ? high : low;
    if (largest == 0.0f) {
        std::memset(out.q, 0, sizeof out.q);
        out.scale[0] = 0.0f;
        return;
    }
    const float factor = -127.0f / largest;
    round_to_bytes(x, 256, factor, out.q);
    out.scale[0] = 1.0f / factor;
}

void quantise_q80(const float* x, Quantised& out) {
    for (int half = 0; half < 2; ++half) {
        float low, high;
        extremes(x + 32 * half, 32, low, high);
        const float largest = high >= -low ? high : -low;
        round_to_bytes(x + 32 * half, 32, largest != 0.0f ? 127.0f / largest : 0.0f, out.q + 32 * half);
        out.scale[half] = _cvtsh_ss(_cvtss_sh(largest / 127.0f, _MM_FROUND_TO_NEAREST_INT));
    }
}

int sum(const int8_t* q, int n) {
    int total = 0;
    for (int i = 0; i < n; ++i) total += q[i];
    return total;
}

int32_t sum_word(const Activations& as, const int8_t* q, int at) {
    switch (as.sums) {
        case Sums::kOf16: return as.bias * sum(q + 16 * at, 16);
        case Sums::kOf32: return as.bias * sum(q + 32 * at, 32);
        case Sums::kPairsOf32:
        case Sums::kNone: break;
    }
    const int first = as.bias * sum(q + 64 * at, 32), second = as.bias * sum(q + 64 * at + 32, 32);
    return static_cast<int32_t>((first & 0xFFFF) | static_cast<uint32_t>(second) << 16);
}

void put(uint8_t* cell, int word, const void* value) { std::memcpy(cell + 4 * word, value, 4); }

// Words of one token, T apart.
void scatter(const Activations& as, const Quantised& in, int n_tokens, int token, uint8_t* cell) {
    int word = token;
    for (int k = 0; k < as.block(); k += 4, word += n_tokens) put(cell, word, in.q + k);
    for (int i = 0; i < as.n_sums(); ++i, word += n_tokens) {
        const int32_t value = sum_word(as, in.q, i);
        put(cell, word, &value);
    }
    for (int i = 0; i < as.n_scales(); ++i, word += n_tokens) put(cell, word, in.scale + i);
}

// ---- rounding to 16-bit floats

__m256 rounded_to_f16(__m256 x) { return _mm256_cvtph_ps(_mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT)); }

// To nearest, ties to even; what is not a number stays as it is.
__m256 rounded_to_bf16(__m256 x) {
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i up = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF)));
    const __m256 rounded = _mm256_castsi256_ps(_mm256_and_si256(up, _mm256_set1_epi32(static_cast<int>(0xFFFF0000))));
    return _mm256_blendv_ps(rounded, x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
}

void round_token(Rule rule, const float* x, int n, int n_tokens, uint8_t* out) {
    for (int k = 0; k < n; k += 8) {
        const __m256 values = _mm256_loadu_ps(x + k);
        alignas(32) float rounded[8];
        _mm256_store_ps(rounded, rule == Rule::kF16 ? rounded_to_f16(values) : rounded_to_bf16(values));
        for (int i = 0; i < 8; ++i) put(out, (k + i) * n_tokens, rounded + i);
    }
}

}  // namespace

void quantise_cell(const Activations& as, const float* const* rows, int n_tokens, int64_t k, uint8_t* cell) {
    Quantised token;
    for (int t = 0; t < n_tokens; ++t) {
        if (as.floats()) {
            round_token(as.rule, rows[t] + k, as.block(), n_tokens, cell + t * sizeof(float));
            continue;
        }
        if (as.rule == Rule::kQ8K) {
            quantise_q8k(rows[t] + k, token);
        } else {
            quantise_q80(rows[t] + k, token);
        }
        scatter(as, token, n_tokens, t, cell);
    }
}

}  // namespace herd
