// Loops over 32-bit floats, compiled for each instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

namespace herd {

constexpr int kMaxHeads = 4;  // that an AttentionHeads has
constexpr int64_t kMaxValueSize = 256;

// Some query heads of one token that share a head of keys and values.
struct AttentionHeads {
    int n_heads;
    const float* q[kMaxHeads];
    float* out[kMaxHeads];
    const char *k, *v;  // 16-bit floats; the first cell
    size_t k_stride, v_stride;
    const uint16_t* mask;  // one a cell: added to its score, minus infinity leaves it out
    int64_t n_cells;
    int64_t k_size, v_size;  // elements; multiples of 16, v_size at most kMaxValueSize
    float scale;
};

struct FloatLoops {
    // y = x / sqrt(mean of x * x + epsilon)
    void (*rms_norm)(const float* x, float epsilon, float* y, int64_t n);
    void (*add)(const float* a, const float* b, float* y, int64_t n);
    void (*multiply)(const float* a, const float* b, float* y, int64_t n);
    // y = x * factor + offset
    void (*scale)(const float* x, float factor, float offset, float* y, int64_t n);
    // y = gate / (1 + exp(-gate)) * x
    void (*swiglu)(const float* gate, const float* x, float* y, int64_t n);
    void (*to_halves)(const float* x, uint16_t* y, int64_t n);
    void (*attend)(const AttentionHeads& heads);
};

extern const FloatLoops kAvx512Floats;
extern const FloatLoops kAvx2Floats;

}  // namespace herd
