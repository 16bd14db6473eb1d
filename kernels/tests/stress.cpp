// Runs packing and products without a model, for sanitizers (see test_sanitizers.py) and for tuning.
//
// usage: herd_stress LIBGGML                 many random cases on 1 to 4 threads; 1 on a mismatch
//        herd_stress LIBGGML bench THREADS [TYPE]   speed of each type and number of tokens
//
// LIBGGML is the path of libggml.so.0.
#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <random>
#include <string>
#include <vector>

#include "../src/buffer.h"
#include "../src/dispatch.h"
#include "../src/driver.h"
#include "../src/ggml_api.h"
#include "../src/packed_matrix.h"
#include "../src/plan.h"

namespace {

using namespace herd;

std::mt19937 g_random(1);

struct Matrix {
    PackedShape shape;
    std::vector<uint8_t> file;
    AlignedBytes packed;

    Matrix(const Format& format, int64_t k, int64_t rows) : shape{&format, k, rows, 1} {
        file.resize(rows * shape.row_bytes());
        for (size_t i = 0; i + 4 <= file.size(); i += 4) {
            const uint32_t bytes = static_cast<uint32_t>(g_random()) & 0x2F2F2F2F;  // any halves stay finite
            std::memcpy(file.data() + i, &bytes, sizeof bytes);
        }
        packed.reserve(shape.bytes());
        write_packed(shape, family_of(format)->pack, packed.data(), file.data(), 0, file.size());
    }
};

using Rows = std::vector<std::vector<float>>;

Rows random_rows(int n, int64_t k) {
    std::normal_distribution<float> normal;
    Rows rows(n, std::vector<float>(k));
    for (auto& row : rows) {
        for (float& value : row) value = normal(g_random);
    }
    return rows;
}

Product product(const Matrix& weights, const Rows& x, Rows& out) {
    const PackedShape& shape = weights.shape;
    Product p{shape.format, family_of(*shape.format), weights.packed.data(), shape.rows, shape.k, {}, {}};
    for (size_t t = 0; t < x.size(); ++t) {
        p.x.push_back(x[t].data());
        p.out.push_back(out[t].data());
    }
    return p;
}

double error(const Matrix& weights, const Rows& x, const Rows& out) {
    const PackedShape& shape = weights.shape;
    const ggml::CpuTypeTraits& traits = *api().cpu_type_traits(shape.format->type);
    std::vector<uint8_t> quantised(api().row_size(traits.vec_dot_type, shape.k));
    double difference = 0, size = 0;
    for (size_t t = 0; t < x.size(); ++t) {
        api().cpu_type_traits(traits.vec_dot_type)->from_float(x[t].data(), quantised.data(), shape.k);
        for (int64_t row = 0; row < shape.rows; ++row) {
            float want;
            const uint8_t* file = weights.file.data() + row * shape.row_bytes();
            traits.vec_dot(static_cast<int>(shape.k), &want, 0, file, 0, quantised.data(), 0, 1);
            difference += (out[t][row] - want) * double(out[t][row] - want);
            size += double(want) * want;
        }
    }
    return std::sqrt(difference / size);
}

// Two dependent steps and one that shares activations, so that all synchronisation is used.
bool run_case(Driver& driver, const Format& format, int n_threads) {
    const int64_t k = 256 * (1 + g_random() % 10), rows = 256 * (1 + g_random() % 2) + g_random() % 2 * 256;
    const int n = 1 + static_cast<int>(g_random() % (g_random() % 2 ? 14 : 70));
    const Matrix first(format, k, rows), again(format, k, 1 + g_random() % 90), second(format, rows, 33);
    const Rows x = random_rows(n, k);
    Rows a(n, std::vector<float>(rows)), b(n, std::vector<float>(again.shape.rows)), c(n, std::vector<float>(33));
    std::vector<Step> steps(3);
    steps[0].products = {product(first, x, a)};
    steps[1].products = {product(again, x, b)};
    steps[1].same_activations = true;
    steps[2].products = {product(second, a, c)};
    driver.run(steps, n_threads);
    const double worst = std::max({error(first, x, a), error(again, x, b), error(second, a, c)});
    if (worst > 2e-6) std::printf("%s k %ld n %d threads %d: error %.2e\n", format.name, long(k), n, n_threads, worst);
    return worst <= 2e-6;
}

// ---- a layer of a model, planned and computed as a graph

// Tensors that own their memory, made by hand: this needs no graph of ggml's.
class Tensors {
  public:
    ggml::Tensor& make(int32_t type, size_t size, std::vector<int64_t> ne) {
        ggml::Tensor& tensor = blank(type, size, std::move(ne));
        memory_.emplace_back(tensor.nb[3] * tensor.ne[3] + 64);
        tensor.data = memory_.back().data();
        return tensor;
    }

