// What programs can ask of the plugin and tell it. The C functions are in plugin.cpp.
#pragma once

namespace herd {

// Whether models that the calling thread loads may have packed weights. llama.cpp decides about
// all tensors of a model on the thread that loads it.
bool packing_enabled();

// Whether the user wants this tensor left as it is: LLAMAHERD_KERNELS_OUTPUT=0 names the output
// matrix, which is large and, where it is tied to the token embeddings, otherwise exists twice.
bool kept_unpacked(const char* tensor_name);

}  // namespace herd
