// Compiled with AVX-512; nothing here may run before cpuid has said that it can.
#include "float_loops.h"
#include "simd_avx512.h"

namespace herd {

const FloatLoops kAvx512Floats = float_loops<Avx512>();

}  // namespace herd
