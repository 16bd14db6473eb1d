// Attention of a few query heads that share keys and values: softmax(q k) v over the cells that the
// mask leaves. Included by one file an instruction set; everything here is its own copy.
//
// Cells are taken in blocks: first all their scores, then their weights, then the weighted values.
// A block whose largest score is larger than any before it scales down what was added up so far.
#pragma once

#include <immintrin.h>

#include <cmath>

#include "exponential.h"
#include "floats.h"
#include "inline.h"

namespace herd {
namespace {

constexpr int kBlockCells = 128;

struct Cells {
    int n = 0;
    int64_t number[kBlockCells];
    float bias[kBlockCells];
};

// Cells lie far apart and were last read a whole model ago: no processor fetches them ahead by itself.
void prefetch_halves(const char* halves, int64_t n) {
    for (int64_t byte = 0; byte < 2 * n; byte += 64) __builtin_prefetch(halves + byte);
}

// The next cells that the mask leaves, from `at` on, which moves behind them.
void next_cells(const AttentionHeads& heads, int64_t& at, Cells& cells) {
    constexpr uint16_t kLeftOut = 0xFC00;  // minus infinity
    constexpr uint64_t kFourLeftOut = 0xFC00FC00FC00FC00;
    cells.n = 0;
    while (at < heads.n_cells && cells.n < kBlockCells) {
        uint64_t four;
        if (at + 4 <= heads.n_cells) {
            std::memcpy(&four, heads.mask + at, sizeof four);
            if (four == kFourLeftOut) {
                at += 4;
                continue;
            }
        }
        if (heads.mask[at] != kLeftOut) {
            prefetch_halves(heads.k + at * heads.k_stride, heads.k_size);
            cells.number[cells.n] = at;
            cells.bias[cells.n++] = _cvtsh_ss(heads.mask[at]);
        }
        ++at;
    }
}

template <int kHeads>
struct Softmax {
    float largest[kHeads], sum[kHeads];
    alignas(64) float values[kHeads][kMaxValueSize];   // weighted sums
    alignas(64) float weights[kHeads][kBlockCells];  // of a block, scores at first
};

template <class V, int kHeads>
void score_cells(const AttentionHeads& heads, const Cells& cells, Softmax<kHeads>& state) {
    for (int cell = 0; cell < cells.n; ++cell) {
        const auto* key = reinterpret_cast<const uint16_t*>(heads.k + cells.number[cell] * heads.k_stride);
        prefetch_halves(heads.v + cells.number[cell] * heads.v_stride, heads.v_size);
        typename V::Float sums[kHeads];
        each<kHeads>([&](auto h) HERD_LAMBDA { sums[h] = V::zero_float(); });
        for (int64_t i = 0; i < heads.k_size; i += V::kLanes) {
            const typename V::Float part = V::any_halves(key + i);
            each<kHeads>([&](auto h) HERD_LAMBDA { sums[h] = V::multiply_add(part, V::any(heads.q[h] + i), sums[h]); });
        }
        each<kHeads>([&](auto h) HERD_LAMBDA {
            state.weights[h][cell] = V::sum(sums[h]) * heads.scale + cells.bias[cell];
        });
    }
}

// Scores to weights; returns what the sums so far are to be multiplied with. Lanes, so that
// compilers make vectors of them: there is room for whole ones.
float weigh(float* scores, int n, float& largest, float& sum) {
    constexpr int kLanes = 16;
    static_assert(kBlockCells % kLanes == 0, "scores end with a whole vector");
    while (n % kLanes) scores[n++] = -INFINITY;
    float most[kLanes], sums[kLanes] = {};
    for (float& lane : most) lane = largest;
    for (int i = 0; i < n; i += kLanes) {
        for (int lane = 0; lane < kLanes; ++lane) most[lane] = scores[i + lane] > most[lane] ? scores[i + lane] : most[lane];
    }
    for (int lane = 1; lane < kLanes; ++lane) most[0] = most[lane] > most[0] ? most[lane] : most[0];
    for (int i = 0; i < n; i += kLanes) {
        for (int lane = 0; lane < kLanes; ++lane) {
            scores[i + lane] = exponential(scores[i + lane] - most[0]);
            sums[lane] += scores[i + lane];
        }
    }
    for (int lane = 1; lane < kLanes; ++lane) sums[0] += sums[lane];
    const float rescale = most[0] > largest ? exponential(largest - most[0]) : 1.0f;
    largest = most[0];
    sum = sum * rescale + sums[0];
    return rescale;
}

template <class V, int kHeads>
void add_values(const AttentionHeads& heads, const Cells& cells, const float* rescale, Softmax<kHeads>& state) {
    for (int64_t i = 0; i < heads.v_size; i += V::kLanes) {
        typename V::Float sums[kHeads];
        each<kHeads>([&](auto h) HERD_LAMBDA {
            sums[h] = V::multiply(V::any(state.values[h] + i), V::repeat_float(rescale + h));
        });
        for (int cell = 0; cell < cells.n; ++cell) {
            const auto* value = reinterpret_cast<const uint16_t*>(heads.v + cells.number[cell] * heads.v_stride);
            const typename V::Float part = V::any_halves(value + i);
            each<kHeads>([&](auto h) HERD_LAMBDA {
                sums[h] = V::multiply_add(part, V::repeat_float(&state.weights[h][cell]), sums[h]);
            });
        }
        each<kHeads>([&](auto h) HERD_LAMBDA { V::put(state.values[h] + i, sums[h]); });
    }
}

template <class V, int kHeads>
void attend_heads(const AttentionHeads& heads) {
    Softmax<kHeads> state;
    for (int h = 0; h < kHeads; ++h) {
        state.largest[h] = -INFINITY;
        state.sum[h] = 0;
        std::memset(state.values[h], 0, sizeof state.values[h]);
    }
    Cells cells;
    for (int64_t at = 0; at < heads.n_cells;) {
        next_cells(heads, at, cells);
        if (cells.n == 0) break;
        score_cells<V, kHeads>(heads, cells, state);
        float rescale[kHeads];
        for (int h = 0; h < kHeads; ++h) rescale[h] = weigh(state.weights[h], cells.n, state.largest[h], state.sum[h]);
        add_values<V, kHeads>(heads, cells, rescale, state);
    }
    for (int h = 0; h < kHeads; ++h) {
        const float factor = state.sum[h] == 0 ? 0.0f : 1.0f / state.sum[h];
        for (int64_t i = 0; i < heads.v_size; ++i) heads.out[h][i] = state.values[h][i] * factor;
    }
}

template <class V>
void attend(const AttentionHeads& heads) {
    constexpr void (*kByCount[kMaxHeads])(const AttentionHeads&) = {attend_heads<V, 1>, attend_heads<V, 2>,
                                                                    attend_heads<V, 3>, attend_heads<V, 4>};
    kByCount[heads.n_heads - 1](heads);
}

}  // namespace
}  // namespace herd
