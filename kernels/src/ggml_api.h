// ggml's functions as found in the running process.
#pragma once

#include <string>

#include "ggml_abi.h"

namespace herd {

// Pointers into the ggml that loaded this plugin. They are looked up instead of linked: a program
// may hold ggml under several names, and linking would bring in a second one.
struct Api {
    const char* (*version)();
    const char* (*op_name)(int32_t);
    const char* (*glu_op_name)(int32_t);
    size_t (*row_size)(int32_t type, int64_t ne);
    size_t (*nbytes)(const ggml::Tensor*);
    int (*graph_n_nodes)(ggml::Graph*);
    ggml::Tensor* (*graph_node)(ggml::Graph*, int);
    ggml::Buffer* (*buffer_init)(ggml::BufferType*, ggml::BufferInterface, void*, size_t);
    bool (*buft_is_host)(ggml::BufferType*);
    ggml::BufferType* (*cpu_buffer_type)();
    void (*log)(int32_t level, const char* format, ...);
    const ggml::CpuTypeTraits* (*cpu_type_traits)(int32_t);

    int32_t op_none, op_reshape, op_view, op_permute, op_transpose, op_mul_mat, op_mul_mat_id;
    int32_t op_add, op_mul, op_scale, op_rms_norm, op_rope, op_get_rows, op_set_rows, op_glu, op_flash_attn_ext;
    int32_t glu_swiglu;  // in op_params[0] of op_glu

    // The OpenMP of ggml-cpu itself; all three null where it was built without.
    void (*omp_parallel)(void (*body)(void*), void* data, unsigned n_threads, unsigned flags);
    int (*omp_thread_num)();
    int (*omp_num_threads)();
};

// Fills api() once. False with a reason if this ggml is not one that the plugin knows.
bool connect_to_ggml(std::string& reason);

const Api& api();

}  // namespace herd
