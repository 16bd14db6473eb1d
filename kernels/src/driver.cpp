#include "driver.h"

#include <algorithm>
#include <atomic>
#include <new>

namespace herd {
namespace {

// Tuned on 2 MB of second-level cache a core: a panel's expanded weights and the activations that
// meet them stay there together.
constexpr int64_t kPanelK = 2048;             // k of a panel
constexpr int64_t kPanelGroups = 8;           // row groups that are expanded together
constexpr size_t kPanelActivations = 1200 << 10;
// Each thread has a stretch of a step's products, in chunks of some row groups; one that is through
// takes chunks of the others'. Few tokens are bound by memory, whose share of a thread is not even.
constexpr int kChunksOfFew = 32, kChunksOfMany = 8;

// The tokens of a product in cells of almost equal size: two of 8 rather than 12 and 4.
struct Cells {
    int n, base, extra;
    Cells(int n_tokens, int most) : n((n_tokens + most - 1) / most), base(n_tokens / n), extra(n_tokens % n) {}
    int start(int cell) const { return cell * base + std::min(cell, extra); }
    int count(int cell) const { return base + (cell < extra); }
};

// A product while it runs.
struct Work {
    const Product* product;
    Cells cells;
    size_t cell_offset;  // where its quantised activations are
    int64_t first_unit;  // cells x blocks, numbered over the step: quantising
    int64_t first_chunk; // pieces of row groups, numbered over the step: multiplying
    int64_t chunk_groups;

    explicit Work(const Product& p) : product(&p), cells(p.n_tokens(), p.family->max_tokens) {}

