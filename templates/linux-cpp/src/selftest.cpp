#include "selftest.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <limits>

#include "contract.h"
#include "labels.h"
#include "npy.h"
#include "postprocess.h"
#include "preprocess.h"

namespace {

std::vector<Tensor> stacks(const std::string& prefix, std::size_t number) {
  std::vector<Tensor> found;
  for (std::size_t n = 0; n < number; ++n) found.push_back(read_npy(prefix + std::to_string(n) + ".npy"));
  return found;
}

std::vector<Tensor> sample(const std::vector<Tensor>& all, std::size_t number) {
  std::vector<Tensor> found;
  for (const Tensor& each : all) found.push_back(entry(each, number));
  return found;
}

// Cosine of two outputs as vectors; of two single numbers, 1 minus their relative difference.
double likeness(const std::vector<double>& a, const std::vector<double>& b) {
  if (a == b) return 1.0;
  if (a.size() == 1) return 1.0 - std::fabs(a[0] - b[0]) / std::max(std::fabs(a[0]), std::fabs(b[0]));
  double product = 0.0, first = 0.0, second = 0.0;
  for (std::size_t n = 0; n < a.size(); ++n) {
    product += a[n] * b[n];
    first += a[n] * a[n];
    second += b[n] * b[n];
  }
  return first > 0 && second > 0 ? product / std::sqrt(first * second) : 0.0;
}

double difference(const std::vector<double>& a, const std::vector<double>& b) {
  double found = 0.0;
  for (std::size_t n = 0; n < a.size(); ++n) found = std::max(found, std::fabs(a[n] - b[n]));
  return found;
}

// How far the highest score is above the second; infinitely where there is but one number, of a class.
double margin(std::vector<double> scores) {
  if (scores.size() < 2) return std::numeric_limits<double>::infinity();
  std::partial_sort(scores.begin(), scores.begin() + 2, scores.end(), std::greater<>());
  return scores[0] - scores[1];
}

// What is wrong with one output, in words; empty where it matches. The first may hold classes.
std::string problem(const Tensor& got, const Tensor& want, bool classes) {
  if (got.shape != want.shape || got.dtype != want.dtype) return "another shape or type";
  const auto ours = as_doubles(got), theirs = as_doubles(want);
  if (!std::all_of(ours.begin(), ours.end(), [](double each) { return std::isfinite(each); })) return "not finite";
  const bool number = classes && ours.size() == 1;
  if (!number && likeness(ours, theirs) < contract::kTolerance) return "too far off";
  const bool other = classes && told_class(got) != told_class(want) && margin(theirs) > difference(ours, theirs);
  return other ? "another top class" : "";
}

bool picture_matches(const std::string& folder) {
  if (!contract::kTakesPicture) return true;
  const Tensor raw = read_npy(folder + "/picture.npy");
  Picture picture{static_cast<int>(raw.shape.at(1)), static_cast<int>(raw.shape.at(0)), 3, {}};
  picture.pixels.assign(raw.bytes.begin(), raw.bytes.end());
  const Tensor made = prepared(framed(picture, contract::image()), contract::image());
  const bool same = made.bytes == read_npy(folder + "/picture_tensor.npy").bytes;
  std::printf("pre-processing: %s\n", same ? "the same bits, ok" : "other bits than the build's");
  return same;
}

bool readable(const std::string& path) { return std::ifstream(path).good(); }

}  // namespace

std::vector<Tensor> golden_sample(const std::string& folder) {
  return sample(stacks(folder + "/inputs_", contract::inputs().size()), 0);
}

bool selftest(const std::string& folder, Model& model, const std::vector<std::string>& labels) {
  const std::size_t outputs = contract::outputs().size();
  const auto inputs = stacks(folder + "/inputs_", contract::inputs().size());
  const auto floats = stacks(folder + "/outputs_", outputs);
  const bool of_host = readable(folder + "/host_0.npy");
  const auto wanted = of_host ? stacks(folder + "/host_", outputs) : floats;
  const auto total = static_cast<std::size_t>(inputs.at(0).shape.at(0));
  std::printf("outputs here against %s: cosine of %g or more%s\n",
              of_host ? "this file's on the build host" : "the float model's", contract::kTolerance,
              classifies() ? ", and the same top class where it is clear" : "");
  bool matching = picture_matches(folder);
  std::size_t agreeing = 0, passed = 0;
  for (std::size_t n = 0; n < total; ++n) {
    const auto got = model.run(sample(inputs, n));
    const auto want = sample(wanted, n);
    std::string wrong = got.size() == want.size() ? "" : "another number of outputs";
    double least = 1.0, most = 0.0;
    for (std::size_t each = 0; each < want.size() && wrong.empty(); ++each) {
      wrong = problem(got[each], want[each], each == 0 && classifies());
      if (got[each].bytes.size() != want[each].bytes.size()) continue;
      least = std::min(least, likeness(as_doubles(got[each]), as_doubles(want[each])));
      most = std::max(most, difference(as_doubles(got[each]), as_doubles(want[each])));
    }
    const std::string label =
        classifies() && !got.empty() ? ", top: " + label_of(labels, told_class(got[0])) : "";
    std::printf("sample %zu: cosine %.6f, largest difference %.3g%s, %s\n", n, least, most, label.c_str(),
                wrong.empty() ? "ok" : wrong.c_str());
    passed += wrong.empty();
    agreeing += classifies() && !got.empty() && told_class(got[0]) == told_class(sample(floats, n)[0]);
  }
  matching = matching && passed == total;
  std::printf("%s: %zu of %zu match\n", matching ? "passed" : "FAILED", passed, total);
  if (classifies()) std::printf("top class is the float model's in %zu of %zu\n", agreeing, total);
  return matching;
}
