#include "plan.h"

#include "attention.h"
#include "elementwise.h"
#include "ggml_api.h"
#include "operations.h"
#include "rope.h"

namespace herd {
namespace {

bool is_view(const ggml::Tensor& node) {
    return node.op == api().op_none || node.op == api().op_reshape || node.op == api().op_view ||
           node.op == api().op_permute || node.op == api().op_transpose;
}

bool find_task(const ggml::Tensor& node, Task& task) {
    return elementwise_task(node, task) || rope_task(node, task) || attention_task(node, task);
}

// ---- what is taken

// How far back a product is looked for: from the norm before the next product it is five where
// norms follow products as well.
constexpr int kFar = 8;

const ggml::Tensor& viewed(const ggml::Tensor& tensor) {
    const ggml::Tensor* whole = &tensor;
    while (is_view(*whole) && whole->src[0]) whole = whole->src[0];
    return *whole;
}

// Whether the node is a product, or computed from one by operations that are taken too. Alone they
// are left to ggml-cpu: a model without packed weights must not be torn into pieces.
bool follows_product(const ggml::Tensor& node, int far) {
    if (is_supported_product(node)) return true;
    Task task;
    if (far == 0 || !find_task(node, task)) return false;
    for (const ggml::Tensor* source : node.src) {
        if (source && follows_product(viewed(*source), far - 1)) return true;
    }
    return false;
}

// ---- dependencies

// Memory that a step touches. Parts are what its units touch; 0: any unit may touch any place.
struct Access {
    const char *begin, *end;
    size_t part;
    bool written;
};

size_t part_bytes(const ggml::Tensor& tensor, int64_t n_units) {
    const bool regular = tensor.nb[1] >= tensor.ne[0] * tensor.nb[0] && tensor.nb[2] == tensor.ne[1] * tensor.nb[1] &&
                         tensor.nb[3] == tensor.ne[2] * tensor.nb[2];
    return regular && n_rows(tensor) % n_units == 0 ? n_rows(tensor) / n_units * tensor.nb[1] : 0;
}

Access access(const ggml::Tensor& tensor, size_t part, bool written) {
    const char* begin = static_cast<const char*>(tensor.data);
    return {begin, begin + api().nbytes(&tensor), part, written};
}

bool conflict(const Access& a, const Access& b, bool same_units) {
    if ((!a.written && !b.written) || a.end <= b.begin || b.end <= a.begin) return false;
    const bool same_parts = same_units && a.begin == b.begin && a.part == b.part && a.part != 0;
    return !same_parts;
}

bool conflict(const std::vector<Access>& some, const std::vector<Access>& others, bool same_units) {
    for (const Access& a : some) {
        for (const Access& b : others) {
            if (conflict(a, b, same_units)) return true;
        }
    }
    return false;
}

std::vector<Access> accesses(const Task& task) {
    const auto part = [&](const ggml::Tensor& tensor) { return task.by_parts ? part_bytes(tensor, task.n_units) : 0; };
    std::vector<Access> all{access(*task.node, part(*task.node), true)};
    for (const ggml::Tensor* source : task.node->src) {
        if (source) all.push_back(access(*source, part(*source), false));
    }
    return all;
}

// ---- steps

class Planner {
  public:
    explicit Planner(std::vector<Step>& steps) : steps_(steps) {}

    void add_product(const ggml::Tensor& node) {
        end_chain();
        const std::vector<Access> written{access(node, 0, true)}, read{access(*node.src[1], 0, false)};
        const bool same = product_ && shares_activations(node, *product_);
        // Quantising overwrites what the product before reads. After it all threads wait anyway.
        const bool wait = same ? conflict(written, open_, false) : multiplying_ || conflict(read, open_, false);
        if (wait || !same) open_.clear();
        open_.insert(open_.end(), written.begin(), written.end());
        multiplying_ = true;
        product_ = &node;
        steps_.push_back({products_of(node), {}, same, wait});
    }

    void add_task(const Task& task) {
        const std::vector<Access> touched = accesses(task);
        if (!goes_on(task, touched)) {
            end_chain();
            const bool wait = conflict(touched, open_, false);
            if (wait) {
                open_.clear();
                multiplying_ = false;
            }
            steps_.push_back({{}, {}, false, wait});
        }
        if (product_ && conflict(touched, {access(*product_->src[1], 0, false)}, false)) product_ = nullptr;
        steps_.back().tasks.push_back(task);
        chain_.insert(chain_.end(), touched.begin(), touched.end());
    }

  private:
    // Whether a thread may do the task right after those of the last step, part for part.
    bool goes_on(const Task& task, const std::vector<Access>& touched) const {
        if (steps_.empty() || steps_.back().tasks.empty()) return false;
        const Task& before = steps_.back().tasks.back();
        return task.by_parts && before.by_parts && task.n_units == before.n_units && !conflict(touched, chain_, true) &&
               !conflict(touched, open_, false);
    }

    void end_chain() {
        open_.insert(open_.end(), chain_.begin(), chain_.end());
        chain_.clear();
    }

    std::vector<Step>& steps_;
    std::vector<Access> open_;   // of steps since all threads waited for each other
    std::vector<Access> chain_;  // of the last step if it has tasks
    bool multiplying_ = false;   // a product since then
    const ggml::Tensor* product_ = nullptr;  // the last one, while its activations are as it found them
};

}  // namespace

bool takes(const ggml::Tensor& node) { return is_view(node) || follows_product(node, kFar); }

const ggml::Tensor* plan_steps(const std::vector<const ggml::Tensor*>& nodes, std::vector<Step>& steps) {
    Planner planner(steps);
    for (const ggml::Tensor* pointer : nodes) {
        const ggml::Tensor& node = *pointer;
        // Nodes may be there only to keep the graph's shape, and batches may be empty.
        if (is_view(node) || !(node.flags & ggml::kFlagCompute) || is_empty(node)) continue;
        Task task;
        if (is_supported_product(node) && experts_exist(node)) {
            planner.add_product(node);
        } else if (find_task(node, task) && rows_exist(node)) {
            if (task.n_units > 0) planner.add_task(task);
        } else {
            return &node;
        }
    }
    return nullptr;
}

}  // namespace herd
