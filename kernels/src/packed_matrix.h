// A weight tensor in packed form: sizes, and moving bytes of the file's layout in and out.
#pragma once

#include "ggml_abi.h"
#include "kernel.h"

namespace herd {

// A tensor as the file has it, and what packing makes of it. Rows of all slices (experts) follow
// each other; every slice is padded to whole groups of 16 rows.
struct PackedShape {
    const Format* format;
    int64_t k, rows, slices;

    int64_t blocks() const { return k / format->block; }
    int64_t groups() const { return (rows + kRows - 1) / kRows; }
    size_t group_bytes() const { return blocks() * format->packed_bytes; }
    size_t slice_bytes() const { return groups() * group_bytes(); }
    size_t bytes() const { return slices * slice_bytes(); }
    size_t row_bytes() const { return blocks() * format->file_bytes; }  // in the file
};

// False if the type is none that is packed or the shape does not allow it.
bool packed_shape(int32_t type, int64_t k, int64_t rows, int64_t slices, PackedShape& shape);
bool packed_shape(const ggml::Tensor& tensor, PackedShape& shape);

// Bytes [offset, offset + size) of the tensor in the file's layout. Ranges need not begin or end
// at a row or group: partly covered groups are unpacked, changed and packed again.
void write_packed(const PackedShape& shape, PackFunction pack, uint8_t* packed, const uint8_t* file, size_t offset,
                  size_t size);
void read_packed(const PackedShape& shape, const uint8_t* packed, uint8_t* file, size_t offset, size_t size);

}  // namespace herd
