#include "attention.h"

#include <algorithm>
#include <cstring>

#include "dispatch.h"
#include "ggml_api.h"

namespace herd {
namespace {

// From so many tokens of a sequence on ggml-cpu multiplies tiles of queries and keys, which is faster
// where they look at more than so many cells.
constexpr int64_t kFewQueries = 64, kFewCells = 1024;

// What a node's sources are.
struct Attention {
    const ggml::Tensor &q, &k, &v, *mask;
    int64_t group;        // query heads that share keys and values
    int64_t parts;        // of a group, kMaxHeads or fewer heads each
    float scale, max_bias, softcap;

    explicit Attention(const ggml::Tensor& node)
        : q(*node.src[0]), k(*node.src[1]), v(*node.src[2]), mask(node.src[3]) {
        group = q.ne[2] / std::max<int64_t>(1, k.ne[2]);
        parts = (group + kMaxHeads - 1) / kMaxHeads;
        std::memcpy(&scale, node.op_params, sizeof scale);
        std::memcpy(&max_bias, node.op_params + 1, sizeof max_bias);
        std::memcpy(&softcap, node.op_params + 2, sizeof softcap);
    }

    int64_t n_units() const { return k.ne[2] * parts * q.ne[1] * q.ne[3]; }
};

bool is_supported(const ggml::Tensor& node) {
    const Attention a(node);
    const ggml::Tensor *sinks = node.src[4], &q = a.q, &k = a.k, &v = a.v;
    if (sinks || !a.mask || a.max_bias != 0.0f || a.softcap != 0.0f) return false;
    if (!float_rows(q) || !float_rows(node) || !half_rows(k) || !half_rows(v) || !half_rows(*a.mask)) return false;
    if ((q.ne[1] >= kFewQueries && k.ne[1] > kFewCells) || is_empty(k) || q.ne[0] != k.ne[0] || q.ne[0] % 16) return false;
    if (v.ne[0] % 16 || v.ne[0] > kMaxValueSize || v.ne[1] != k.ne[1] || v.ne[2] != k.ne[2]) return false;
    if (q.ne[2] % k.ne[2] || q.ne[3] != k.ne[3] || v.ne[3] != k.ne[3]) return false;
    if (a.mask->ne[0] != k.ne[1] || a.mask->ne[1] < q.ne[1] || a.mask->ne[2] != 1) return false;
    if (a.mask->ne[3] < 1 || q.ne[3] % a.mask->ne[3]) return false;
    return node.ne[0] == v.ne[0] && node.ne[1] == q.ne[2] && node.ne[2] == q.ne[1] && node.ne[3] == q.ne[3];
}

// Some heads of a token. The tokens of some heads follow each other: sequences differ in length,
// and a thread gets a stretch of units.
void attend_unit(const ggml::Tensor& node, int64_t unit) {
    const Attention a(node);
    const int64_t token = unit % a.q.ne[1], stream = unit / a.q.ne[1] % a.q.ne[3];
    const int64_t part = unit / a.q.ne[1] / a.q.ne[3] % a.parts, shared = unit / a.q.ne[1] / a.q.ne[3] / a.parts;
    const int64_t first = a.group * part / a.parts, last = a.group * (part + 1) / a.parts;
    AttentionHeads heads{};
    heads.n_heads = static_cast<int>(last - first);
    for (int64_t head = first; head < last; ++head) {
        heads.q[head - first] = at<const float>(a.q, token, shared * a.group + head, stream);
        heads.out[head - first] = at<float>(node, shared * a.group + head, token, stream);
    }
    heads.k = at<const char>(a.k, 0, shared, stream);
    heads.v = at<const char>(a.v, 0, shared, stream);
    heads.k_stride = a.k.nb[1];
    heads.v_stride = a.v.nb[1];
    heads.mask = at<const uint16_t>(*a.mask, token, 0, stream % a.mask->ne[3]);
    heads.n_cells = a.k.ne[1];
    heads.k_size = a.k.ne[0];
    heads.v_size = a.v.ne[0];
    heads.scale = a.scale;
    floats().attend(heads);
}

}  // namespace

bool is_attention(const ggml::Tensor& node) { return node.op == api().op_flash_attn_ext; }

bool attention_task(const ggml::Tensor& node, Task& task) {
    if (!is_attention(node) || !is_supported(node)) return false;
    task = {&node, Attention(node).n_units(), attend_unit, false};
    return true;
}

}  // namespace herd
