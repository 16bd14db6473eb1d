// Products of a kernel family against those of ggml-cpu, before any model depends on them.
#pragma once

#include "kernel.h"

namespace herd {

// Every number of tokens, both kinds of kernels, and a row group that is not full.
bool agrees_with_ggml(const Format& format, const Family& family);

}  // namespace herd
