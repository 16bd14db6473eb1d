// FLASH_ATTN_EXT for few tokens or few cells, these of 16-bit floats: the attention of decoding.
#pragma once

#include "task.h"

namespace herd {

bool is_attention(const ggml::Tensor& node);

// False if the node is none or anything about it is not as understood here.
bool attention_task(const ggml::Tensor& node, Task& task);

}  // namespace herd
