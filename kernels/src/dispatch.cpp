#include "dispatch.h"

#include <cpuid.h>

#include <cstdlib>
#include <cstring>

#include "ggml_api.h"
#include "self_test.h"

namespace herd {
namespace {

const Family* g_chosen[kFormats];
const FloatLoops* g_floats = nullptr;
std::string g_failed;

struct InstructionSet {
    const char* key;  // for LLAMAHERD_KERNELS_ISA
    const Family* families;
    const FloatLoops* floats;
    bool (*supported)();
};

// The compiler's check knows about the operating system's part (saved registers) too.
bool has_avx2() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}

bool has_avx512_vnni() {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vnni");
}

#ifdef HERD_HIDDEN_AVXVNNI
constexpr bool kAvxVnniIsThere = true;
#else
constexpr bool kAvxVnniIsThere = false;
#endif

bool has_avx_vnni() {
    // Bit 4 of eax in leaf 7, subleaf 1; gcc 12 has no name for it.
    unsigned a = 0, b = 0, c = 0, d = 0;
    const bool told = __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 16);
    return has_avx2() && (told || kAvxVnniIsThere);
}

constexpr InstructionSet kSets[] = {{"avx512", kAvx512Families, &kAvx512Floats, has_avx512_vnni},  // the fastest first
                                    {"avxvnni", kAvxVnniFamilies, &kAvx2Floats, has_avx_vnni},
                                    {"avx2", kAvx2Families, &kAvx2Floats, has_avx2}};

const InstructionSet* best_set() {
    const char* only = std::getenv("LLAMAHERD_KERNELS_ISA");
    for (const InstructionSet& set : kSets) {
        if ((!only || !std::strcmp(only, set.key)) && set.supported()) return &set;
    }
    return nullptr;
}

// With its own instructions for BF16 ggml multiplies twice as many a cycle as in 32 bits.
bool faster_in_ggml(const Format& format) {
    return format.type == ggml::kTypeBF16 && __builtin_cpu_supports("avx512bf16");
}

}  // namespace

const char* instructions() {
    const InstructionSet* set = best_set();
    return set ? set->families[0].instructions : nullptr;
}

void choose_kernels() {
    const InstructionSet* set = best_set();
    if (set) g_floats = set->floats;
    for (int i = 0; set && i < kFormats; ++i) {
        const Family& family = set->families[i];
        if (!family.packed || faster_in_ggml(kFormat[i])) continue;
        if (agrees_with_ggml(kFormat[i], family)) {
            g_chosen[i] = &family;
        } else {
            api().log(ggml::kLogWarning, "llamaherd-kernels: %s failed its self-test and is left to ggml\n",
                      kFormat[i].name);
            g_failed += (g_failed.empty() ? "" : " ") + std::string(kFormat[i].name);
        }
    }
}

const Family* family_of(const Format& format) { return g_chosen[&format - kFormat]; }

const FloatLoops& floats() { return *g_floats; }

std::string failed_formats() { return g_failed; }

}  // namespace herd
