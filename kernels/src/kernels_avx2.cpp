// Compiled with AVX2; nothing here may run before cpuid has said that it can.
#include "families.h"
#include "line_avx2.h"
#include "simd_avx2.h"

namespace herd {

constexpr char kName[] = "AVX2";
constexpr int kTokens = 4;  // sixteen registers: two sums a token, a line, a broadcast, constants
constexpr int kFloatTokens = kMaxTokens < 12 ? kMaxTokens : 12;  // a sum a token

const Family kAvx2Families[kFormats] = {
    super_family<Avx2, Line256, LinesQ4K, kTokens>(kName),
    super_family<Avx2, Line256, LinesQ5K, kTokens>(kName),
    super_family<Avx2, Line256, LinesQ6K, kTokens>(kName),
    {},  // IQ4_XS and Q8_0: their bytes do not fit, see Avx2::dot
    {},
    small_family<Avx2, Line256, LinesQ40, kTokens>(kName),
    float_family<Avx2, Line256, FloatsF16, kFloatTokens>(kName),
    float_family<Avx2, Line256, FloatsBF16, kFloatTokens>(kName),
};

}  // namespace herd
