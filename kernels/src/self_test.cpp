#include "self_test.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "driver.h"
#include "ggml_api.h"
#include "packed_matrix.h"

namespace herd {
namespace {

constexpr int64_t kK = 512;
constexpr int64_t kTestRows = 37;        // three groups, the last with five rows
constexpr double kTolerance = 1e-6;      // relative, over a whole product
constexpr int kManyTokens = kFewTokens + 5;  // beyond it the driver expands the weights

// A small generator of our own: a library must not disturb the program's random numbers.
class Noise {
  public:
    uint32_t bits() { return static_cast<uint32_t>((state_ = state_ * 6364136223846793005u + 1442695040888963407u) >> 33); }
    float value() { return static_cast<float>(static_cast<int32_t>(bits() << 1)) / 2147483648.0f; }

  private:
    uint64_t state_ = 7;
};

void put_half(uint8_t* where, Half bits) { std::memcpy(where, &bits, sizeof bits); }

// Weights of either sign between 0.5 and 2.
void limit_floats(const Format& format, std::vector<uint8_t>& rows) {
    const bool f16 = format.type == ggml::kTypeF16;
    const Half kept = f16 ? 0x87FF : 0x80FF, exponent = f16 ? 0x3800 : 0x3F00;
    for (size_t at = 0; at < rows.size(); at += sizeof(Half)) {
        Half bits;
        std::memcpy(&bits, &rows[at], sizeof bits);
        put_half(&rows[at], static_cast<Half>((bits & kept) | exponent));
    }
}

// Any bytes are valid weights, but the float factors must not be infinite.
std::vector<uint8_t> random_rows(const Format& format, Noise& noise) {
    std::vector<uint8_t> rows(kTestRows * (kK / format.block) * format.file_bytes);
    for (uint8_t& byte : rows) byte = static_cast<uint8_t>(noise.bits() >> 8);
    if (format.activations.floats()) {
        limit_floats(format, rows);
        return rows;
    }
    const bool pair = format.block == kPair;
    const size_t step = pair ? format.file_bytes / 2 : format.file_bytes;
    for (size_t at = 0; at < rows.size(); at += step) {
        const Half factor = static_cast<Half>(0x2000 + (noise.bits() & 0x3FF));  // about 0.01
        if (format.type == ggml::kTypeQ6_K) {
            put_half(&rows[at + offsetof(FileQ6K, d)], factor);
        } else {
            put_half(&rows[at], factor);
        }
        if (format.activations.sums == Sums::kPairsOf32) put_half(&rows[at + 2], factor ^ 0x155);
    }
    return rows;
}

using Matrix = std::vector<std::vector<float>>;

Matrix reference(const Format& format, const std::vector<uint8_t>& rows, const Matrix& x) {
    const ggml::CpuTypeTraits& traits = *api().cpu_type_traits(format.type);
    const size_t row_bytes = kK / format.block * format.file_bytes;
    std::vector<uint8_t> quantised(api().row_size(traits.vec_dot_type, kK));
    Matrix out(x.size(), std::vector<float>(kTestRows));
    for (size_t t = 0; t < x.size(); ++t) {
        api().cpu_type_traits(traits.vec_dot_type)->from_float(x[t].data(), quantised.data(), kK);
        for (int64_t row = 0; row < kTestRows; ++row) {
            traits.vec_dot(kK, &out[t][row], 0, rows.data() + row * row_bytes, 0, quantised.data(), 0, 1);
        }
    }
    return out;
}

double relative_error(const Matrix& got, const Matrix& want) {
    double difference = 0, size = 0;
    for (size_t t = 0; t < want.size(); ++t) {
        for (size_t row = 0; row < want[t].size(); ++row) {
            const double error = double(got[t][row]) - want[t][row];
            difference += error * error;
            size += double(want[t][row]) * want[t][row];
        }
    }
    return std::sqrt(difference / size);  // NaN where a kernel made one, which is no agreement
}

Matrix product(const Format& format, const Family& family, const uint8_t* packed, const Matrix& x) {
    Matrix out(x.size(), std::vector<float>(kTestRows));
    Product product{&format, &family, packed, kTestRows, kK, {}, {}};
    for (size_t t = 0; t < x.size(); ++t) {
        product.x.push_back(x[t].data());
        product.out.push_back(out[t].data());
    }
    Driver driver;
    driver.run({{{product}, {}}}, 1);
    return out;
}

bool unpacks(const PackedShape& shape, const uint8_t* packed, const std::vector<uint8_t>& rows) {
    std::vector<uint8_t> back(rows.size());
    read_packed(shape, packed, back.data(), 0, back.size());
    return back == rows;
}

bool broken_on_purpose(const Format& format) {  // the tests see that a mismatch is noticed
    const char* name = std::getenv("LLAMAHERD_KERNELS_BREAK");
    return name && !std::strcmp(name, format.name);
}

}  // namespace

bool agrees_with_ggml(const Format& format, const Family& family) {
    Noise noise;
    const std::vector<uint8_t> rows = random_rows(format, noise);
    const PackedShape shape{&format, kK, kTestRows, 1};
    AlignedBytes packed;
    packed.reserve(shape.bytes());
    write_packed(shape, family.pack, packed.data(), rows.data(), 0, rows.size());
    Matrix x(kManyTokens, std::vector<float>(kK));
    for (auto& token : x) {
        for (float& value : token) value = noise.value();
    }
    const Matrix want = reference(format, rows, x);
    bool agrees = !broken_on_purpose(format) && unpacks(shape, packed.data(), rows);
    for (int n = 1; n <= family.max_tokens + 1 && agrees; ++n) {
        const Matrix some(x.begin(), x.begin() + n), wanted(want.begin(), want.begin() + n);
        agrees = relative_error(product(format, family, packed.data(), some), wanted) <= kTolerance;
    }
    return agrees && relative_error(product(format, family, packed.data(), x), want) <= kTolerance;
}

}  // namespace herd
