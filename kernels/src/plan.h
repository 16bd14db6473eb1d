// Which nodes of a graph this backend takes, and in what steps it computes them.
#pragma once

#include "driver.h"
#include "ggml_abi.h"

namespace herd {

// Whether a node is computed here: products with packed weights, and what follows from them.
bool takes(const ggml::Tensor& node);

// Steps that compute the nodes of a graph, which are in order. Threads wait for each other only
// where a step reads or overwrites what an earlier one may still be working on. Returns the first
// node that cannot be computed here, or null.
const ggml::Tensor* plan_steps(const std::vector<const ggml::Tensor*>& nodes, std::vector<Step>& steps);

}  // namespace herd
