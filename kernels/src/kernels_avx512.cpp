// Compiled with AVX-512 and VNNI; nothing here may run before cpuid has said that it can.
#include "families.h"
#include "simd_avx512.h"

namespace herd {

constexpr char kName[] = "AVX-512 VNNI";

const Family kAvx512Families[kFormats] = {
    super_family<Avx512, LinesQ4K<Avx512>, kMaxTokens>(kName),
    super_family<Avx512, LinesQ5K<Avx512>, kMaxTokens>(kName),
    super_family<Avx512, LinesQ6K<Avx512>, kMaxTokens>(kName),
    super_family<Avx512, LinesIQ4XS<Avx512>, kMaxTokens>(kName),
    small_family<Avx512, LinesQ80<Avx512>, kMaxTokens>(kName),
    small_family<Avx512, LinesQ40<Avx512>, kMaxTokens>(kName),
};

}  // namespace herd
