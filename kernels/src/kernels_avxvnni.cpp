// Compiled with AVX-VNNI; nothing here may run before cpuid has said that it can.
#include "families.h"
#include "line_avx2.h"
#include "simd_avxvnni.h"

namespace herd {

constexpr char kName[] = "AVX-VNNI";
constexpr int kTokens = kMaxTokens < 6 ? kMaxTokens : 6;  // sixteen registers: two sums a token, a line, a broadcast
constexpr int kFloatTokens = kMaxTokens < 12 ? kMaxTokens : 12;  // a sum a token

const Family kAvxVnniFamilies[kFormats] = {
    super_family<AvxVnni, Line256, LinesQ4K, kTokens>(kName),
    super_family<AvxVnni, Line256, LinesQ5K, kTokens>(kName),
    super_family<AvxVnni, Line256, LinesQ6K, kTokens>(kName),
    super_family<AvxVnni, Line256, LinesIQ4XS, kTokens>(kName),
    small_family<AvxVnni, Line256, LinesQ80, kTokens>(kName),
    small_family<AvxVnni, Line256, LinesQ40, kTokens>(kName),
    float_family<AvxVnni, Line256, FloatsF16, kFloatTokens>(kName),
    float_family<AvxVnni, Line256, FloatsBF16, kFloatTokens>(kName),
};

}  // namespace herd
