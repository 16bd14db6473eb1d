#include "rope.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "ggml_api.h"

namespace herd {
namespace {

constexpr int kMaxPairs = 256;
constexpr float kPi = 3.14159265f;

enum Kind : int32_t { kNeighbours = 0, kHalves = 2 };  // which two elements are rotated together

// op_params of a ROPE node.
struct Params {
    int32_t n_past, n_dims, kind, n_ctx, n_ctx_original;
    float base, scale, extrapolation, magnitude, beta_fast, beta_slow;
    int32_t sections[4], offset;
};
static_assert(sizeof(Params) == 64, "op_params");

Params params_of(const ggml::Tensor& node) {
    Params params;
    std::memcpy(&params, node.op_params, sizeof params);
    return params;
}

struct Angles {
    float cosine[kMaxPairs], sine[kMaxPairs];
};

// YaRN: the dimensions that turn often enough keep their speed, slow ones are interpolated, those
// between are mixed. Where the mixing starts and ends, in pairs.
float dimension_of(const Params& params, float turns) {
    return params.n_dims * std::log(params.n_ctx_original / (turns * 2 * kPi)) / (2 * std::log(params.base));
}

void angles_of(const Params& params, int32_t position, const float* factors, Angles& out) {
    const float step = std::pow(params.base, -2.0f / params.n_dims);
    const bool yarn = params.extrapolation != 0.0f;
    const float first = yarn ? std::max(0.0f, std::floor(dimension_of(params, params.beta_fast))) : 0;
    const float last = yarn ? std::min(params.n_dims - 1.0f, std::ceil(dimension_of(params, params.beta_slow))) : 0;
    const float magnitude =
        yarn ? params.magnitude * (1.0f + 0.1f * std::log(1.0f / params.scale)) : params.magnitude;
    float turned = static_cast<float>(position);
    for (int pair = 0; pair < params.n_dims / 2; ++pair, turned *= step) {
        const float full = factors ? turned / factors[pair] : turned;
        float angle = params.scale * full;
        if (yarn) {
            const float at = (pair - first) / std::max(0.001f, last - first);
            const float mix = (1 - std::min(1.0f, std::max(0.0f, at))) * params.extrapolation;
            angle = angle * (1 - mix) + full * mix;
        }
        out.cosine[pair] = std::cos(angle) * magnitude;
        out.sine[pair] = std::sin(angle) * magnitude;
    }
}

void rotate(const Params& params, const Angles& angles, const float* x, float* y) {
    const int n = params.n_dims / 2, stride = params.kind == kHalves ? 1 : 2, apart = params.kind == kHalves ? n : 1;
    for (int pair = 0; pair < n; ++pair) {
        const float a = x[pair * stride], b = x[pair * stride + apart];
        y[pair * stride] = a * angles.cosine[pair] - b * angles.sine[pair];
        y[pair * stride + apart] = a * angles.sine[pair] + b * angles.cosine[pair];
    }
}

// All heads of one token.
void rope_token(const ggml::Tensor& node, int64_t token) {
    const Params params = params_of(node);
    const ggml::Tensor& x = *node.src[0];
    const int64_t i2 = token % node.ne[2], i3 = token / node.ne[2];
    Angles angles;
    angles_of(params, static_cast<const int32_t*>(node.src[1]->data)[i2],
              node.src[2] ? static_cast<const float*>(node.src[2]->data) : nullptr, angles);
    for (int64_t head = 0; head < node.ne[1]; ++head) {
        const float* in = at<const float>(x, head, i2, i3);
        float* out = at<float>(node, head, i2, i3);
        rotate(params, angles, in, out);
        if (in != out) std::memcpy(out + params.n_dims, in + params.n_dims, (node.ne[0] - params.n_dims) * sizeof *in);
    }
}

bool is_supported(const ggml::Tensor& node) {
    const Params params = params_of(node);
    const ggml::Tensor &x = *node.src[0], &positions = *node.src[1], *factors = node.src[2];
    if (!same_shape(x, node) || !float_rows(x) || !float_rows(node)) return false;
    if (params.kind != kNeighbours && params.kind != kHalves) return false;
    if (params.offset != 0 || params.n_dims <= 0 || params.n_dims % 2 || params.n_dims / 2 > kMaxPairs) return false;
    if (params.n_dims > node.ne[0]) return false;
    if (!has_rows(positions, ggml::kTypeI32, 4) || positions.ne[0] != node.ne[2] || n_rows(positions) != 1) return false;
    return !factors || (float_rows(*factors) && factors->ne[0] >= params.n_dims / 2);
}

}  // namespace

bool rope_task(const ggml::Tensor& node, Task& task) {
    if (node.op != api().op_rope || !is_supported(node)) return false;
    task = {&node, node.ne[2] * node.ne[3], rope_token, true};
    return true;
}

}  // namespace herd
