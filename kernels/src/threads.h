// Running one function on several threads at once.
//
// ggml-cpu keeps its OpenMP threads spinning between graphs. Threads of our own would fight them
// for the cores, so the work runs in the same OpenMP instance; only where ggml-cpu has none (or a
// thread sanitizer must see the synchronisation) a plain pool takes over.
#pragma once

#include <atomic>

namespace herd {

class Barrier {
  public:
    void wait(int n_threads);

  private:
    std::atomic<int> arrived_{0};
    std::atomic<int> phase_{0};
};

// What a thread knows about the region it runs in. `size` may be less than what was asked for.
struct Member {
    int index;
    int size;
    Barrier* barrier;

    void wait() const { barrier->wait(size); }
};

void run_parallel(int n_threads, void (*body)(void* data, const Member&), void* data);

template <class Body>
void in_parallel(int n_threads, Body&& body) {
    run_parallel(
        n_threads, [](void* data, const Member& member) { (*static_cast<Body*>(data))(member); }, &body);
}

// How many threads suit work outside of a graph, such as loading.
int usable_cores();

}  // namespace herd
