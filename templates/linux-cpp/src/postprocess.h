#pragma once

#include <string>
#include <utility>
#include <vector>

// `values` with the activation that the model leaves to the app: none, softmax (of all values) or sigmoid.
std::vector<double> activated(std::vector<double> values, const std::string& activation);

// Class numbers and scores of the highest scores, best first; of equals, the lower number first.
std::vector<std::pair<std::size_t, double>> top(const std::vector<double>& scores, std::size_t count);
