#pragma once

#include <string>

#include "tensor.h"

// The array in a NumPy file of version 1.0, in C order. Throws std::runtime_error where it cannot be read.
// Source: NumPy, numpy.lib.format.
Tensor read_npy(const std::string& path);

// Entry `number` along the first dimension.
Tensor entry(const Tensor& stack, std::size_t number);
