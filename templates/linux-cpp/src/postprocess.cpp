#include "postprocess.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "contract.h"

namespace {

using Place = std::vector<double>::iterator;

void softmax(Place first, Place end) {
  const double highest = *std::max_element(first, end);
  std::transform(first, end, first, [highest](double each) { return std::exp(each - highest); });
  const double sum = std::accumulate(first, end, 0.0);
  std::transform(first, end, first, [sum](double each) { return each / sum; });
}

double sigmoid(double value) {
  const double power = std::exp(-std::fabs(value));  // of a negative number only: nothing overflows
  return (value >= 0 ? 1.0 : power) / (1.0 + power);
}

void sort(std::vector<Scored>& all) {
  std::stable_sort(all.begin(), all.end(), [](const Scored& a, const Scored& b) { return a.second > b.second; });
}

}  // namespace

std::vector<double> activated(const Tensor& output, const std::string& activation) {
  std::vector<double> values = as_doubles(output);
  if (activation == "softmax") {
    const std::ptrdiff_t row = output.shape.empty() ? 1 : static_cast<std::ptrdiff_t>(output.shape.back());
    for (auto place = values.begin(); row > 0 && place != values.end(); place += row) softmax(place, place + row);
  } else if (activation == "sigmoid") {
    std::transform(values.begin(), values.end(), values.begin(), sigmoid);
  }
  return values;
}

double highest(const Tensor& first) {
  const contract::Output& told = contract::outputs()[0];
  const auto scores = activated(first, told.activation);
  if (scores.empty() || std::string(told.kind) == "class") return std::nan("");
  return *std::max_element(scores.begin(), scores.end());
}

bool classifies() {
  const std::string kind = contract::outputs()[0].kind;
  return kind == "classification" || kind == "class";
}

std::size_t told_class(const Tensor& first) {
  const auto values = as_doubles(first);
  if (std::string(contract::outputs()[0].kind) == "class") return static_cast<std::size_t>(values.at(0));
  return static_cast<std::size_t>(std::max_element(values.begin(), values.end()) - values.begin());
}

std::vector<Scored> top(const std::vector<double>& scores, std::size_t count, double least) {
  std::vector<Scored> found;
  for (std::size_t n = 0; n < scores.size(); ++n)
    if (!(scores[n] < least)) found.emplace_back(n, scores[n]);
  sort(found);
  found.resize(std::min(found.size(), count));
  return found;
}

std::vector<Scored> shares(const std::vector<double>& scores, const std::vector<std::int64_t>& shape) {
  const auto classes = static_cast<std::size_t>(shape.at(1));
  const std::size_t area = classes > 0 ? scores.size() / classes : 0;
  std::map<std::size_t, std::size_t> counts;
  for (std::size_t pixel = 0; pixel < area; ++pixel) {
    std::size_t best = 0;
    for (std::size_t each = 1; each < classes; ++each)
      if (scores[each * area + pixel] > scores[best * area + pixel]) best = each;
    ++counts[best];
  }
  std::vector<Scored> found;
  for (const auto& [number, count] : counts)
    found.emplace_back(number, static_cast<double>(count) / static_cast<double>(area));
  sort(found);
  return found;
}
