// How a line of unsigned weights comes out of each packed block: in registers, or ready as bytes.
//
// A sub-block is what shares a scale; its lines are numbered from 0. `part` selects the rows where
// a register holds fewer than 16 of them.
#pragma once

#include "inline.h"
#include "layout.h"

namespace herd {

// Memory that is read once a token should be on its way before it is needed, and hardware
// prefetchers stop at every page. Far ahead into the second-level cache: the first one has too few
// places for lines on their way. Then, nearer, from there into the first: loads that wait keep
// further prefetches from being issued. Of 4, 7, 9, 12 and 14 KB and of 0.5, 1, 2 and 3 KB ahead
// these were best for 1 to 16 tokens.
constexpr int kFarBytes = 7104, kNearBytes = 2048;

// Share `s` of `kShares` of the blocks that lie so far ahead, every line of them.
template <int kShares, class Packed>
HERD_INLINE void prefetch_share(const Packed& block, int s) {
    constexpr int kLines = (sizeof(Packed) / kLine + kShares - 1) / kShares;
    const uint8_t* share = reinterpret_cast<const uint8_t*>(&block) + s * kLines * kLine;
    each<kLines>([&](auto i) HERD_LAMBDA {
        __builtin_prefetch(share + kFarBytes + i * kLine, 0, 2);
        __builtin_prefetch(share + kNearBytes + i * kLine, 0, 3);
    });
}

template <class V>
HERD_INLINE typename V::Int part_line(const uint8_t* line, int part) {
    return V::line(line + part * (kLine / V::kParts));
}

// The nibbles of line J of sub-block s where a sub-block has N lines in N / 2.
template <class V, int J, int N>
HERD_INLINE typename V::Int nibbles(const uint8_t (*qs)[kLine], int s, int part) {
    constexpr int kShared = N / 2;
    typename V::Int x = part_line<V>(qs[s * kShared + J % kShared], part);
    if constexpr (J >= kShared) x = V::template right<4>(x);
    return V::both(x, V::bytes(15));
}

template <class V>
struct LinesQ4K {
    using Packed = PackedQ4K;
    template <int J>
    static HERD_INLINE typename V::Int get(const Packed& w, int s, int part) {
        return nibbles<V, J, 8>(w.qs, s, part);
    }
};

template <class V>
struct LinesQ5K {
    using Packed = PackedQ5K;
    template <int J>
    static HERD_INLINE typename V::Int get(const Packed& w, int s, int part) {
        const typename V::Int bits = part_line<V>(w.qh[s], part);  // bit J to bit 4
        if constexpr (J < 4) {
            return V::with_bits(nibbles<V, J, 8>(w.qs, s, part), V::template left<4 - J>(bits), V::bytes(16));
        } else {
            return V::with_bits(nibbles<V, J, 8>(w.qs, s, part), V::template right<J - 4>(bits), V::bytes(16));
        }
    }
};

template <class V>
struct LinesQ6K {
    using Packed = PackedQ6K;
    template <int J>
    static HERD_INLINE typename V::Int get(const Packed& w, int s, int part) {
        const typename V::Int bits = part_line<V>(w.qh[s], part);  // bits 2J, 2J + 1 to 4, 5
        if constexpr (J < 2) {
            return V::with_bits(nibbles<V, J, 4>(w.ql, s, part), V::template left<4 - 2 * J>(bits), V::bytes(0x30));
        } else {
            return V::with_bits(nibbles<V, J, 4>(w.ql, s, part), V::template right<2 * J - 4>(bits), V::bytes(0x30));
        }
    }
};

// The sixteen values of IQ4_NL and IQ4_XS (kvalues_iq4nl in ggml-common.h), plus 128.
alignas(16) constexpr uint8_t kTableIQ4[16] = {1,   24,  45,  63,  79,  93,  106, 118,
                                               129, 141, 153, 166, 181, 197, 217, 241};

template <class V>
struct LinesIQ4XS {
    using Packed = PackedIQ4XS;
    template <int J>
    static HERD_INLINE typename V::Int get(const Packed& w, int s, int part) {
        return V::look_up(V::table16(kTableIQ4), nibbles<V, J, 8>(w.qs, s, part));
    }
};

template <class V>
struct LinesQ80 {
    using Packed = PackedQ80;
    template <int J>
    static HERD_INLINE typename V::Int get(const Packed& w, int s, int part) {
        return part_line<V>(w.qs[8 * s + J], part);
    }
};

template <class V>
struct LinesQ40 {
    using Packed = PackedQ40;
    template <int J>
    static HERD_INLINE typename V::Int get(const Packed& w, int s, int part) {
        return nibbles<V, J, 8>(w.qs, s, part);
    }
};

}  // namespace herd
