// The device and backend that llama.cpp sees.
#pragma once

#include "ggml_abi.h"

namespace herd {

// The one registry entry of this plugin. Kernels must have been chosen.
ggml::Registry* registry();

}  // namespace herd
