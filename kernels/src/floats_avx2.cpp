// Compiled with AVX2; nothing here may run before cpuid has said that it can.
#include "float_loops.h"
#include "simd_256.h"

namespace herd {

const FloatLoops kAvx2Floats = float_loops<Registers256>();

}  // namespace herd
