// Compiled with AVX2; nothing here may run before cpuid has said that it can.
#include "families.h"
#include "line_avx2.h"
#include "pack.h"
#include "simd_avx2.h"

namespace herd {

constexpr char kName[] = "AVX2";
constexpr int kTokens = 4;  // sixteen registers: two sums a token, a line, a broadcast, constants
constexpr int kFloatTokens = kMaxTokens < 12 ? kMaxTokens : 12;  // a sum a token

const Family kAvx2Families[kFormats] = {
    super_family<Avx2, LinesQ4K<Avx2>, kTokens>(kName, pack_q4k<Line256>),
    super_family<Avx2, LinesQ5K<Avx2>, kTokens>(kName, pack_q5k<Line256>),
    super_family<Avx2, LinesQ6K<Avx2>, kTokens>(kName, pack_q6k<Line256>),
    {},  // IQ4_XS and Q8_0: their bytes do not fit, see Avx2::dot
    {},
    small_family<Avx2, LinesQ40<Avx2>, kTokens>(kName, pack_q40<Line256>),
    float_family<Avx2, FloatsF16<Avx2>, kFloatTokens>(kName, pack_f16<Line256>),
    float_family<Avx2, FloatsBF16<Avx2>, kFloatTokens>(kName, pack_bf16<Line256>),
};

}  // namespace herd