    ggml::Tensor& floats(std::vector<int64_t> ne) {
        ggml::Tensor& tensor = make(ggml::kTypeF32, 4, std::move(ne));
        std::normal_distribution<float> normal;
        for (size_t i = 0; i < tensor.nb[3] / 4; ++i) static_cast<float*>(tensor.data)[i] = normal(g_random);
        return tensor;
    }

    ggml::Tensor& weights(const Matrix& matrix) {
        ggml::Tensor& tensor = blank(matrix.shape.format->type, 1, {matrix.shape.k, matrix.shape.rows});
        tensor.nb[1] = matrix.shape.row_bytes();
        tensor.nb[2] = tensor.nb[3] = tensor.nb[1] * tensor.ne[1];
        tensor.data = matrix.packed.data();
        buffer_.buft = packed_buffer_type();
        tensor.buffer = &buffer_;
        return tensor;
    }

    ggml::Tensor& node(int32_t op, std::vector<int64_t> ne, std::vector<ggml::Tensor*> sources) {
        return compute(make(ggml::kTypeF32, 4, std::move(ne)), op, std::move(sources));
    }

    // Other dimensions of the same memory, and for `into` a node that writes it.
    ggml::Tensor& view(const ggml::Tensor& of, size_t size, std::vector<int64_t> ne) {
        ggml::Tensor& tensor = blank(of.type, size, std::move(ne));
        tensor.data = of.data;
        return tensor;
    }
    ggml::Tensor& into(ggml::Tensor& tensor, int32_t op, std::vector<ggml::Tensor*> sources) {
        return compute(tensor, op, std::move(sources));
    }

    std::vector<const ggml::Tensor*> nodes;

  private:
    ggml::Tensor& blank(int32_t type, size_t size, std::vector<int64_t> ne) {
        ggml::Tensor& tensor = tensors_.emplace_back();
        tensor.type = type;
        ne.resize(4, 1);
        for (int i = 0; i < 4; ++i, size *= ne[i - 1]) {
            tensor.ne[i] = ne[i];
            tensor.nb[i] = size;
        }
        return tensor;
    }

    ggml::Tensor& compute(ggml::Tensor& tensor, int32_t op, std::vector<ggml::Tensor*> sources) {
        tensor.op = op;
        tensor.flags = ggml::kFlagCompute;
        std::copy(sources.begin(), sources.end(), tensor.src);
        nodes.push_back(&tensor);
        return tensor;
    }

