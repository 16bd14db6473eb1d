// The buffer type that holds packed weights.
#pragma once

#include "ggml_abi.h"
#include "packed_matrix.h"

namespace herd {

ggml::BufferType* packed_buffer_type();

// Once, before anything else here: which device the buffer type belongs to.
void init_buffer_type(ggml::Device* device);

// The packed form of a tensor that lies, whole, in a packed buffer and has kernels; else false.
bool packed_weights(const ggml::Tensor& tensor, PackedShape& shape);

// Whether the buffer is the empty one by which llama.cpp asks, while loading, where a tensor goes.
bool is_probe(const ggml::Buffer& buffer);

// Bytes of all packed buffers of the process.
size_t packed_bytes_in_use();

}  // namespace herd
