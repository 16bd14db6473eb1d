// The part of ggml's binary interface that this plugin uses, declared anew.
//
// Sources of the facts: ggml.h, ggml-backend.h and ggml-backend-impl.h of llama.cpp, backend API
// version 2. The last of them is not installed beside the library, so a plugin must bring its own
// declarations; declaring the rest as well lets this package be built without any llama.cpp.
// ggml_api.cpp checks at load time that the running ggml agrees with what stands here.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ggml {

constexpr int kBackendApiVersion = 2;
constexpr int kMaxDims = 4;
constexpr int kMaxSources = 10;
constexpr int kMaxName = 64;
constexpr int kMaxOpParams = 64 / sizeof(int32_t);

// Numbers of the GGUF file format, which do not change.
enum Type : int32_t {
    kTypeF32 = 0,
    kTypeF16 = 1,
    kTypeQ4_0 = 2,
    kTypeQ8_0 = 8,
    kTypeQ4_K = 12,
    kTypeQ5_K = 13,
    kTypeQ6_K = 14,
    kTypeIQ4_XS = 23,
    kTypeI32 = 26,
    kTypeI64 = 27,
    kTypeBF16 = 30,
};

enum Status : int32_t { kStatusAborted = 1, kStatusSuccess = 0, kStatusFailed = -1, kStatusNoMemory = -2 };

enum LogLevel : int32_t { kLogInfo = 2, kLogWarning = 3, kLogError = 4 };

enum DeviceType : int32_t { kDeviceCpu = 0, kDeviceAccelerator = 3 };

constexpr int32_t kFlagOutput = 2;    // the caller will read it
constexpr int32_t kFlagCompute = 16;  // the node is to be computed

struct Backend;
struct Buffer;
struct BufferType;
struct Context;
struct Device;
struct Graph;
struct Registry;

struct Tensor {
    int32_t type;
    Buffer* buffer;
    int64_t ne[kMaxDims];  // elements
    size_t nb[kMaxDims];   // strides in bytes
    int32_t op;
    int32_t op_params[kMaxOpParams];
    int32_t flags;
    Tensor* src[kMaxSources];
    Tensor* view_src;
    size_t view_offs;
    void* data;
    char name[kMaxName];
    void* extra;
    char padding[8];
};

struct InitParams {
    size_t mem_size;
    void* mem_buffer;
    bool no_alloc;
};

struct BufferTypeInterface {
    const char* (*get_name)(BufferType*);
    Buffer* (*alloc_buffer)(BufferType*, size_t);
    size_t (*get_alignment)(BufferType*);
    size_t (*get_max_size)(BufferType*);
    size_t (*get_alloc_size)(BufferType*, const Tensor*);
    bool (*is_host)(BufferType*);
};

struct BufferType {
    BufferTypeInterface iface;
    Device* device;
    void* context;
};

struct BufferInterface {
    void (*free_buffer)(Buffer*);
    void* (*get_base)(Buffer*);
    Status (*init_tensor)(Buffer*, Tensor*);
    void (*memset_tensor)(Buffer*, Tensor*, uint8_t, size_t, size_t);
    void (*set_tensor)(Buffer*, Tensor*, const void*, size_t, size_t);
    void (*get_tensor)(Buffer*, const Tensor*, void*, size_t, size_t);
    void (*set_tensor_2d)(Buffer*, Tensor*, const void*, size_t, size_t, size_t, size_t, size_t);
    void (*get_tensor_2d)(Buffer*, const Tensor*, void*, size_t, size_t, size_t, size_t, size_t);
    bool (*cpy_tensor)(Buffer*, const Tensor*, Tensor*);
    void (*clear)(Buffer*, uint8_t);
    void (*reset)(Buffer*);
};

struct Buffer {
    BufferInterface iface;
    BufferType* buft;
    void* context;
    size_t size;
    int32_t usage;
};

struct BackendInterface {
    const char* (*get_name)(Backend*);
    void (*free)(Backend*);
    void* asynchronous[5];  // set, get, 2-d set, 2-d get, copy: none here
    void (*synchronize)(Backend*);
    void* plans[4];  // unused by ggml itself
    Status (*graph_compute)(Backend*, Graph*);
    void* events[2];
    void* graph_optimize;
};

struct Backend {
    const uint8_t (*guid)[16];
    BackendInterface iface;
    Device* device;
    void* context;
};

struct DeviceProperties {
    const char* name;
    const char* description;
    size_t memory_free;
    size_t memory_total;
    DeviceType type;
    const char* device_id;
    bool async;
    bool host_buffer;
    bool buffer_from_host_ptr;
    bool events;
    bool mmap_support;
};

struct DeviceInterface {
    const char* (*get_name)(Device*);
    const char* (*get_description)(Device*);
    void (*get_memory)(Device*, size_t* free, size_t* total);
    DeviceType (*get_type)(Device*);
    void (*get_props)(Device*, DeviceProperties*);
    Backend* (*init_backend)(Device*, const char*);
    BufferType* (*get_buffer_type)(Device*);
    BufferType* (*get_host_buffer_type)(Device*);
    Buffer* (*buffer_from_host_ptr)(Device*, void*, size_t, size_t);
    bool (*supports_op)(Device*, const Tensor*);
    bool (*supports_buft)(Device*, BufferType*);
    bool (*offload_op)(Device*, const Tensor*);
    void* events[3];
};

struct Device {
    DeviceInterface iface;
    Registry* reg;
    void* context;
};

struct RegistryInterface {
    const char* (*get_name)(Registry*);
    size_t (*get_device_count)(Registry*);
    Device* (*get_device)(Registry*, size_t);
    void* (*get_proc_address)(Registry*, const char*);
};

struct Registry {
    int api_version;
    RegistryInterface iface;
    void* context;
};

// From ggml-cpu.h: what the CPU backend itself multiplies with, the reference of the self-test.
struct CpuTypeTraits {
    void (*from_float)(const float*, void*, int64_t);
    void (*vec_dot)(int n, float* s, size_t bs, const void* x, size_t bx, const void* y, size_t by, int nrc);
    int32_t vec_dot_type;
    int64_t n_rows;
};

}  // namespace ggml
