#include "postprocess.h"

#include <algorithm>
#include <cmath>
#include <numeric>

std::vector<double> activated(std::vector<double> values, const std::string& activation) {
  if (activation == "softmax" && !values.empty()) {
    const double highest = *std::max_element(values.begin(), values.end());
    for (double& each : values) each = std::exp(each - highest);
    const double sum = std::accumulate(values.begin(), values.end(), 0.0);
    for (double& each : values) each /= sum;
  } else if (activation == "sigmoid") {
    for (double& each : values) {
      const double power = std::exp(-std::fabs(each));  // of a negative number only: nothing overflows
      each = (each >= 0 ? 1.0 : power) / (1.0 + power);
    }
  }
  return values;
}

std::vector<std::pair<std::size_t, double>> top(const std::vector<double>& scores, std::size_t count) {
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
  std::vector<std::pair<std::size_t, double>> found;
  for (std::size_t each : order)
    if (found.size() < count) found.emplace_back(each, scores[each]);
  return found;
}
