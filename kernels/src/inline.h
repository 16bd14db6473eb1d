// Loops that are unrolled while compiling: register arrays must be indexed by constants.
#pragma once

#include <type_traits>
#include <utility>

#define HERD_INLINE inline __attribute__((always_inline))
#define HERD_LAMBDA __attribute__((always_inline))

namespace herd {

template <class Body, int... I>
HERD_INLINE void each_of(Body&& body, std::integer_sequence<int, I...>) {
    (body(std::integral_constant<int, I>{}), ...);
}

// body(0) ... body(N - 1), each with its number as a constant.
template <int N, class Body>
HERD_INLINE void each(Body&& body) {
    each_of(body, std::make_integer_sequence<int, N>{});
}

}  // namespace herd
