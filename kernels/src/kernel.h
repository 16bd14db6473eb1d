// What every kernel looks like from outside.
#pragma once

#include "activations.h"
#include "format.h"

namespace herd {

// One row group (16 rows) times one cell column (T tokens), over `n_blocks` blocks along k.
struct Tile {
    const void* weights;         // packed blocks
    const uint8_t* lines;        // the same weights as bytes, for kernels that read them so
    const uint8_t* activations;  // cells of T tokens
    float* const* out;           // T rows of the result
    int64_t first_row;           // where the group starts in a row of the result
    int n_rows;                  // rows of the group that exist, 1 to 16
    int n_blocks;
    bool accumulate;             // add to what `out` holds
};

using Kernel = void (*)(const Tile&);

// Packs one block of 16 rows that lie `row_bytes` apart in a file's layout.
using PackFunction = void (*)(const uint8_t* file, size_t row_bytes, void* packed);

// Expands `n_blocks` packed blocks to bytes.
using ExpandFunction = void (*)(const void* weights, int n_blocks, uint8_t* lines);

// All kernels of a format for one instruction set.
struct Family {
    const char* instructions;
    int max_tokens;
    const Kernel* packed;  // [T - 1]: unpack in registers; for few tokens
    const Kernel* lines;   // [T - 1]: read expanded weights; for many tokens
    ExpandFunction expand;
    PackFunction pack;
};

// Kernels by instruction set, in the order of kFormat; `packed` is null where there are none.
extern const Family kAvx512Families[kFormats];
extern const Family kAvxVnniFamilies[kFormats];
extern const Family kAvx2Families[kFormats];

}  // namespace herd
