// From whole matrix products to kernels: quantising, blocking for the caches, sharing the work.
#pragma once

#include <cstdlib>
#include <memory>
#include <vector>

#include "kernel.h"
#include "task.h"
#include "threads.h"

namespace herd {

// Up to so many tokens the weights are unpacked in registers, once for each cell; above, they are
// expanded to bytes once and reused. 36 is three cells of 12; expanding from 12 on cost a fifth of
// the speed at 16, because then nothing is computed while the weights come from memory.
constexpr int kFewTokens = 36;

// out[t][row] = sum over k of weights[row][k] * x[t][k]
struct Product {
    const Format* format;
    const Family* family;
    const uint8_t* weights;  // packed
    int64_t n_rows, k;
    std::vector<const float*> x;
    std::vector<float*> out;

    int n_tokens() const { return static_cast<int>(x.size()); }
    int64_t blocks() const { return k / format->block; }
    int64_t groups() const { return (n_rows + kRows - 1) / kRows; }
    size_t group_bytes() const { return blocks() * format->packed_bytes; }
};

// What threads do together: products that do not depend on each other, or tasks, of which a thread
// does the same units one after the other.
struct Step {
    std::vector<Product> products;
    std::vector<Task> tasks;
    // The products have the right-hand sides of the last ones before, in the same quantisation.
    bool same_activations = false;
    bool wait = true;  // until all threads are through with the steps before
};

struct Free {
    void operator()(void* p) const { std::free(p); }
};

// Memory that only grows, aligned for the kernels. Its contents do not survive growing.
class AlignedBytes {
  public:
    uint8_t* data() const { return bytes_.get(); }
    void reserve(size_t size);

  private:
    std::unique_ptr<uint8_t, Free> bytes_;
    size_t size_ = 0;
};

class Driver {
  public:
    // Asked before every step; true ends the run early with false.
    using Abort = bool (*)(void*);

    bool run(const std::vector<Step>& steps, int n_threads, Abort abort = nullptr, void* abort_data = nullptr);

  private:
    AlignedBytes cells_;
    std::vector<AlignedBytes> lines_;  // one a thread
};

}  // namespace herd
