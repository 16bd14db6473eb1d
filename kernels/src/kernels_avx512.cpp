// Compiled with AVX-512 and VNNI; nothing here may run before cpuid has said that it can.
#include "families.h"
#include "line_avx512.h"
#include "pack.h"
#include "simd_avx512.h"

namespace herd {

constexpr char kName[] = "AVX-512 VNNI";

const Family kAvx512Families[kFormats] = {
    super_family<Avx512, LinesQ4K<Avx512>, kMaxTokens>(kName, pack_q4k<Line512>),
    super_family<Avx512, LinesQ5K<Avx512>, kMaxTokens>(kName, pack_q5k<Line512>),
    super_family<Avx512, LinesQ6K<Avx512>, kMaxTokens>(kName, pack_q6k<Line512>),
    super_family<Avx512, LinesIQ4XS<Avx512>, kMaxTokens>(kName, pack_iq4xs<Line512>),
    small_family<Avx512, LinesQ80<Avx512>, kMaxTokens>(kName, pack_q80<Line512>),
    small_family<Avx512, LinesQ40<Avx512>, kMaxTokens>(kName, pack_q40<Line512>),
    float_family<Avx512, FloatsF16<Avx512>, kMaxTokens>(kName, pack_f16<Line512>),
    float_family<Avx512, FloatsBF16<Avx512>, kMaxTokens>(kName, pack_bf16<Line512>),
};

}  // namespace herd
