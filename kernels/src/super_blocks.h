// Kernels of the formats with blocks of 256: Q4_K, Q5_K, Q6_K, IQ4_XS.
//
// In a block every sub-block s has a small integer scale, so with the block's float factors d and
// dmin of the weights and a of the activations
//
//     out += a * (d * sum_s scale[s] * sum_k w[k] x[k]  -  dmin * sum_s min[s] * sum_k x[k])
//
// The innermost sum is exact in integers; from the scale on it is float, whose two instructions
// (convert, fused multiply and add) are cheaper than an integer multiplication by the scale.
#pragma once

#include "kernel.h"
#include "weights.h"

namespace herd {

// What differs between the formats besides how a line is unpacked.
template <class Packed>
struct SuperBlock {
    static constexpr int kSubBlocks = 8;
    static constexpr int kSums = 8;  // words a token has in a cell
    static constexpr bool kMins = false;
};
template <>
struct SuperBlock<PackedQ4K> {
    static constexpr int kSubBlocks = 8, kSums = 4;
    static constexpr bool kMins = true;
};
template <>
struct SuperBlock<PackedQ5K> : SuperBlock<PackedQ4K> {};
template <>
struct SuperBlock<PackedQ6K> {
    static constexpr int kSubBlocks = 16, kSums = 16;
    static constexpr bool kMins = false;
};

// One cell of T tokens.
template <class Traits, int T>
struct SuperCell {
    int8_t q[kSuperBlock / 4][T][4];
    int32_t sums[Traits::kSums][T];
    float scale[T];
};

template <class V, class Packed, int T>
HERD_INLINE void subtract_mins(const Packed& w, const SuperCell<SuperBlock<Packed>, T>& x, int part,
                               typename V::Float (&inner)[T]) {
    const int lane = part * V::kLanes;
    typename V::Int sum[T];
    each<T>([&](auto t) HERD_LAMBDA { sum[t] = V::zero(); });
    each<4>([&](auto pair) HERD_LAMBDA {
        const typename V::Int mins = V::byte_pairs(w.mins[pair][lane]);
        each<T>([&](auto t) HERD_LAMBDA { V::dot16(sum[t], mins, &x.sums[pair][t]); });
    });
    const typename V::Float dmin = V::halves(w.dmin + lane);
    each<T>([&](auto t) HERD_LAMBDA { inner[t] = V::multiply_subtract(V::to_float(sum[t]), dmin, inner[t]); });
}

template <class V, class Packed, int T, class GetLine>
HERD_INLINE void add_super_block(const Packed& w, const SuperCell<SuperBlock<Packed>, T>& x, int part,
                                 typename V::Float (&total)[T], GetLine&& get_line) {
    using Traits = SuperBlock<Packed>;
    constexpr int kLines = 64 / Traits::kSubBlocks;
    const int lane = part * V::kLanes;
    const typename V::Float d = V::halves(w.d + lane);
    typename V::Float inner[T];
    each<T>([&](auto t) HERD_LAMBDA { inner[t] = V::zero_float(); });
    for (int s = 0; s < Traits::kSubBlocks; ++s) {
        typename V::Int sum[T];
        each<T>([&](auto t) HERD_LAMBDA { sum[t] = Traits::kMins ? V::zero() : V::repeat(&x.sums[s][t]); });
        each<kLines>([&](auto j) HERD_LAMBDA {
            typename V::Int line = get_line(s, j);
            V::pin(line);
            each<T>([&](auto t) HERD_LAMBDA { V::dot(sum[t], line, x.q[s * kLines + j][t]); });
        });
        const typename V::Float scale = V::multiply(d, V::scales(w.scales[s] + lane));
        each<T>([&](auto t) HERD_LAMBDA { inner[t] = V::multiply_add(V::to_float(sum[t]), scale, inner[t]); });
    }
    if constexpr (Traits::kMins) subtract_mins<V, Packed, T>(w, x, part, inner);
    each<T>([&](auto t) HERD_LAMBDA {
        total[t] = V::multiply_add(inner[t], V::repeat_float(&x.scale[t]), total[t]);
    });
}

template <class V, class Lines, bool kExpanded, int T>
void multiply_super_blocks(const Tile& tile) {
    using Packed = typename Lines::Packed;
    constexpr int kLines = 64 / SuperBlock<Packed>::kSubBlocks;
    for (int part = 0; part < V::kParts; ++part) {
        const int lane = part * V::kLanes, n = tile.n_rows - lane < V::kLanes ? tile.n_rows - lane : V::kLanes;
        if (n <= 0) return;
        const int64_t row = tile.first_row + lane;
        const auto* w = static_cast<const Packed*>(tile.weights);
        const auto* x = reinterpret_cast<const SuperCell<SuperBlock<Packed>, T>*>(tile.activations);
        const uint8_t(*lines)[kLine] = reinterpret_cast<const uint8_t(*)[kLine]>(tile.lines);
        typename V::Float total[T];
        each<T>([&](auto t) HERD_LAMBDA {
            total[t] = tile.accumulate ? V::load(tile.out[t] + row, n) : V::zero_float();
        });
        for (int block = 0; block < tile.n_blocks; ++block, ++w, ++x, lines += 64) {
            add_super_block<V, Packed, T>(*w, *x, part, total, [&](int s, auto j) HERD_LAMBDA {
                if constexpr (kExpanded) {
                    return part_line<V>(lines[s * kLines + j], part);
                } else {
                    if (j == 0 && part == 0) prefetch_share<SuperBlock<Packed>::kSubBlocks>(*w, s);
                    return Lines::template get<j>(*w, s, part);
                }
            });
        }
        each<T>([&](auto t) HERD_LAMBDA { V::store(tile.out[t] + row, n, total[t]); });
    }
}

template <class V, class Lines>
void expand_super_blocks(const void* weights, int n_blocks, uint8_t* lines) {
    using Packed = typename Lines::Packed;
    constexpr int kSubBlocks = SuperBlock<Packed>::kSubBlocks, kLines = 64 / kSubBlocks;
    const auto* w = static_cast<const Packed*>(weights);
    for (int block = 0; block < n_blocks; ++block, ++w) {
        for (int s = 0; s < kSubBlocks; ++s, lines += kLines * kLine) {
            prefetch_share<kSubBlocks>(*w, s);
            for (int part = 0; part < V::kParts; ++part) {
                each<kLines>([&](auto j) HERD_LAMBDA {
                    V::store_line(lines + j * kLine + part * (kLine / V::kParts), Lines::template get<j>(*w, s, part));
                });
            }
        }
    }
}

}  // namespace herd
