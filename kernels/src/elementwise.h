// Operations on rows of floats that lie between products: norms, sums, gates, moving rows.
#pragma once

#include "task.h"

namespace herd {

// False if the node is none of them or anything about it is not as understood here.
bool elementwise_task(const ggml::Tensor& node, Task& task);

// Whether the row numbers of a task that moves rows are those of rows. They are known before a graph
// runs: what is computed here are floats.
bool rows_exist(const ggml::Tensor& node);

}  // namespace herd
