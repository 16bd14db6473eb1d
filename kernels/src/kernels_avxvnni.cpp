// Compiled with AVX-VNNI; nothing here may run before cpuid has said that it can.
#include "families.h"
#include "line_avx2.h"
#include "pack.h"
#include "simd_avxvnni.h"

namespace herd {

constexpr char kName[] = "AVX-VNNI";
constexpr int kTokens = kMaxTokens < 6 ? kMaxTokens : 6;  // sixteen registers: two sums a token, a line, a broadcast
constexpr int kFloatTokens = kMaxTokens < 12 ? kMaxTokens : 12;  // a sum a token

const Family kAvxVnniFamilies[kFormats] = {
    super_family<AvxVnni, LinesQ4K<AvxVnni>, kTokens>(kName, pack_q4k<Line256>),
    super_family<AvxVnni, LinesQ5K<AvxVnni>, kTokens>(kName, pack_q5k<Line256>),
    super_family<AvxVnni, LinesQ6K<AvxVnni>, kTokens>(kName, pack_q6k<Line256>),
    super_family<AvxVnni, LinesIQ4XS<AvxVnni>, kTokens>(kName, pack_iq4xs<Line256>),
    small_family<AvxVnni, LinesQ80<AvxVnni>, kTokens>(kName, pack_q80<Line256>),
    small_family<AvxVnni, LinesQ40<AvxVnni>, kTokens>(kName, pack_q40<Line256>),
    float_family<AvxVnni, FloatsF16<AvxVnni>, kFloatTokens>(kName, pack_f16<Line256>),
    float_family<AvxVnni, FloatsBF16<AvxVnni>, kFloatTokens>(kName, pack_bf16<Line256>),
};

}  // namespace herd
