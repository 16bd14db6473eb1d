// Kernels of the formats with blocks of 32: Q8_0 and Q4_0.
//
// Each block has one float factor d; two blocks of a row are packed together (layout.h).
#pragma once

#include "kernel.h"
#include "weights.h"

namespace herd {

template <int T>
struct PairCell {
    int8_t q[2][kBlock32 / 4][T][4];
    int32_t sums[2][T];
    float scale[2][T];
};

template <class V, class Lines, bool kExpanded, int T>
void multiply_small_blocks(const Tile& tile) {
    using Packed = typename Lines::Packed;
    for (int part = 0; part < V::kParts; ++part) {
        const int lane = part * V::kLanes, n = tile.n_rows - lane < V::kLanes ? tile.n_rows - lane : V::kLanes;
        if (n <= 0) return;
        const int64_t row = tile.first_row + lane;
        const auto* w = static_cast<const Packed*>(tile.weights);
        const auto* x = reinterpret_cast<const PairCell<T>*>(tile.activations);
        const uint8_t(*lines)[kLine] = reinterpret_cast<const uint8_t(*)[kLine]>(tile.lines);
        typename V::Float total[T];
        each<T>([&](auto t) HERD_LAMBDA {
            total[t] = tile.accumulate ? V::load(tile.out[t] + row, n) : V::zero_float();
        });
        for (int block = 0; block < tile.n_blocks; ++block, ++w, ++x, lines += 16) {
            for (int half = 0; half < 2; ++half) {
                typename V::Int sum[T];
                each<T>([&](auto t) HERD_LAMBDA { sum[t] = V::repeat(&x->sums[half][t]); });
                each<8>([&](auto j) HERD_LAMBDA {
                    typename V::Int line;
                    if constexpr (kExpanded) {
                        line = part_line<V>(lines[8 * half + j], part);
                    } else {
                        if (j == 0 && part == 0) prefetch_share<2>(*w, half);
                        line = Lines::template get<j>(*w, half, part);
                    }
                    V::pin(line);
                    each<T>([&](auto t) HERD_LAMBDA { V::dot(sum[t], line, x->q[half][j][t]); });
                });
                const typename V::Float d = V::halves(w->d[half] + lane);
                each<T>([&](auto t) HERD_LAMBDA {
                    const typename V::Float scale = V::multiply(d, V::repeat_float(&x->scale[half][t]));
                    total[t] = V::multiply_add(V::to_float(sum[t]), scale, total[t]);
                });
            }
        }
        each<T>([&](auto t) HERD_LAMBDA { V::store(tile.out[t] + row, n, total[t]); });
    }
}

template <class V, class Lines>
void expand_small_blocks(const void* weights, int n_blocks, uint8_t* lines) {
    const auto* w = static_cast<const typename Lines::Packed*>(weights);
    for (int block = 0; block < n_blocks; ++block, ++w) {
        for (int half = 0; half < 2; ++half, lines += 8 * kLine) {
            prefetch_share<2>(*w, half);
            for (int part = 0; part < V::kParts; ++part) {
                each<8>([&](auto j) HERD_LAMBDA {
                    V::store_line(lines + j * kLine + part * (kLine / V::kParts), Lines::template get<j>(*w, half, part));
                });
            }
        }
    }
}

}  // namespace herd
