// What the driver must know about a weight type, whatever the instruction set.
#pragma once

#include "activations.h"
#include "unpack.h"

namespace herd {

struct Format {
    int32_t type;        // of GGUF
    const char* name;
    int block;           // elements of a row that are packed together
    size_t file_bytes;   // of one row's block in a file
    size_t packed_bytes; // of 16 rows' block
    size_t line_bytes;   // of 16 rows' block with one byte an element; 0: never expanded
    Activations activations;
    UnpackFunction unpack;
};

constexpr int kFormats = 8;
extern const Format kFormat[kFormats];

// The format of a GGUF type, or null.
const Format* find_format(int32_t type);

}  // namespace herd
