// Nodes of a graph that this backend computes, and the products they consist of.
#pragma once

#include "driver.h"
#include "ggml_abi.h"

namespace herd {

// MUL_MAT and MUL_MAT_ID with packed weights and 32-bit float activations.
bool is_supported_product(const ggml::Tensor& node);

// Whether the numbers of the experts that a supported node uses are those of experts.
bool experts_exist(const ggml::Tensor& node);

// The products of a supported node. One for each matrix, or for each expert that is asked for.
std::vector<Product> products_of(const ggml::Tensor& node);

// Whether a step for `node` may reuse the quantised activations of a step for `before`.
bool shares_activations(const ggml::Tensor& node, const ggml::Tensor& before);

}  // namespace herd
