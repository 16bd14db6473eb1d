// Rotary position embeddings, of the two plain kinds ("normal" and "neox").
#pragma once

#include "task.h"

namespace herd {

// False if the node is none or anything about it is not as understood here.
bool rope_task(const ggml::Tensor& node, Task& task);

}  // namespace herd
