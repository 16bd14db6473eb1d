#include "elementwise.h"

#include <cstring>

#include "dispatch.h"
#include "ggml_api.h"

namespace herd {
namespace {

float float_param(const ggml::Tensor& node, int number) {
    float value;
    std::memcpy(&value, node.op_params + number, sizeof value);
    return value;
}

// ---- one row in, one row out

bool maps_rows(const ggml::Tensor& node) {
    const ggml::Tensor& x = *node.src[0];
    return same_shape(x, node) && float_rows(x) && float_rows(node);
}

void rms_norm_row(const ggml::Tensor& node, int64_t row) {
    const RowIndex index(node, row);
    floats().rms_norm(at<const float>(*node.src[0], index), float_param(node, 0), at<float>(node, index), node.ne[0]);
}

void scale_row(const ggml::Tensor& node, int64_t row) {
    const RowIndex index(node, row);
    floats().scale(at<const float>(*node.src[0], index), float_param(node, 0), float_param(node, 1),
                   at<float>(node, index), node.ne[0]);
}

// ---- two operands, of which the second is repeated

bool combines_rows(const ggml::Tensor& node) {
    const ggml::Tensor& b = *node.src[1];
    if (!maps_rows(node) || !float_rows(b) || is_empty(b)) return false;
    if (b.ne[0] != node.ne[0] && b.ne[0] != 1) return false;
    return node.ne[1] % b.ne[1] == 0 && node.ne[2] % b.ne[2] == 0 && node.ne[3] % b.ne[3] == 0;
}

const float* repeated_row(const ggml::Tensor& tensor, const RowIndex& index) {
    return at<const float>(tensor, index.i1 % tensor.ne[1], index.i2 % tensor.ne[2], index.i3 % tensor.ne[3]);
}

void add_row(const ggml::Tensor& node, int64_t row) {
    const RowIndex index(node, row);
    const float *a = at<const float>(*node.src[0], index), *b = repeated_row(*node.src[1], index);
    if (node.src[1]->ne[0] == node.ne[0]) {
        floats().add(a, b, at<float>(node, index), node.ne[0]);
    } else {
        floats().scale(a, 1.0f, *b, at<float>(node, index), node.ne[0]);
    }
}

void multiply_row(const ggml::Tensor& node, int64_t row) {
    const RowIndex index(node, row);
    const float *a = at<const float>(*node.src[0], index), *b = repeated_row(*node.src[1], index);
    if (node.src[1]->ne[0] == node.ne[0]) {
        floats().multiply(a, b, at<float>(node, index), node.ne[0]);
    } else {
        floats().scale(a, *b, 0.0f, at<float>(node, index), node.ne[0]);
    }
}

// ---- gates: two tensors, or two halves of one

bool is_swiglu(const ggml::Tensor& node) {
    const ggml::Tensor &gate = *node.src[0], *x = node.src[1];
    if (node.op_params[0] != api().glu_swiglu || !float_rows(gate) || !float_rows(node)) return false;
    if (x) return float_rows(*x) && same_shape(gate, node) && same_shape(*x, node);
    return gate.ne[0] == 2 * node.ne[0] && n_rows(gate) == n_rows(node) && gate.ne[1] == node.ne[1] &&
           gate.ne[2] == node.ne[2];
}

void swiglu_row(const ggml::Tensor& node, int64_t row) {
    const RowIndex index(node, row);
    const float *gate = at<const float>(*node.src[0], index), *x;
    if (node.src[1]) {
        x = at<const float>(*node.src[1], index);
    } else {
        const bool swapped = node.op_params[1];
        x = gate + (swapped ? 0 : node.ne[0]);
        gate += swapped ? node.ne[0] : 0;
    }
    floats().swiglu(gate, x, at<float>(node, index), node.ne[0]);
}

// ---- rows by number

// Whether there is a number for each of `rows`' rows, matrices of numbers being repeated.
bool numbers_rows(const ggml::Tensor& numbers, const ggml::Tensor& rows) {
    const bool whole = has_rows(numbers, ggml::kTypeI32, 4) || has_rows(numbers, ggml::kTypeI64, 8);
    return whole && !is_empty(numbers) && numbers.ne[0] == rows.ne[1] && rows.ne[2] % numbers.ne[1] == 0 &&
           rows.ne[3] % numbers.ne[2] == 0 && numbers.ne[3] == 1;
}

int64_t row_number(const ggml::Tensor& numbers, const RowIndex& index) {
    const int64_t i1 = index.i2 % numbers.ne[1], i2 = index.i3 % numbers.ne[2];
    if (numbers.type == ggml::kTypeI64) return at<const int64_t>(numbers, i1, i2, 0)[index.i1];
    return at<const int32_t>(numbers, i1, i2, 0)[index.i1];
}

bool gets_rows(const ggml::Tensor& node) {
    const ggml::Tensor &x = *node.src[0], &numbers = *node.src[1];
    return float_rows(x) && float_rows(node) && x.ne[0] == node.ne[0] && x.ne[2] == node.ne[2] &&
           x.ne[3] == node.ne[3] && numbers_rows(numbers, node);
}

void get_row(const ggml::Tensor& node, int64_t row) {
    const RowIndex index(node, row);
    const ggml::Tensor& x = *node.src[0];
    const int64_t number = row_number(*node.src[1], index);
    std::memcpy(at<float>(node, index), at<const float>(x, number, index.i2, index.i3), node.ne[0] * sizeof(float));
}

// Into 16-bit floats, as caches of keys and values are.
bool sets_rows(const ggml::Tensor& node) {
    const ggml::Tensor &x = *node.src[0], &numbers = *node.src[1];
    return float_rows(x) && half_rows(node) && x.ne[0] == node.ne[0] && x.ne[2] == node.ne[2] &&
           x.ne[3] == node.ne[3] && numbers_rows(numbers, x);
}

void set_row(const ggml::Tensor& node, int64_t row) {
    const ggml::Tensor& x = *node.src[0];
    const RowIndex index(x, row);
    const int64_t number = row_number(*node.src[1], index);
    floats().to_halves(at<const float>(x, index), at<uint16_t>(node, number, index.i2, index.i3), node.ne[0]);
}

// ---- all

struct Operation {
    int32_t number;
    bool (*fits)(const ggml::Tensor& node);
    void (*compute)(const ggml::Tensor& node, int64_t row);
    bool by_parts;
};

}  // namespace

bool rows_exist(const ggml::Tensor& node) {
    const bool sets = node.op == api().op_set_rows;
    if (!sets && node.op != api().op_get_rows) return true;
    const ggml::Tensor &numbered = sets ? node : *node.src[0], &moved = sets ? *node.src[0] : node;
    for (int64_t row = 0; row < n_rows(moved); ++row) {
        const int64_t number = row_number(*node.src[1], RowIndex(moved, row));
        if (number < 0 || number >= numbered.ne[1]) return false;
    }
    return true;
}

bool elementwise_task(const ggml::Tensor& node, Task& task) {
    const Operation operations[] = {
        {api().op_rms_norm, maps_rows, rms_norm_row, true}, {api().op_scale, maps_rows, scale_row, true},
        {api().op_add, combines_rows, add_row, true},       {api().op_mul, combines_rows, multiply_row, true},
        {api().op_glu, is_swiglu, swiglu_row, true},        {api().op_get_rows, gets_rows, get_row, false},
        {api().op_set_rows, sets_rows, set_row, false},
    };
    for (const Operation& operation : operations) {
        if (node.op != operation.number || !operation.fits(node)) continue;
        const bool stores = node.op == api().op_set_rows;  // a unit for each row that comes in
        task = {&node, n_rows(stores ? *node.src[0] : node), operation.compute, operation.by_parts};
        return true;
    }
    return false;
}

}  // namespace herd
