#include "backend.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>

#include "attention.h"
#include "buffer.h"
#include "dispatch.h"
#include "ggml_api.h"
#include "operations.h"
#include "plan.h"
#include "plugin.h"

namespace herd {
namespace {

constexpr char kName[] = "Herd";
constexpr char kDescription[] = "llamaherd-kernels: packed matrix products";

// Two devices, of which only the first is registered. llama.cpp takes a device's default buffer
// type both for weights and for what a backend computes into: the registered device offers packed
// buffers for weights, and each backend brings a second, whose results lie in plain CPU memory.
ggml::Device g_weights_device;
ggml::Registry g_registry;

// ---- backend

struct Context {
    ggml::Device device;
    bool has_computed = false;
    int n_abort_callbacks = 0;  // that were set
    Driver driver;
    int n_threads = 1;
    Driver::Abort abort = nullptr;
    void* abort_data = nullptr;
};

Context& context_of(ggml::Backend* backend) { return *static_cast<Context*>(backend->context); }

std::vector<const ggml::Tensor*> nodes_of(ggml::Graph* graph) {
    std::vector<const ggml::Tensor*> nodes(api().graph_n_nodes(graph));
    for (size_t i = 0; i < nodes.size(); ++i) nodes[i] = api().graph_node(graph, static_cast<int>(i));
    return nodes;
}

ggml::Status compute(ggml::Backend* backend, ggml::Graph* graph) {
    Context& context = context_of(backend);
    context.has_computed = true;
    try {
        std::vector<Step> steps;
        if (const ggml::Tensor* unknown = plan_steps(nodes_of(graph), steps)) {
            api().log(ggml::kLogError, "llamaherd-kernels: cannot compute %s (%s)\n", unknown->name,
                      api().op_name(unknown->op));
            return ggml::kStatusFailed;
        }
        const bool finished = context.driver.run(steps, context.n_threads, context.abort, context.abort_data);
        return finished ? ggml::kStatusSuccess : ggml::kStatusAborted;
    } catch (const std::bad_alloc&) {
        return ggml::kStatusNoMemory;
    }
}

void free_backend(ggml::Backend* backend) {
    delete static_cast<Context*>(backend->context);
    delete backend;
}

const char* backend_name(ggml::Backend*) { return kName; }

// ---- device

const char* device_name(ggml::Device*) { return kName; }
const char* device_description(ggml::Device*) { return kDescription; }
void device_memory(ggml::Device*, size_t* free, size_t* total) { *free = *total = 0; }  // the CPU's
ggml::DeviceType device_type(ggml::Device*) { return ggml::kDeviceAccelerator; }

void device_properties(ggml::Device*, ggml::DeviceProperties* properties) {
    *properties = {};
    properties->name = kName;
    properties->description = kDescription;
    properties->type = ggml::kDeviceAccelerator;
    properties->mmap_support = true;
}

ggml::BufferType* weights_buffer_type(ggml::Device*) { return packed_buffer_type(); }
ggml::BufferType* compute_buffer_type(ggml::Device*) { return api().cpu_buffer_type(); }

bool supports_buffer_type(ggml::Device*, ggml::BufferType* type) {
    return type == packed_buffer_type() || api().buft_is_host(type);
}

// Whether the weights of a probing node may be packed: see plugin.h for the two ways to say no.
bool wanted(const ggml::Tensor& weights) {
    return !is_probe(*weights.buffer) || (packing_enabled() && !kept_unpacked(weights.name));
}

// While a context is made, llama.cpp asks where attention would be computed, and turns flash
// attention off if that is not the device of the cache. It has set an abort callback then, so a
// second one shows that the context is there; for who sets none, a graph that was computed does.
bool is_made(const Context& context) { return context.has_computed || context.n_abort_callbacks > 1; }

bool supports_op(ggml::Device* device, const ggml::Tensor* node) {
    const auto* context = static_cast<const Context*>(device->context);
    if (is_attention(*node) && !(context && is_made(*context))) return false;
    return takes(*node) && (!is_supported_product(*node) || wanted(*node->src[0]));
}

ggml::Backend* init_backend(ggml::Device*, const char*);

ggml::Device device(ggml::BufferType* (*buffer_type)(ggml::Device*)) {
    ggml::DeviceInterface iface{};
    iface.get_name = device_name;
    iface.get_description = device_description;
    iface.get_memory = device_memory;
    iface.get_type = device_type;
    iface.get_props = device_properties;
    iface.init_backend = init_backend;
    iface.get_buffer_type = buffer_type;
    iface.supports_op = supports_op;
    iface.supports_buft = supports_buffer_type;
    return {iface, &g_registry, nullptr};
}

ggml::Backend* init_backend(ggml::Device*, const char*) {
    static const uint8_t kGuid[16] = {0x6c, 0x6c, 0x61, 0x6d, 0x61, 0x68, 0x65, 0x72,
                                      0x64, 0x2d, 0x6b, 0x65, 0x72, 0x6e, 0x65, 0x6c};
    ggml::BackendInterface iface{};
    iface.get_name = backend_name;
    iface.free = free_backend;
    iface.graph_compute = compute;
    auto* context = new Context;
    context->device = device(compute_buffer_type);
    context->device.context = context;
    context->n_threads = usable_cores();
    return new ggml::Backend{&kGuid, iface, &context->device, context};
}

// ---- registry

const char* registry_name(ggml::Registry*) { return kName; }
size_t device_count(ggml::Registry*) { return 1; }
ggml::Device* device_at(ggml::Registry*, size_t) { return &g_weights_device; }

void set_n_threads(ggml::Backend* backend, int n_threads) { context_of(backend).n_threads = std::max(1, n_threads); }

void set_abort_callback(ggml::Backend* backend, Driver::Abort abort, void* data) {
    context_of(backend).abort = abort;
    context_of(backend).abort_data = data;
    ++context_of(backend).n_abort_callbacks;
}

void* proc_address(ggml::Registry*, const char* name) {
    if (!std::strcmp(name, "ggml_backend_set_n_threads")) return reinterpret_cast<void*>(set_n_threads);
    if (!std::strcmp(name, "ggml_backend_set_abort_callback")) return reinterpret_cast<void*>(set_abort_callback);
    return nullptr;
}

}  // namespace

ggml::Registry* registry() {
    g_weights_device = device(weights_buffer_type);
    init_buffer_type(&g_weights_device);
    g_registry = {ggml::kBackendApiVersion, {registry_name, device_count, device_at, proc_address}, nullptr};
    return &g_registry;
}

}  // namespace herd
