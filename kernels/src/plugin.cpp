#include "plugin.h"

#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>

#include "backend.h"
#include "buffer.h"
#include "dispatch.h"
#include "ggml_api.h"
#include "packed_matrix.h"

#define HERD_EXPORT extern "C" __attribute__((visibility("default")))

namespace herd {
namespace {

std::string g_refusal;
thread_local bool g_enabled = true;

bool start() {
    if (!instructions()) {
        g_refusal = "no kernels for this CPU: AVX2, FMA and F16C are needed";
    } else if (connect_to_ggml(g_refusal)) {
        choose_kernels();
    }
    return g_refusal.empty();
}

}  // namespace

bool packing_enabled() { return g_enabled; }

bool kept_unpacked(const char* tensor_name) {
    static const char* const choice = std::getenv("LLAMAHERD_KERNELS_OUTPUT");
    if (!choice || std::strcmp(choice, "0") != 0) return false;
    // A product with the token embeddings is the output of a model that ties the two.
    return !std::strcmp(tensor_name, "output.weight") || !std::strcmp(tensor_name, "token_embd.weight");
}

}  // namespace herd

// ggml calls these two. A score of 0 means "not on this machine".
HERD_EXPORT int ggml_backend_score() { return herd::instructions() ? 1 : 0; }

HERD_EXPORT ggml::Registry* ggml_backend_init() {
    try {
        static const bool started = herd::start();
        return started ? herd::registry() : nullptr;
    } catch (const std::exception& error) {
        herd::g_refusal = error.what();
        return nullptr;
    }
}

// The instruction set in use, or null where this CPU has no kernels. Needs no ggml.
HERD_EXPORT const char* llamaherd_kernels_instructions() { return herd::instructions(); }

// Why ggml_backend_init refused; empty if it did not.
HERD_EXPORT const char* llamaherd_kernels_refusal() { return herd::g_refusal.c_str(); }

// Weight types whose self-test failed, separated by blanks.
HERD_EXPORT const char* llamaherd_kernels_failed() {
    static std::string names;
    names = herd::failed_formats();
    return names.c_str();
}

// Bytes of packed weights in this process.
HERD_EXPORT size_t llamaherd_kernels_bytes() { return herd::packed_bytes_in_use(); }

// Bytes that a weight of this name, type and shape takes packed; 0: it stays as it is.
HERD_EXPORT size_t llamaherd_kernels_packed_size(const char* name, int32_t type, int64_t k, int64_t rows,
                                                 int64_t slices) {
    herd::PackedShape shape;
    if (!herd::packed_shape(type, k, rows, slices, shape) || herd::kept_unpacked(name)) return 0;
    return herd::family_of(*shape.format) ? shape.bytes() : 0;
}

// Whether the calling thread's next models may be packed; returns what was set before.
HERD_EXPORT bool llamaherd_kernels_enable(bool enabled) {
    const bool before = herd::g_enabled;
    herd::g_enabled = enabled;
    return before;
}
