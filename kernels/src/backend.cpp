#include "backend.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>

#include "buffer.h"
#include "dispatch.h"
#include "ggml_api.h"
#include "operations.h"
#include "plugin.h"

namespace herd {
namespace {

constexpr char kName[] = "Herd";
constexpr char kDescription[] = "llamaherd-kernels: packed matrix products";

// Two devices, of which only the first is registered. llama.cpp takes a device's default buffer
// type both for weights and for what a backend computes into: the registered device offers packed
// buffers for weights, and backends point to the second, whose results lie in plain CPU memory.
ggml::Device g_weights_device, g_compute_device;
ggml::Registry g_registry;

// ---- backend

struct Context {
    Driver driver;
    int n_threads = 1;
    Driver::Abort abort = nullptr;
    void* abort_data = nullptr;
};

Context& context_of(ggml::Backend* backend) { return *static_cast<Context*>(backend->context); }

// Nodes may be there only to keep the graph's shape, and batches may be empty.
bool to_be_computed(const ggml::Tensor& node) {
    const bool product = node.op == api().op_mul_mat || node.op == api().op_mul_mat_id;
    if (!product || !(node.flags & ggml::kFlagCompute)) return false;
    return node.ne[0] > 0 && node.ne[1] > 0 && node.ne[2] > 0 && node.ne[3] > 0;
}

std::vector<Step> steps_of(ggml::Graph* graph) {
    std::vector<Step> steps;
    const ggml::Tensor* before = nullptr;
    for (int i = 0; i < api().graph_n_nodes(graph); ++i) {
        const ggml::Tensor& node = *api().graph_node(graph, i);
        if (!to_be_computed(node)) continue;
        steps.push_back({products_of(node), before && shares_activations(node, *before)});
        before = &node;
    }
    return steps;
}

ggml::Status compute(ggml::Backend* backend, ggml::Graph* graph) {
    Context& context = context_of(backend);
    try {
        const std::vector<Step> steps = steps_of(graph);
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

ggml::Backend* init_backend(ggml::Device*, const char*) {
    static const uint8_t kGuid[16] = {0x6c, 0x6c, 0x61, 0x6d, 0x61, 0x68, 0x65, 0x72,
                                      0x64, 0x2d, 0x6b, 0x65, 0x72, 0x6e, 0x65, 0x6c};
    ggml::BackendInterface iface{};
    iface.get_name = backend_name;
    iface.free = free_backend;
    iface.graph_compute = compute;
    auto* context = new Context;
    context->n_threads = usable_cores();
    return new ggml::Backend{&kGuid, iface, &g_compute_device, context};
}

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

bool supports_op(ggml::Device*, const ggml::Tensor* node) {
    const int32_t op = node->op;
    if (op == api().op_none || op == api().op_reshape || op == api().op_view || op == api().op_permute ||
        op == api().op_transpose) {
        return true;
    }
    return is_supported_product(*node) && wanted(*node->src[0]);
}

// ---- registry

const char* registry_name(ggml::Registry*) { return kName; }
size_t device_count(ggml::Registry*) { return 1; }
ggml::Device* device_at(ggml::Registry*, size_t) { return &g_weights_device; }

void set_n_threads(ggml::Backend* backend, int n_threads) { context_of(backend).n_threads = std::max(1, n_threads); }

void set_abort_callback(ggml::Backend* backend, Driver::Abort abort, void* data) {
    context_of(backend).abort = abort;
    context_of(backend).abort_data = data;
}

void* proc_address(ggml::Registry*, const char* name) {
    if (!std::strcmp(name, "ggml_backend_set_n_threads")) return reinterpret_cast<void*>(set_n_threads);
    if (!std::strcmp(name, "ggml_backend_set_abort_callback")) return reinterpret_cast<void*>(set_abort_callback);
    return nullptr;
}

}  // namespace

ggml::Registry* registry() {
    ggml::DeviceInterface device{};
    device.get_name = device_name;
    device.get_description = device_description;
    device.get_memory = device_memory;
    device.get_type = device_type;
    device.get_props = device_properties;
    device.init_backend = init_backend;
    device.get_buffer_type = weights_buffer_type;
    device.supports_op = supports_op;
    device.supports_buft = supports_buffer_type;
    g_weights_device = {device, &g_registry, nullptr};
    device.get_buffer_type = compute_buffer_type;
    g_compute_device = {device, &g_registry, nullptr};
    init_buffer_type(&g_weights_device);
    g_registry = {ggml::kBackendApiVersion, {registry_name, device_count, device_at, proc_address}, nullptr};
    return &g_registry;
}

}  // namespace herd
