// Where the rows of a tensor lie, and what of its layout the operations here understand.
#pragma once

#include "ggml_abi.h"

namespace herd {

template <class Value>
Value* at(const ggml::Tensor& tensor, int64_t i1, int64_t i2, int64_t i3) {
    return reinterpret_cast<Value*>(static_cast<char*>(tensor.data) + i1 * tensor.nb[1] + i2 * tensor.nb[2] +
                                    i3 * tensor.nb[3]);
}

// Row `number` of a tensor, counted over all its matrices, as indices.
struct RowIndex {
    int64_t i1, i2, i3;

    RowIndex(const ggml::Tensor& tensor, int64_t number)
        : i1(number % tensor.ne[1]), i2(number / tensor.ne[1] % tensor.ne[2]), i3(number / tensor.ne[1] / tensor.ne[2]) {}
};

template <class Value>
Value* at(const ggml::Tensor& tensor, const RowIndex& row) {
    return at<Value>(tensor, row.i1, row.i2, row.i3);
}

inline int64_t n_rows(const ggml::Tensor& tensor) { return tensor.ne[1] * tensor.ne[2] * tensor.ne[3]; }

inline bool is_empty(const ggml::Tensor& tensor) { return tensor.ne[0] * n_rows(tensor) == 0; }

inline bool same_shape(const ggml::Tensor& a, const ggml::Tensor& b) {
    return a.ne[0] == b.ne[0] && a.ne[1] == b.ne[1] && a.ne[2] == b.ne[2] && a.ne[3] == b.ne[3];
}

// Rows of elements that follow each other; rows themselves may lie anywhere.
inline bool has_rows(const ggml::Tensor& tensor, int32_t type, size_t size) {
    return tensor.type == type && tensor.nb[0] == size && tensor.nb[1] % size == 0 && tensor.nb[2] % size == 0 &&
           tensor.nb[3] % size == 0;
}

inline bool float_rows(const ggml::Tensor& tensor) { return has_rows(tensor, ggml::kTypeF32, sizeof(float)); }

inline bool half_rows(const ggml::Tensor& tensor) { return has_rows(tensor, ggml::kTypeF16, sizeof(uint16_t)); }

}  // namespace herd
