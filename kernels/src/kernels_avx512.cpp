// Compiled with AVX-512 and VNNI; nothing here may run before cpuid has said that it can.
#include "families.h"
#include "line_avx512.h"
#include "simd_avx512.h"

namespace herd {

constexpr char kName[] = "AVX-512 VNNI";

const Family kAvx512Families[kFormats] = {
    super_family<Avx512, Line512, LinesQ4K, kMaxTokens>(kName),
    super_family<Avx512, Line512, LinesQ5K, kMaxTokens>(kName),
    super_family<Avx512, Line512, LinesQ6K, kMaxTokens>(kName),
    super_family<Avx512, Line512, LinesIQ4XS, kMaxTokens>(kName),
    small_family<Avx512, Line512, LinesQ80, kMaxTokens>(kName),
    small_family<Avx512, Line512, LinesQ40, kMaxTokens>(kName),
    float_family<Avx512, Line512, FloatsF16, kMaxTokens>(kName),
    float_family<Avx512, Line512, FloatsBF16, kMaxTokens>(kName),
};

}  // namespace herd
