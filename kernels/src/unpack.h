// From the packed layout back to that of GGUF files, the inverse of pack.h. See layout.h.
#pragma once

#include "layout.h"

namespace herd {

// One packed block; the rows of the file's lie `row_bytes` apart.
using UnpackFunction = void (*)(const void* packed, uint8_t* file, size_t row_bytes);

void unpack_q4k(const void* packed, uint8_t* file, size_t row_bytes);
void unpack_q5k(const void* packed, uint8_t* file, size_t row_bytes);
void unpack_q6k(const void* packed, uint8_t* file, size_t row_bytes);
void unpack_iq4xs(const void* packed, uint8_t* file, size_t row_bytes);
void unpack_q80(const void* packed, uint8_t* file, size_t row_bytes);
void unpack_q40(const void* packed, uint8_t* file, size_t row_bytes);
void unpack_f16(const void* packed, uint8_t* file, size_t row_bytes);
void unpack_bf16(const void* packed, uint8_t* file, size_t row_bytes);

}  // namespace herd
