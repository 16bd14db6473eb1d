#include "operations.h"

#include "buffer.h"
#include "dispatch.h"
#include "ggml_api.h"
#include "tensor.h"

namespace herd {
namespace {

Product matrix(const ggml::Tensor& node, int64_t slice) {
    PackedShape shape;
    packed_weights(*node.src[0], shape);
    const auto* packed = static_cast<const uint8_t*>(node.src[0]->data) + slice * shape.slice_bytes();
    return {shape.format, family_of(*shape.format), packed, shape.rows, shape.k, {}, {}};
}

// Matrix (i2, i3) of the activations meets weight matrix (i2 / r2, i3 / r3), where r2 and r3 say
// how often the weights are repeated. Activations that meet the same matrix become one product.
std::vector<Product> plain_products(const ggml::Tensor& node) {
    const ggml::Tensor &weights = *node.src[0], &x = *node.src[1];
    std::vector<Product> products;
    for (int64_t slice = 0; slice < weights.ne[2] * weights.ne[3]; ++slice) products.push_back(matrix(node, slice));
    const int64_t r2 = x.ne[2] / weights.ne[2], r3 = x.ne[3] / weights.ne[3];
    for (int64_t i3 = 0; i3 < x.ne[3]; ++i3) {
        for (int64_t i2 = 0; i2 < x.ne[2]; ++i2) {
            Product& product = products[i3 / r3 * weights.ne[2] + i2 / r2];
            for (int64_t i1 = 0; i1 < x.ne[1]; ++i1) {
                product.x.push_back(at<const float>(x, i1, i2, i3));
                product.out.push_back(at<float>(node, i1, i2, i3));
            }
        }
    }
    return products;
}

int32_t expert_at(const ggml::Tensor& ids, int64_t token, int64_t use) {
    const auto* row = reinterpret_cast<const char*>(at<const int32_t>(ids, token, 0, 0));
    return *reinterpret_cast<const int32_t*>(row + use * ids.nb[0]);
}

// src[2] holds, for each token, the numbers of the experts it uses. Expert number `use` of a token
// multiplies row use % x.ne[1] of the token's activations: one for all, or one for each use.
std::vector<Product> expert_products(const ggml::Tensor& node) {
    const ggml::Tensor &weights = *node.src[0], &x = *node.src[1], &ids = *node.src[2];
    std::vector<Product> products;
    for (int64_t expert = 0; expert < weights.ne[2]; ++expert) products.push_back(matrix(node, expert));
    for (int64_t token = 0; token < ids.ne[1]; ++token) {
        for (int64_t use = 0; use < ids.ne[0]; ++use) {
            const int32_t expert = expert_at(ids, token, use);
            products[expert].x.push_back(at<const float>(x, use % x.ne[1], token, 0));
            products[expert].out.push_back(at<float>(node, use, token, 0));
        }
    }
    return products;
}

}  // namespace

bool is_supported_product(const ggml::Tensor& node) {
    const bool experts = node.op == api().op_mul_mat_id;
    if (node.op != api().op_mul_mat && !experts) return false;
    const ggml::Tensor &weights = *node.src[0], &x = *node.src[1];
    PackedShape shape;
    if (!packed_weights(weights, shape) || !float_rows(x) || !float_rows(node)) return false;
    if (experts) return node.src[2]->type == ggml::kTypeI32 && weights.ne[3] == 1;
    constexpr int kHint = 1;  // op_params: anything but 0 promises something about the weights
    return node.op_params[kHint] == 0 && x.ne[2] % weights.ne[2] == 0 && x.ne[3] % weights.ne[3] == 0;
}

bool experts_exist(const ggml::Tensor& node) {
    if (node.op != api().op_mul_mat_id) return true;
    const ggml::Tensor& ids = *node.src[2];
    for (int64_t token = 0; token < ids.ne[1]; ++token) {
        for (int64_t use = 0; use < ids.ne[0]; ++use) {
            const int32_t expert = expert_at(ids, token, use);
            if (expert < 0 || expert >= node.src[0]->ne[2]) return false;
        }
    }
    return true;
}

std::vector<Product> products_of(const ggml::Tensor& node) {
    return node.op == api().op_mul_mat ? plain_products(node) : expert_products(node);
}

bool shares_activations(const ggml::Tensor& node, const ggml::Tensor& before) {
    const ggml::Tensor &a = *node.src[0], &b = *before.src[0];
    const bool plain = node.op == api().op_mul_mat && before.op == api().op_mul_mat;
    if (!plain || node.src[1] != before.src[1] || a.ne[2] != b.ne[2] || a.ne[3] != b.ne[3]) return false;
    const Format &first = *find_format(a.type), &second = *find_format(b.type);
    return first.activations == second.activations &&
           family_of(first)->max_tokens == family_of(second)->max_tokens;
}

}  // namespace herd
