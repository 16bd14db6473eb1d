#include "buffer.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "dispatch.h"
#include "ggml_api.h"

namespace herd {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kHugePage = 2 << 20;

ggml::BufferType g_type;
std::atomic<size_t> g_bytes{0};

// A tensor that is stored packed. Others (a LoRA's, say) may be put here too and stay as they are.
bool stored_packed(const ggml::Tensor& tensor, PackedShape& shape) {
    return !tensor.view_src && packed_shape(tensor, shape) && family_of(*shape.format);
}

// ---- tensors

// A view shares the packed bytes of its source; only the source knows how they lie.
const ggml::Tensor& root(const ggml::Tensor& tensor) { return tensor.view_src ? *tensor.view_src : tensor; }

void set_tensor(ggml::Buffer*, ggml::Tensor* tensor, const void* data, size_t offset, size_t size) {
    const ggml::Tensor& whole = root(*tensor);
    PackedShape shape;
    offset += tensor->view_offs;
    if (stored_packed(whole, shape)) {
        write_packed(shape, family_of(*shape.format)->pack, static_cast<uint8_t*>(whole.data),
                     static_cast<const uint8_t*>(data), offset, size);
    } else {
        std::memcpy(static_cast<uint8_t*>(whole.data) + offset, data, size);
    }
}

void get_tensor(ggml::Buffer*, const ggml::Tensor* tensor, void* data, size_t offset, size_t size) {
    const ggml::Tensor& whole = root(*tensor);
    PackedShape shape;
    offset += tensor->view_offs;
    if (stored_packed(whole, shape)) {
        read_packed(shape, static_cast<const uint8_t*>(whole.data), static_cast<uint8_t*>(data), offset, size);
    } else {
        std::memcpy(data, static_cast<const uint8_t*>(whole.data) + offset, size);
    }
}

void memset_tensor(ggml::Buffer* buffer, ggml::Tensor* tensor, uint8_t value, size_t offset, size_t size) {
    const std::vector<uint8_t> bytes(size, value);
    set_tensor(buffer, tensor, bytes.data(), offset, size);
}

// ---- buffers

void* buffer_base(ggml::Buffer* buffer) { return buffer->context; }

void free_buffer(ggml::Buffer* buffer) {
    g_bytes -= buffer->size;
    std::free(buffer->context);
}

void clear_buffer(ggml::Buffer* buffer, uint8_t value) { std::memset(buffer->context, value, buffer->size); }

// An empty buffer has an address as well: ggml takes null for a failure. Huge pages: weights are
// read from end to end for every token, a fifth faster than from pages of 4 KB.
void* allocate(size_t size) {
    const size_t alignment = size < kHugePage ? kAlignment : kHugePage;
    const size_t whole = std::max<size_t>(1, (size + alignment - 1) / alignment) * alignment;
    void* memory = std::aligned_alloc(alignment, whole);
    if (memory && alignment == kHugePage) madvise(memory, whole, MADV_HUGEPAGE);  // a wish: may be refused
    return memory;
}

ggml::Buffer* alloc_buffer(ggml::BufferType* type, size_t size) {
    void* memory = allocate(size);
    if (!memory) return nullptr;
    ggml::BufferInterface iface{};
    iface.free_buffer = free_buffer;
    iface.get_base = buffer_base;
    iface.memset_tensor = memset_tensor;
    iface.set_tensor = set_tensor;
    iface.get_tensor = get_tensor;
    iface.clear = clear_buffer;
    g_bytes += size;
    return api().buffer_init(type, iface, memory, size);
}

size_t alloc_size(ggml::BufferType*, const ggml::Tensor* tensor) {
    PackedShape shape;
    return stored_packed(*tensor, shape) ? shape.bytes() : api().nbytes(tensor);
}

const char* type_name(ggml::BufferType*) { return "Herd"; }
size_t type_alignment(ggml::BufferType*) { return kAlignment; }

}  // namespace

ggml::BufferType* packed_buffer_type() { return &g_type; }

void init_buffer_type(ggml::Device* device) {
    g_type.iface.get_name = type_name;
    g_type.iface.alloc_buffer = alloc_buffer;
    g_type.iface.get_alignment = type_alignment;
    g_type.iface.get_alloc_size = alloc_size;
    g_type.device = device;
}

bool packed_weights(const ggml::Tensor& tensor, PackedShape& shape) {
    return tensor.buffer && tensor.buffer->buft == &g_type && stored_packed(tensor, shape);
}

bool is_probe(const ggml::Buffer& buffer) { return buffer.size == 0; }

size_t packed_bytes_in_use() { return g_bytes; }

}  // namespace herd
