// Between the layout of GGUF files and the packed one, both ways. See layout.h.
#pragma once

#include "layout.h"

namespace herd {

// `file` points to the same block of 16 rows that lie `row_bytes` apart.
using PackFunction = void (*)(const uint8_t* file, size_t row_bytes, void* packed);
using UnpackFunction = void (*)(const void* packed, uint8_t* file, size_t row_bytes);

struct Repacking {
    PackFunction pack;
    UnpackFunction unpack;
};

extern const Repacking kRepackQ4K, kRepackQ5K, kRepackQ6K, kRepackIQ4XS, kRepackQ80, kRepackQ40, kRepackF16, kRepackBF16;

}  // namespace herd
