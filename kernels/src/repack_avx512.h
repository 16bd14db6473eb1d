// Packing with AVX-512, for loading large models quickly. Unpacking is rare and stays in repack.cpp.
#pragma once

#include "repack.h"

namespace herd {

// The same bytes as kRepack*.pack writes. Only where kAvx512Families run.
void pack_q4k_avx512(const uint8_t* file, size_t row_bytes, void* packed);
void pack_q5k_avx512(const uint8_t* file, size_t row_bytes, void* packed);
void pack_q6k_avx512(const uint8_t* file, size_t row_bytes, void* packed);
void pack_iq4xs_avx512(const uint8_t* file, size_t row_bytes, void* packed);
void pack_q80_avx512(const uint8_t* file, size_t row_bytes, void* packed);
void pack_q40_avx512(const uint8_t* file, size_t row_bytes, void* packed);
void pack_f16_avx512(const uint8_t* file, size_t row_bytes, void* packed);
void pack_bf16_avx512(const uint8_t* file, size_t row_bytes, void* packed);

}  // namespace herd
