// Compiled with AVX-VNNI; nothing here may run before cpuid has said that it can.
#include "families.h"
#include "simd_avxvnni.h"

namespace herd {

constexpr char kName[] = "AVX-VNNI";
constexpr int kTokens = kMaxTokens < 6 ? kMaxTokens : 6;  // sixteen registers: two sums a token, a line, a broadcast
constexpr int kFloatTokens = kMaxTokens < 12 ? kMaxTokens : 12;  // a sum a token

const Family kAvxVnniFamilies[kFormats] = {
    super_family<AvxVnni, LinesQ4K<AvxVnni>, kTokens>(kName),
    super_family<AvxVnni, LinesQ5K<AvxVnni>, kTokens>(kName),
    super_family<AvxVnni, LinesQ6K<AvxVnni>, kTokens>(kName),
    super_family<AvxVnni, LinesIQ4XS<AvxVnni>, kTokens>(kName),
    small_family<AvxVnni, LinesQ80<AvxVnni>, kTokens>(kName),
    small_family<AvxVnni, LinesQ40<AvxVnni>, kTokens>(kName),
    float_family<AvxVnni, FloatsF16<AvxVnni>, kFloatTokens>(kName),
    float_family<AvxVnni, FloatsBF16<AvxVnni>, kFloatTokens>(kName),
};

}  // namespace herd
