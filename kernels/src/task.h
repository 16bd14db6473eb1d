// Work that is no matrix product: a node of the graph, cut into units that do not depend on each other.
#pragma once

#include "tensor.h"

namespace herd {

struct Task {
    const ggml::Tensor* node;
    int64_t n_units;
    void (*compute)(const ggml::Tensor& node, int64_t unit);
    // Whether unit u reads and writes part u of each tensor and nothing else of those that are
    // written; otherwise any place of them.
    bool by_parts;
};

}  // namespace herd
