#include "packed_matrix.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "threads.h"

namespace herd {
namespace {

// One group of 16 rows, or fewer at the end of a slice.
struct Group {
    int64_t first_row;  // counted over all slices, as in the file
    int n_rows;
    size_t packed;  // offset
};

Group group_at(const PackedShape& shape, int64_t number) {
    const int64_t slice = number / shape.groups(), group = number % shape.groups();
    const int64_t row = group * kRows;
    return {slice * shape.rows + row, static_cast<int>(std::min<int64_t>(kRows, shape.rows - row)),
            slice * shape.slice_bytes() + group * shape.group_bytes()};
}

void pack_group(const PackedShape& shape, PackFunction pack, const uint8_t* rows, uint8_t* packed) {
    for (int64_t block = 0; block < shape.blocks(); ++block) {
        pack(rows + block * shape.format->file_bytes, shape.row_bytes(), packed + block * shape.format->packed_bytes);
    }
}

void unpack_group(const PackedShape& shape, const uint8_t* packed, uint8_t* rows) {
    for (int64_t block = 0; block < shape.blocks(); ++block) {
        shape.format->unpack(packed + block * shape.format->packed_bytes,
                                        rows + block * shape.format->file_bytes, shape.row_bytes());
    }
}

// The part of a group that a byte range covers: offsets into the group and into the range.
struct Overlap {
    size_t in_group, in_range, size;
};

Overlap overlap(const PackedShape& shape, const Group& group, size_t offset, size_t size) {
    const size_t begin = group.first_row * shape.row_bytes(), end = begin + group.n_rows * shape.row_bytes();
    const size_t first = std::max(begin, offset), last = std::min(end, offset + size);
    return {first - begin, first - offset, last > first ? last - first : 0};
}

// Calls body(group, overlap, rows) for every group that the range touches, on all cores. `rows` is
// room for 16 rows in the file's layout. Each thread has a stretch of its own: two that touch a new
// huge page together both clear one, of which one is thrown away.
template <class Body>
void for_groups(const PackedShape& shape, size_t offset, size_t size, Body&& body) {
    constexpr size_t kWorthThreads = 1 << 18;
    const int64_t n_groups = shape.slices * shape.groups();
    in_parallel(size < kWorthThreads ? 1 : usable_cores(), [&](const Member& member) {
        std::vector<uint8_t> rows(kRows * shape.row_bytes());
        const int64_t last = n_groups * (member.index + 1) / member.size;
        for (int64_t number = n_groups * member.index / member.size; number < last; ++number) {
            const Group group = group_at(shape, number);
            const Overlap covered = overlap(shape, group, offset, size);
            if (covered.size) body(group, covered, rows.data());
        }
    });
}

}  // namespace

bool packed_shape(int32_t type, int64_t k, int64_t rows, int64_t slices, PackedShape& shape) {
    shape = {find_format(type), k, rows, slices};
    return shape.format && k > 0 && k % shape.format->block == 0 && rows > 0;
}

bool packed_shape(const ggml::Tensor& tensor, PackedShape& shape) {
    if (!packed_shape(tensor.type, tensor.ne[0], tensor.ne[1], tensor.ne[2] * tensor.ne[3], shape)) return false;
    return tensor.nb[1] == shape.row_bytes() && tensor.nb[2] == tensor.nb[1] * tensor.ne[1] &&
           tensor.nb[3] == tensor.nb[2] * tensor.ne[2];
}

void write_packed(const PackedShape& shape, PackFunction pack, uint8_t* packed, const uint8_t* file, size_t offset,
                  size_t size) {
    for_groups(shape, offset, size, [&](const Group& group, const Overlap& covered, uint8_t* rows) {
        if (covered.size == kRows * shape.row_bytes()) {
            pack_group(shape, pack, file + covered.in_range, packed + group.packed);
            return;
        }
        const bool whole = covered.size == group.n_rows * shape.row_bytes();
        if (whole) {
            std::memset(rows, 0, kRows * shape.row_bytes());  // rows that do not exist
        } else {
            unpack_group(shape, packed + group.packed, rows);
        }
        std::memcpy(rows + covered.in_group, file + covered.in_range, covered.size);
        pack_group(shape, pack, rows, packed + group.packed);
    });
}

void read_packed(const PackedShape& shape, const uint8_t* packed, uint8_t* file, size_t offset, size_t size) {
    for_groups(shape, offset, size, [&](const Group& group, const Overlap& covered, uint8_t* rows) {
        if (covered.size == kRows * shape.row_bytes()) {
            unpack_group(shape, packed + group.packed, file + covered.in_range);
            return;
        }
        unpack_group(shape, packed + group.packed, rows);
        std::memcpy(file + covered.in_range, rows + covered.in_group, covered.size);
    });
}

}  // namespace herd
