#include "ggml_api.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace herd {
namespace {

Api g_api;

// ggml versions (major, minor) that the tests have run against. The structures may change with any
// minor version, and a wrong guess is memory corruption, so anything else is refused.
constexpr int kKnownVersions[][2] = {{0, 25}};

struct Libraries {
    void* base = nullptr;      // tensors, graphs, buffers
    void* registry = nullptr;  // the list of backends
    void* cpu = nullptr;       // kernels of the CPU backend, and its OpenMP
};

void* loaded(const char* name) { return dlopen(name, RTLD_NOW | RTLD_NOLOAD); }

template <class Function>
bool find(void* library, const char* name, Function*& function) {
    void* found = library ? dlsym(library, name) : nullptr;
    if (!found) found = dlsym(RTLD_DEFAULT, name);
    function = reinterpret_cast<Function*>(found);
    return found != nullptr;
}

// The library that holds the CPU backend, found through a function that it registered: its file
// name differs between builds.
void* cpu_library(void* registry) {
    ggml::Registry* (*by_name)(const char*);
    void* (*proc_address)(ggml::Registry*, const char*);
    if (!find(registry, "ggml_backend_reg_by_name", by_name)) return nullptr;
    if (!find(registry, "ggml_backend_reg_get_proc_address", proc_address)) return nullptr;
    ggml::Registry* cpu = by_name("CPU");
    void* inside = cpu ? proc_address(cpu, "ggml_backend_set_n_threads") : nullptr;
    Dl_info info;
    return inside && dladdr(inside, &info) ? loaded(info.dli_fname) : nullptr;
}

Libraries find_libraries() {
    Libraries found;
    found.base = loaded("libggml-base.so.0");
    if (!found.base) found.base = loaded("libggml-base.so");
    found.registry = loaded("libggml.so.0");
    if (!found.registry) found.registry = loaded("libggml.so");
    found.cpu = cpu_library(found.registry);
    return found;
}

bool find_functions(const Libraries& in, std::string& reason) {
    const char* missing = nullptr;
    auto need = [&](void* library, const char* name, auto*& function) {
        if (!find(library, name, function)) missing = name;
    };
    need(in.base, "ggml_version", g_api.version);
    need(in.base, "ggml_op_name", g_api.op_name);
    need(in.base, "ggml_glu_op_name", g_api.glu_op_name);
    need(in.base, "ggml_row_size", g_api.row_size);
    need(in.base, "ggml_nbytes", g_api.nbytes);
    need(in.base, "ggml_graph_n_nodes", g_api.graph_n_nodes);
    need(in.base, "ggml_graph_node", g_api.graph_node);
    need(in.base, "ggml_backend_buffer_init", g_api.buffer_init);
    need(in.base, "ggml_backend_buft_is_host", g_api.buft_is_host);
    need(in.base, "ggml_backend_cpu_buffer_type", g_api.cpu_buffer_type);
    need(in.base, "ggml_log_internal", g_api.log);
    need(in.cpu, "ggml_get_type_traits_cpu", g_api.cpu_type_traits);
    if (missing) reason = std::string("this ggml lacks ") + missing;
    return !missing;
}

// A second OpenMP library would spin against the one that ggml-cpu waits in, so only the instance
// that ggml-cpu itself is linked to will do: dlsym on its handle searches its dependencies.
void find_openmp(void* cpu) {
    const bool complete = find(cpu, "GOMP_parallel", g_api.omp_parallel) &&
                          find(cpu, "omp_get_thread_num", g_api.omp_thread_num) &&
                          find(cpu, "omp_get_num_threads", g_api.omp_num_threads);
    if (!complete) g_api.omp_parallel = nullptr;
}

bool known_version(std::string& reason) {
    int major = -1, minor = -1;
    std::sscanf(g_api.version(), "%d.%d", &major, &minor);
    for (const auto& known : kKnownVersions) {
        if (known[0] == major && known[1] == minor) return true;
    }
    reason = std::string("ggml ") + g_api.version() + " is not a version this plugin was tested with";
    return false;
}

// Numbers of operations change between versions, their names do not.
bool find_number(const char* (*name_of)(int32_t), int count, const char* name, int32_t& number, std::string& reason) {
    for (number = 0; number < count; ++number) {
        if (!std::strcmp(name_of(number), name)) return true;
    }
    reason = std::string("this ggml has no operation ") + name;
    return false;
}

bool find_operations(std::string& reason) {
    struct Wanted {
        const char* name;
        int32_t& number;
    };
    const Wanted wanted[] = {{"NONE", g_api.op_none},
                             {"RESHAPE", g_api.op_reshape},
                             {"VIEW", g_api.op_view},
                             {"PERMUTE", g_api.op_permute},
                             {"TRANSPOSE", g_api.op_transpose},
                             {"MUL_MAT", g_api.op_mul_mat},
                             {"MUL_MAT_ID", g_api.op_mul_mat_id},
                             {"ADD", g_api.op_add},
                             {"MUL", g_api.op_mul},
                             {"SCALE", g_api.op_scale},
                             {"RMS_NORM", g_api.op_rms_norm},
                             {"ROPE", g_api.op_rope},
                             {"GET_ROWS", g_api.op_get_rows},
                             {"SET_ROWS", g_api.op_set_rows},
                             {"GLU", g_api.op_glu},
                             {"FLASH_ATTN_EXT", g_api.op_flash_attn_ext}};
    constexpr int kOperations = 101, kGates = 7;  // in ggml 0.25; names of others must not be asked for
    for (const Wanted& want : wanted) {
        if (!find_number(g_api.op_name, kOperations, want.name, want.number, reason)) return false;
    }
    return find_number(g_api.glu_op_name, kGates, "SWIGLU", g_api.glu_swiglu, reason);
}

// Builds two tensors, a product and a view with ggml itself and reads them through our declaration.
bool tensors_agree(void* base) {
    ggml::Context* (*init)(ggml::InitParams);
    void (*release)(ggml::Context*);
    ggml::Tensor* (*matrix)(ggml::Context*, int32_t, int64_t, int64_t);
    ggml::Tensor* (*product)(ggml::Context*, ggml::Tensor*, ggml::Tensor*);
    ggml::Tensor* (*view)(ggml::Context*, ggml::Tensor*, int64_t, size_t);
    ggml::Tensor* (*set_name)(ggml::Tensor*, const char*);
    void (*set_output)(ggml::Tensor*);
    if (!find(base, "ggml_init", init) || !find(base, "ggml_free", release) ||
        !find(base, "ggml_new_tensor_2d", matrix) || !find(base, "ggml_mul_mat", product) ||
        !find(base, "ggml_view_1d", view) || !find(base, "ggml_set_name", set_name) ||
        !find(base, "ggml_set_output", set_output)) {
        return false;
    }
    ggml::Context* context = init({1 << 16, nullptr, true});
    if (!context) return false;
    ggml::Tensor* a = set_name(matrix(context, ggml::kTypeF32, 64, 5), "herd");
    ggml::Tensor* b = matrix(context, ggml::kTypeF32, 64, 3);
    ggml::Tensor* c = product(context, a, b);
    ggml::Tensor* d = view(context, a, 7, 32);
    set_output(b);
    const bool agree = a->type == ggml::kTypeF32 && a->ne[0] == 64 && a->ne[1] == 5 && a->ne[3] == 1 &&
                       a->nb[1] == 256 && a->op == g_api.op_none && !std::strcmp(a->name, "herd") &&
                       c->op == g_api.op_mul_mat && c->src[0] == a && c->src[1] == b && !c->src[2] &&
                       c->ne[0] == 5 && c->ne[1] == 3 && d->view_src == a && d->view_offs == 32 &&
                       !a->data && !a->extra && (b->flags & ggml::kFlagOutput) && !(a->flags & ggml::kFlagOutput);
    release(context);
    return agree;
}

}  // namespace

bool connect_to_ggml(std::string& reason) {
    const Libraries libraries = find_libraries();
    if (!find_functions(libraries, reason) || !known_version(reason) || !find_operations(reason)) return false;
    if (!tensors_agree(libraries.base)) {
        reason = "tensors of this ggml are laid out differently";
        return false;
    }
    find_openmp(libraries.cpu);
    return true;
}

const Api& api() { return g_api; }

}  // namespace herd
