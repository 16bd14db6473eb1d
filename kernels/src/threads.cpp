#include "threads.h"

#include <immintrin.h>
#include <sched.h>

#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "ggml_api.h"

namespace herd {
namespace {

constexpr int kSpins = 4000;  // some 0.1 ms; then whoever holds the core up should have it

struct Region {
    void (*body)(void*, const Member&);
    void* data;
    Barrier barrier;
};

void openmp_body(void* pointer) {
    auto& region = *static_cast<Region*>(pointer);
    region.body(region.data, {api().omp_thread_num(), api().omp_num_threads(), &region.barrier});
}

// Threads that sleep between regions. One region at a time: a second caller waits.
class Pool {
  public:
    void run(int n_threads, Region& region) {
        std::lock_guard<std::mutex> only(in_use_);
        while (static_cast<int>(threads_.size()) < n_threads - 1) add_thread();
        {
            std::lock_guard<std::mutex> lock(mutex_);
            region_ = &region;
            size_ = n_threads;
            busy_ = n_threads - 1;
            ++generation_;
        }
        start_.notify_all();
        region.body(region.data, {0, n_threads, &region.barrier});
        std::unique_lock<std::mutex> lock(mutex_);
        done_.wait(lock, [&] { return busy_ == 0; });
    }

  private:
    void add_thread() {
        const int index = static_cast<int>(threads_.size()) + 1;
        threads_.emplace_back([this, index, seen = generation_]() mutable { serve(index, seen); });
    }

    [[noreturn]] void serve(int index, long seen) {
        for (;;) {
            Region* region = nullptr;
            int size = 0;
            {
                std::unique_lock<std::mutex> lock(mutex_);
                start_.wait(lock, [&] { return generation_ != seen; });
                seen = generation_;
                region = region_;
                size = size_;
            }
            if (index >= size) continue;
            region->body(region->data, {index, size, &region->barrier});
            std::lock_guard<std::mutex> lock(mutex_);
            if (--busy_ == 0) done_.notify_one();
        }
    }

    std::mutex in_use_, mutex_;
    std::condition_variable start_, done_;
    std::vector<std::thread> threads_;
    Region* region_ = nullptr;
    int size_ = 0, busy_ = 0;
    long generation_ = 0;
};

Pool& pool() {
    static Pool* const forever = new Pool;  // its threads may outlive static destruction
    return *forever;
}

}  // namespace

void Barrier::wait(int n_threads) {
    const int phase = phase_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == n_threads) {
        arrived_.store(0, std::memory_order_relaxed);
        phase_.store(phase + 1, std::memory_order_release);
        return;
    }
    for (int spins = 0; phase_.load(std::memory_order_acquire) == phase; ++spins) {
        if (spins < kSpins) {
            _mm_pause();
        } else {
            std::this_thread::yield();
        }
    }
}

void run_parallel(int n_threads, void (*body)(void*, const Member&), void* data) {
    Region region{body, data, {}};
    if (n_threads <= 1) {
        body(data, {0, 1, &region.barrier});
#ifndef HERD_OWN_THREADS  // set for the thread sanitizer, which cannot look into OpenMP
    } else if (api().omp_parallel) {
        api().omp_parallel(openmp_body, &region, static_cast<unsigned>(n_threads), 0);
#endif
    } else {
        pool().run(n_threads, region);
    }
}

int usable_cores() {
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) return CPU_COUNT(&allowed);
    return static_cast<int>(std::thread::hardware_concurrency());
}

}  // namespace herd
