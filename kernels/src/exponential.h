// exp for a lane of any vector, written so that compilers turn loops of it into vectors.
#pragma once

#include <cstdint>
#include <cstring>

#include "inline.h"

namespace herd {

// 2 to the n, -126 <= n <= 127
HERD_INLINE float power_of_two(int32_t n) {
    const uint32_t bits = (static_cast<uint32_t>(n) + 127) << 23;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

// exp(x) to 1e-7 relative where the result is no denormal; infinities and NaN as they should be.
// exp(x) = 2^n * exp(r) with |r| <= log(2) / 2; exp(r) by its Taylor series, whose next term is 1e-8.
HERD_INLINE float exponential(float x) {
    constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: what is added to it loses its fraction
    const float least = x < -110.0f ? -110.0f : x, inside = least > 100.0f ? 100.0f : least;  // keeps NaN
    const float rounded = inside * 1.44269504f + kRound;
    int32_t n, zero;
    std::memcpy(&n, &rounded, sizeof n);
    std::memcpy(&zero, &kRound, sizeof zero);
    n -= zero;
    const float whole = rounded - kRound;
    const float r = (inside - whole * 0.693145752f) - whole * 1.42860677e-6f;  // log(2) in two pieces
    float p = 1.0f / 5040;
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    const int32_t half = n >> 1;  // 2^n itself may be neither a float's nor a denormal's
    return p * power_of_two(half) * power_of_two(n - half);
}

}  // namespace herd