    std::deque<ggml::Tensor> tensors_;
    std::deque<std::vector<uint8_t>> memory_;
    ggml::Buffer buffer_{};
};

void set_floats(ggml::Tensor& tensor, std::vector<float> values, int first = 0) {
    std::memcpy(tensor.op_params + first, values.data(), values.size() * sizeof(float));
}

// Norm, queries, keys, rotation, cache, attention, norm, gate, and sums, as often as there are
// layers; all layers use the same memory, so that each overwrites what the last one read.
std::vector<float> layers(const Format& format, int64_t n, int n_threads) {
    constexpr int64_t kWidth = 512, kHeads = 8, kSize = 64, kCells = 40;
    g_random.seed(5);
    const Api& ggml = api();
    const Matrix wq(format, kWidth, kWidth), wk(format, kWidth, kWidth), wo(format, kWidth, kWidth);
    Tensors t;
    ggml::Tensor &x = t.floats({kWidth, n}), &gain = t.floats({kWidth}), &norm = t.make(0, 4, {kWidth, n});
    ggml::Tensor &q = t.make(0, 4, {kWidth, n}), &k = t.make(0, 4, {kWidth, n}), &o = t.make(0, 4, {kWidth, n});
    ggml::Tensor &cache = t.make(ggml::kTypeF16, 2, {kWidth, kCells}), &mask = t.make(ggml::kTypeF16, 2, {kCells, n});
    ggml::Tensor &numbers = t.make(ggml::kTypeI32, 4, {n}), &heads = t.make(0, 4, {kSize, kHeads, n});
    for (int32_t i = 0; i < n; ++i) static_cast<int32_t*>(numbers.data)[i] = i;
    const auto turned = [&](ggml::Tensor& of) -> ggml::Tensor& {
        ggml::Tensor& rope = t.into(t.view(of, 4, {kSize, kHeads, n}), ggml.op_rope, {&of, &numbers});
        rope.src[0] = &t.view(of, 4, {kSize, kHeads, n});
        rope.op_params[1] = kSize;
        set_floats(rope, {10000, 1, 0, 1, 0, 0}, 5);
        return rope;
    };
    const auto permuted = [&](const ggml::Tensor& of, size_t size, int64_t rows) -> ggml::Tensor& {
        ggml::Tensor& view = t.view(of, size, {kSize, rows, kHeads});
        view.nb[1] = size * kWidth;
        view.nb[2] = size * kSize;
        return view;
    };
    for (int layer = 0; layer < 3; ++layer) {
        set_floats(t.into(t.view(norm, 4, {kWidth, n}), ggml.op_rms_norm, {&x}), {1e-5f});
        t.into(t.view(norm, 4, {kWidth, n}), ggml.op_mul, {&norm, &gain});
        ggml::Tensor &wq_node = t.weights(wq), &wk_node = t.weights(wk), &wo_node = t.weights(wo);
        t.into(t.view(q, 4, {kWidth, n}), ggml.op_mul_mat, {&wq_node, &norm});
        turned(q);
        t.into(t.view(k, 4, {kWidth, n}), ggml.op_mul_mat, {&wk_node, &norm});
        turned(k);
        t.into(t.view(cache, 2, {kWidth, kCells}), ggml.op_set_rows, {&k, &numbers});
        ggml::Tensor& attention = t.into(t.view(heads, 4, {kSize, kHeads, n}), ggml.op_flash_attn_ext,
                                         {&permuted(q, 4, n), &permuted(cache, 2, kCells), &permuted(cache, 2, kCells), &mask});
        set_floats(attention, {0.125f, 0, 0});
        ggml::Tensor& flat = t.view(heads, 4, {kWidth, n});
        t.into(t.view(o, 4, {kWidth, n}), ggml.op_mul_mat, {&wo_node, &flat});
        t.into(t.view(norm, 4, {kWidth, n}), ggml.op_glu, {&o, &norm}).op_params[0] = ggml.glu_swiglu;
        t.into(t.view(x, 4, {kWidth, n}), ggml.op_add, {&x, &norm});
        set_floats(t.into(t.view(x, 4, {kWidth, n}), ggml.op_scale, {&x}), {0.9f, 0});
    }
    std::vector<Step> steps;
    if (plan_steps(t.nodes, steps) != nullptr) return {};
    Driver driver;
    driver.run(steps, n_threads);
    const auto* result = static_cast<const float*>(x.data);
    return {result, result + kWidth * n};
}

// Which thread computes what changes no bit of it.
bool layers_agree(const Format& format, int64_t n) {
    const std::vector<float> one = layers(format, n, 1), four = layers(format, n, 4);
    const bool agree = !one.empty() && std::isfinite(one[0]) && one[0] != 0 && one == four;
    if (!agree) std::printf("%s: layers with %d tokens differ\n", format.name, int(n));
    return agree;
}

bool round_trip(const Format& format) {
    Matrix matrix(format, 512, 1 + g_random() % 100);
    std::vector<uint8_t> back(matrix.file.size());
    const size_t at = g_random() % back.size(), size = g_random() % (back.size() - at + 1);
    write_packed(matrix.shape, family_of(format)->pack, matrix.packed.data(), matrix.file.data() + at, at, size);
    read_packed(matrix.shape, matrix.packed.data(), back.data() + at, at, size);
    return !std::memcmp(back.data() + at, matrix.file.data() + at, size);
}

int stress() {
    bool good = true;
    Driver driver;
    for (const Format& format : kFormat) {
        if (!family_of(format)) continue;
        for (int64_t n : {1, 2, 7, 39}) good = layers_agree(format, n) && good;
        for (int i = 0; i < 12; ++i) good = run_case(driver, format, 1 + i % 4) && round_trip(format) && good;
    }
    std::puts(good ? "good" : "WRONG");
    return good ? 0 : 1;
}

double seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// 10^9 instructions vpdpbusd (64 products each; of floats, four instructions) a second and thread. Each matrix is a step of its
// own, as in a model.
double speed(Driver& driver, const std::vector<Matrix>& weights, int n, int n_threads) {
    const PackedShape& shape = weights[0].shape;
    const Rows x = random_rows(n, shape.k);
    Rows out(n, std::vector<float>(shape.rows));
    std::vector<Step> steps(weights.size());
    for (size_t i = 0; i < weights.size(); ++i) steps[i].products = {product(weights[i], x, out)};
    double best = 1e9;
    for (double end = seconds() + 0.4; seconds() < end;) {
        const double start = seconds();
        driver.run(steps, n_threads);
        best = std::min(best, seconds() - start);
    }
    return double(shape.rows) * shape.k * n * weights.size() / 64 / best / n_threads / 1e9;
}

struct Place {
    const char* name;
    int n_matrices;
    int64_t rows;
};

int bench(int n_threads, const char* only) {
    constexpr int kTokens[] = {1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24, 32, 128, 512};
    constexpr Place kPlaces[] = {{"cache", 1, 512}, {"memory", 48, 8192}};
    std::printf("10^9 vpdpbusd a second and thread\n%-8s %-6s", "type", "where");
    for (int n : kTokens) std::printf("%6d", n);
    std::puts("");
    Driver driver;
    for (const Format& format : kFormat) {
        if (!family_of(format) || (only && std::strcmp(only, format.name))) continue;
        for (const Place& place : kPlaces) {
            std::vector<Matrix> weights;
            for (int i = 0; i < place.n_matrices; ++i) weights.emplace_back(format, 2048, place.rows);
            std::printf("%-8s %-6s", format.name, place.name);
            for (int n : kTokens) std::printf("%6.2f", speed(driver, weights, n, n_threads));
            std::puts("");
            std::fflush(stdout);
        }
    }
    return 0;
}

}  // namespace

int main(int count, char** arguments) {
    if (count < 2 || !dlopen(arguments[1], RTLD_NOW | RTLD_GLOBAL)) {
        std::fprintf(stderr, "usage: herd_stress LIBGGML [bench THREADS]: %s\n", dlerror());
        return 2;
    }
    std::string reason;
    if (!connect_to_ggml(reason)) {
        std::fprintf(stderr, "%s\n", reason.c_str());
        return 2;
    }
    choose_kernels();
    if (!failed_formats().empty()) return 1;
    return count > 3 ? bench(std::atoi(arguments[3]), count > 4 ? arguments[4] : nullptr) : stress();
}
