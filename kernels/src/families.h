// Tables of kernels, one entry for each number of tokens.
#pragma once

#include <utility>

#include "float_weights.h"
#include "pack.h"
#include "small_blocks.h"
#include "super_blocks.h"

namespace herd {

template <class V, class Lines, bool kExpanded, class Counts>
struct SuperTable;
template <class V, class Lines, bool kExpanded, int... I>
struct SuperTable<V, Lines, kExpanded, std::integer_sequence<int, I...>> {
    static constexpr Kernel kernels[] = {multiply_super_blocks<V, Lines, kExpanded, I + 1>...};
};

template <class V, class Lines, bool kExpanded, class Counts>
struct SmallTable;
template <class V, class Lines, bool kExpanded, int... I>
struct SmallTable<V, Lines, kExpanded, std::integer_sequence<int, I...>> {
    static constexpr Kernel kernels[] = {multiply_small_blocks<V, Lines, kExpanded, I + 1>...};
};

template <class V, class Weights, class Counts>
struct FloatTable;
template <class V, class Weights, int... I>
struct FloatTable<V, Weights, std::integer_sequence<int, I...>> {
    static constexpr Kernel kernels[] = {multiply_float_weights<V, Weights, I + 1>...};
};

// V computes, Line packs; Lines and Weights are the format's way out of its packed blocks.
template <class V, class Line, template <class> class Lines, int kTokens>
constexpr Family super_family(const char* instructions) {
    using Counts = std::make_integer_sequence<int, kTokens>;
    return {instructions, kTokens, SuperTable<V, Lines<V>, false, Counts>::kernels,
            SuperTable<V, Lines<V>, true, Counts>::kernels, expand_super_blocks<V, Lines<V>>,
            pack<Line, typename Lines<V>::Packed>};
}

template <class V, class Line, template <class> class Lines, int kTokens>
constexpr Family small_family(const char* instructions) {
    using Counts = std::make_integer_sequence<int, kTokens>;
    return {instructions, kTokens, SmallTable<V, Lines<V>, false, Counts>::kernels,
            SmallTable<V, Lines<V>, true, Counts>::kernels, expand_small_blocks<V, Lines<V>>,
            pack<Line, typename Lines<V>::Packed>};
}

template <class V, class Line, template <class> class Weights, int kTokens>
constexpr Family float_family(const char* instructions) {
    const Kernel* kernels = FloatTable<V, Weights<V>, std::make_integer_sequence<int, kTokens>>::kernels;
    return {instructions, kTokens, kernels, kernels, expand_nothing, pack<Line, typename Weights<V>::Packed>};
}

}  // namespace herd
