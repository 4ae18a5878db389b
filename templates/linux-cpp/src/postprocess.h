#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tensor.h"

using Scored = std::pair<std::size_t, double>;  // a class's number, and its score

// The values of `output` with the activation that the model leaves to the app: none, softmax (over the last axis) or
// sigmoid.
std::vector<double> activated(const Tensor& output, const std::string& activation);

// The highest score of the first output; NaN where it is the number of a class.
double highest(const Tensor& first);

// Whether the first output tells a class, by scores or by its number.
bool classifies();

// The class that the first output tells.
std::size_t told_class(const Tensor& first);

// The highest scores that are not below `least`, best first; of equals, the lower number first.
std::vector<Scored> top(const std::vector<double>& scores, std::size_t count, double least);

// Of scores [1, classes, height, width]: the classes that are the best of some pixel, and the part of the pixels that
// they have, the largest first.
std::vector<Scored> shares(const std::vector<double>& scores, const std::vector<std::int64_t>& shape);
