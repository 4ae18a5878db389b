#pragma once

#include <array>
#include <vector>

#include "tensor.h"

// Something found: left, top, right and bottom in pixels of the picture that was given.
struct Detection {
  std::array<double, 4> box;
  std::size_t number;  // of its class
  double score;
};

// Whether the model gives boxes.
bool detects();

// What a detector found in a picture of a size, the best first. Each box stands for its best class; what is below the
// threshold is left out, then what overlaps a better box of its class by more than the contract says.
std::vector<Detection> detections(const std::vector<Tensor>& outputs, int width, int height);
