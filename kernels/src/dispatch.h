// Which kernels this machine runs, decided once.
#pragma once

#include <string>

#include "floats.h"
#include "kernel.h"

namespace herd {

// The instruction set that would be used here, or null if there are no kernels for this CPU.
const char* instructions();

// Chooses the families and tests each against ggml's own products; what fails is left to ggml.
void choose_kernels();

// Kernels for a format, or null: not for this CPU, or failed the self-test.
const Family* family_of(const Format& format);

// Loops over floats. After choose_kernels.
const FloatLoops& floats();

// Names of the formats whose self-test failed, for people.
std::string failed_formats();

}  // namespace herd
