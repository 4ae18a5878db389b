#pragma once

#include <limits>
#include <string>
#include <vector>

#include "picture.h"
#include "tensor.h"

// What the model is fed once.
struct Sample {
  std::vector<Tensor> inputs;  // in the contract's order; those that are carried from call to call are empty
  double mean = 0.0;           // which monitoring counts: of the picture as the model sees it, or of the first input
  double milliseconds = std::numeric_limits<double>::quiet_NaN();  // that pre-processing took, where it did anything
  int width = 0, height = 0;                                       // of the picture that was given
  std::string place;  // of a piece of a recording: where it begins, in words
};

// Whether an input is an output of the call before.
bool is_carried(const std::string& input);

// Files that make one sample.
std::size_t files_each();

// What files hold: a picture; sound (.wav), call by call, where the model takes that; else a .npy for each input that is not carried from call to call. Throws std::runtime_error with a sentence.
std::vector<Sample> read_samples(const std::vector<std::string>& paths);

// What the model is fed for a picture.
Sample of_picture(const Picture& picture);
