// From the packed layout back to that of GGUF files, the inverse of pack.h. See layout.h.
#pragma once

#include "layout.h"

namespace herd {

// One packed block; the rows of the file's lie `row_bytes` apart.
using UnpackFunction = void (*)(const void* packed, uint8_t* file, size_t row_bytes);

// An UnpackFunction for each pair of layouts in layout.h.
template <class File, class Packed>
void unpack(const void* packed, uint8_t* file, size_t row_bytes);

}  // namespace herd
