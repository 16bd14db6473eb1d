// Kernels of F16 and BF16: no blocks and no scales, only floats.
//
// As in ggml-cpu, products are summed in 32 bits. Each 64 elements of a row have sums of their own
// before they join the total, so that long rows lose nothing.
#pragma once

#include "kernel.h"
#include "weights.h"

namespace herd {

// Element K of a stretch of eight, counted from `k`, as floats.
template <class V>
struct FloatsF16 {
    using Packed = PackedF16;
    template <int K>
    static HERD_INLINE typename V::Float get(const Packed& w, int k, int lane) {
        return V::halves(w.w[k + K] + lane);
    }
};

template <class V>
struct FloatsBF16 {
    using Packed = PackedBF16;
    template <int K>
    static HERD_INLINE typename V::Float get(const Packed& w, int k, int lane) {
        const typename V::Int pair = V::line(w.w[(k + K) / 2] + lane);
        return K % 2 ? V::high_bf16(pair) : V::low_bf16(pair);
    }
};

// Sums of a token that take turns: an addition must wait four cycles for the one before it.
constexpr int float_sums(int n_tokens) { return n_tokens == 1 ? 8 : n_tokens < 4 ? 4 : n_tokens < 8 ? 2 : 1; }

template <class V, class Weights, int T>
HERD_INLINE void add_float_block(const typename Weights::Packed& w, const float (*x)[T], int part,
                                 typename V::Float (&total)[T]) {
    constexpr int kSums = float_sums(T), kStretch = 8, kStretches = kFloatBlock / kStretch;
    typename V::Float sum[kSums][T];
    each<kSums>([&](auto i) HERD_LAMBDA { each<T>([&](auto t) HERD_LAMBDA { sum[i][t] = V::zero_float(); }); });
    for (int s = 0; s < kStretches; ++s) {
        if (part == 0) prefetch_share<kStretches>(w, s);
        each<kStretch>([&](auto k) HERD_LAMBDA {
            typename V::Float floats = Weights::template get<k>(w, s * kStretch, part * V::kLanes);
            V::pin(floats);
            each<T>([&](auto t) HERD_LAMBDA { V::add_product(sum[k % kSums][t], floats, &x[s * kStretch + k][t]); });
        });
    }
    each<kSums>([&](auto i) HERD_LAMBDA { each<T>([&](auto t) HERD_LAMBDA { total[t] = V::add(total[t], sum[i][t]); }); });
}

template <class V, class Weights, int T>
void multiply_float_weights(const Tile& tile) {
    for (int part = 0; part < V::kParts; ++part) {
        const int lane = part * V::kLanes, n = tile.n_rows - lane < V::kLanes ? tile.n_rows - lane : V::kLanes;
        if (n <= 0) return;
        const int64_t row = tile.first_row + lane;
        const auto* w = static_cast<const typename Weights::Packed*>(tile.weights);
        const auto* x = reinterpret_cast<const float(*)[T]>(tile.activations);
        typename V::Float total[T];
        each<T>([&](auto t) HERD_LAMBDA {
            total[t] = tile.accumulate ? V::load(tile.out[t] + row, n) : V::zero_float();
        });
        for (int block = 0; block < tile.n_blocks; ++block, ++w, x += kFloatBlock) {
            add_float_block<V, Weights, T>(*w, x, part, total);
        }
        each<T>([&](auto t) HERD_LAMBDA { V::store(tile.out[t] + row, n, total[t]); });
    }
}

// For many tokens as well the kernels read the packed weights: converting them costs one instruction
// for each cell, and what is converted already would take twice the room in the caches.
inline void expand_nothing(const void*, int, uint8_t*) {}

}  // namespace herd
