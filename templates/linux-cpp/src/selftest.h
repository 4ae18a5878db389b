#pragma once

#include <string>
#include <vector>

#include "model.h"

// Replays the golden vectors in `folder` and prints a line each; whether pre-processing gives the same bits,
// and every output is that of this very file on the build host, as far as kernels allow.
// Throws std::runtime_error where the vectors cannot be read.
bool selftest(const std::string& folder, Model& model, const std::vector<std::string>& labels);

// The first golden sample.
std::vector<Tensor> golden_sample(const std::string& folder);
