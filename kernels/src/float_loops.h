// The loops of floats.h. Included by one file an instruction set; everything here is its own copy.
#pragma once

#include <cmath>

#include "attention_loop.h"
#include "exponential.h"
#include "floats.h"

namespace herd {
namespace {

// The result may be an operand's memory ("ivdep": an element depends on no other one).
#define HERD_EACH _Pragma("GCC ivdep") for (int64_t i = 0; i < n; ++i)

// As in ggml-cpu, squares are floats and their sum is a double; here it is sixteen.
void rms_norm(const float* x, float epsilon, float* y, int64_t n) {
    constexpr int kSums = 16;
    double sums[kSums] = {};
    int64_t at = 0;
    for (; at + kSums <= n; at += kSums) {
        for (int lane = 0; lane < kSums; ++lane) sums[lane] += static_cast<double>(x[at + lane] * x[at + lane]);
    }
    double sum = 0;
    for (; at < n; ++at) sum += static_cast<double>(x[at] * x[at]);
    for (int lane = 0; lane < kSums; ++lane) sum += sums[lane];
    const float mean = static_cast<float>(sum / static_cast<double>(n));
    const float factor = 1.0f / std::sqrt(mean + epsilon);
    HERD_EACH y[i] = x[i] * factor;
}

void add(const float* a, const float* b, float* y, int64_t n) { HERD_EACH y[i] = a[i] + b[i]; }

void multiply(const float* a, const float* b, float* y, int64_t n) { HERD_EACH y[i] = a[i] * b[i]; }

void scale(const float* x, float factor, float offset, float* y, int64_t n) {
    HERD_EACH y[i] = x[i] * factor + offset;
}

void swiglu(const float* gate, const float* x, float* y, int64_t n) {
    HERD_EACH y[i] = gate[i] / (1.0f + exponential(-gate[i])) * x[i];
}

void to_halves(const float* x, uint16_t* y, int64_t n) {
    int64_t at = 0;
    for (; at + 8 <= n; at += 8) {
        const __m128i halves = _mm256_cvtps_ph(_mm256_loadu_ps(x + at), _MM_FROUND_TO_NEAREST_INT);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(y + at), halves);
    }
    for (; at < n; ++at) y[at] = _cvtss_sh(x[at], _MM_FROUND_TO_NEAREST_INT);
}

template <class V>
constexpr FloatLoops float_loops() {
    return {rms_norm, add, multiply, scale, swiglu, to_halves, attend<V>};
}

}  // namespace
}  // namespace herd