    int64_t n_units() const { return cells.n * product->blocks(); }
    int64_t n_chunks() const { return (product->groups() + chunk_groups - 1) / chunk_groups; }
    size_t bytes_per_token() const { return product->format->activations.bytes_per_token(); }
    size_t bytes() const { return product->n_tokens() * product->blocks() * bytes_per_token(); }
    // Cell and block as an offset; a cell's blocks follow each other.
    size_t offset(int cell, int64_t block) const {
        return cell_offset + (cells.start(cell) * product->blocks() + cells.count(cell) * block) * bytes_per_token();
    }
};

struct StepWork {
    std::vector<Work> works;
    int64_t n_units = 0, n_chunks = 0;
    size_t bytes = 0;
};

// How many chunks of a thread's stretch have been taken, by itself or by others.
struct alignas(kLine) Taken {
    std::atomic<int64_t> n{0};
};

void plan(const Step& step, int n_threads, StepWork& out) {
    for (const Product& product : step.products) {
        if (product.x.empty()) continue;
        Work work(product);
        const int64_t chunks = (product.n_tokens() <= kFewTokens ? kChunksOfFew : kChunksOfMany) * n_threads;
        work.chunk_groups = std::max<int64_t>(1, (product.groups() + chunks - 1) / chunks);
        work.cell_offset = out.bytes;
        work.first_unit = out.n_units;
        work.first_chunk = out.n_chunks;
        out.bytes += (work.bytes() + kLine - 1) / kLine * kLine;
        out.n_units += work.n_units();
        out.n_chunks += work.n_chunks();
        out.works.push_back(work);
    }
}

void quantise(const StepWork& step, const Member& member, uint8_t* cells) {
    const int64_t begin = step.n_units * member.index / member.size;
    const int64_t end = step.n_units * (member.index + 1) / member.size;
    for (const Work& work : step.works) {
        const int64_t first = std::max(begin, work.first_unit), last = std::min(end, work.first_unit + work.n_units());
        const Product& product = *work.product;
        for (int64_t unit = first; unit < last; ++unit) {
            const int cell = static_cast<int>((unit - work.first_unit) / product.blocks());
            const int64_t block = (unit - work.first_unit) % product.blocks();
            quantise_cell(product.format->activations, product.x.data() + work.cells.start(cell),
                          work.cells.count(cell), block * product.format->block, cells + work.offset(cell, block));
        }
    }
}

// The tile of one row group and one cell, from `block` on.
Tile tile_at(const Work& work, const uint8_t* cells, int64_t group, int cell, int64_t block, int64_t n_blocks) {
    const Product& product = *work.product;
    Tile tile{};
    tile.weights = product.weights + group * product.group_bytes() + block * product.format->packed_bytes;
    tile.activations = cells + work.offset(cell, block);
    tile.out = product.out.data() + work.cells.start(cell);
    tile.first_row = group * kRows;
    tile.n_rows = static_cast<int>(std::min<int64_t>(kRows, product.n_rows - tile.first_row));
    tile.n_blocks = static_cast<int>(n_blocks);
    tile.accumulate = block > 0;
    return tile;
}

// Few tokens: each row group streams through once, its weights stay cached for the other cells.
void multiply_few(const Work& work, const uint8_t* cells, int64_t first, int64_t last) {
    for (int64_t group = first; group < last; ++group) {
        for (int cell = 0; cell < work.cells.n; ++cell) {
            work.product->family->packed[work.cells.count(cell) - 1](
                tile_at(work, cells, group, cell, 0, work.product->blocks()));
        }
    }
}

// Some row groups times some cells over one panel of k.
struct Panel {
    int64_t first_group, last_group;
    int first_cell, last_cell;
    int64_t block, n_blocks;
};

void multiply_panel(const Work& work, const uint8_t* cells, const Panel& at, uint8_t* lines) {
    const Product& product = *work.product;
    const size_t group_lines = at.n_blocks * product.format->line_bytes;
    for (int64_t group = at.first_group; group < at.last_group; ++group) {
        const Tile tile = tile_at(work, cells, group, 0, at.block, at.n_blocks);
        product.family->expand(tile.weights, tile.n_blocks, lines + (group - at.first_group) * group_lines);
    }
    for (int cell = at.first_cell; cell < at.last_cell; ++cell) {
        const Kernel kernel = product.family->lines[work.cells.count(cell) - 1];
        for (int64_t group = at.first_group; group < at.last_group; ++group) {
            Tile tile = tile_at(work, cells, group, cell, at.block, at.n_blocks);
            tile.lines = lines + (group - at.first_group) * group_lines;
            kernel(tile);
        }
    }
}

void multiply_many(const Work& work, const uint8_t* cells, int64_t first, int64_t last, uint8_t* lines) {
    const Product& product = *work.product;
    const int64_t panel_blocks = kPanelK / product.format->block;
    const size_t panel_cell = panel_blocks * work.bytes_per_token() * work.cells.count(0);
    const int chunk_cells = std::max<int>(1, kPanelActivations / panel_cell);
    const int n_chunks = (work.cells.n + chunk_cells - 1) / chunk_cells;
    for (int chunk = 0; chunk < n_chunks; ++chunk) {
        const int first_cell = work.cells.n * chunk / n_chunks, last_cell = work.cells.n * (chunk + 1) / n_chunks;
        for (int64_t block = 0; block < product.blocks(); block += panel_blocks) {
            const int64_t n_blocks = std::min(panel_blocks, product.blocks() - block);
            for (int64_t group = first; group < last; group += kPanelGroups) {
                const Panel at{group, std::min(last, group + kPanelGroups), first_cell, last_cell, block, n_blocks};
                multiply_panel(work, cells, at, lines);
            }
        }
    }
}

void multiply_chunk(const StepWork& step, int64_t chunk, const uint8_t* cells, uint8_t* lines) {
    const auto after = std::upper_bound(step.works.begin(), step.works.end(), chunk,
                                        [](int64_t number, const Work& work) { return number < work.first_chunk; });
    const Work& work = *(after - 1);
    const int64_t first = (chunk - work.first_chunk) * work.chunk_groups;
    const int64_t last = std::min(first + work.chunk_groups, work.product->groups());
    if (work.product->n_tokens() <= kFewTokens) {
        multiply_few(work, cells, first, last);
    } else {
        multiply_many(work, cells, first, last, lines);
    }
}

// `taken` has a counter for each thread's stretch.
template <class Body>
void for_chunks(int64_t n_chunks, Taken* taken, const Member& member, Body&& body) {
    for (int i = 0; i < member.size; ++i) {
        const int owner = (member.index + i) % member.size;
        const int64_t first = n_chunks * owner / member.size, last = n_chunks * (owner + 1) / member.size;
        for (int64_t chunk; (chunk = first + taken[owner].n.fetch_add(1, std::memory_order_relaxed)) < last;) body(chunk);
    }
}

void run_tasks(const std::vector<Task>& tasks, const Member& member) {
    if (tasks.empty()) return;
    const int64_t first = tasks[0].n_units * member.index / member.size;
    const int64_t last = tasks[0].n_units * (member.index + 1) / member.size;
    for (int64_t unit = first; unit < last; ++unit) {
        for (const Task& task : tasks) task.compute(*task.node, unit);
    }
}

}  // namespace

void AlignedBytes::reserve(size_t size) {
    if (size <= size_) return;
    bytes_.reset();
    size_ = (size + 4095) / 4096 * 4096;
    bytes_.reset(static_cast<uint8_t*>(std::aligned_alloc(4096, size_)));
    if (!bytes_) {
        size_ = 0;
        throw std::bad_alloc();
    }
}

bool Driver::run(const std::vector<Step>& steps, int n_threads, Abort abort, void* abort_data) {
    std::vector<StepWork> work(steps.size());
    std::vector<Taken> taken(steps.size() * n_threads);
    size_t bytes = 0;
    for (size_t i = 0; i < steps.size(); ++i) {
        plan(steps[i], n_threads, work[i]);
        bytes = std::max(bytes, work[i].bytes);
    }
    cells_.reserve(bytes);
    if (lines_.size() < static_cast<size_t>(n_threads)) lines_.resize(n_threads);
    for (AlignedBytes& lines : lines_) lines.reserve(kPanelGroups * kPanelK * kRows);  // a byte an element
    // The step at which the run ends. Threads ask only where all have just waited, after which the
    // first may be steps ahead: what it decides there counts from there on.
    std::atomic<size_t> end{steps.size()};
    in_parallel(n_threads, [&](const Member& member) {
        for (size_t i = 0; i < steps.size(); ++i) {
            const Step& step = steps[i];
            const bool quantises = !step.products.empty() && !step.same_activations;
            if (quantises && member.index == 0 && abort && end.load() == steps.size() && abort(abort_data)) end.store(i);
            if (step.wait && i > 0) member.wait();
            if (quantises) {
                quantise(work[i], member, cells_.data());
                member.wait();
                if (end.load() <= i) return;
            }
            for_chunks(work[i].n_chunks, &taken[i * n_threads], member, [&](int64_t chunk) {
                multiply_chunk(work[i], chunk, cells_.data(), lines_[member.index].data());
            });
            run_tasks(step.tasks, member);
        }
    });
    return end.load() == steps.size();
}

}  // namespace herd
