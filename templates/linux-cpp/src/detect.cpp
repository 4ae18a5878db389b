#include "detect.h"

#include <algorithm>
#include <cmath>

#include "contract.h"
#include "postprocess.h"
#include "preprocess.h"

namespace {

using Box = std::array<double, 4>;

// The output that holds boxes; its scores are the next.
std::size_t boxes_place() {
  const auto& all = contract::outputs();
  const auto found = std::find_if(all.begin(), all.end(), [](const auto& each) { return *each.box_format != '\0'; });
  return static_cast<std::size_t>(found - all.begin());
}

// In pixels of the model's picture.
Box corners(const double* from, const contract::Output& told) {
  const std::string format = told.box_format;
  Box found{from[0], from[1], from[2], from[3]};
  if (format == "xywh") found = {from[0], from[1], from[0] + from[2], from[1] + from[3]};
  if (format == "cxcywh")
    found = {from[0] - from[2] / 2, from[1] - from[3] / 2, from[0] + from[2] / 2, from[1] + from[3] / 2};
  if (told.relative)
    for (std::size_t n = 0; n < found.size(); ++n)
      found[n] *= static_cast<double>(n % 2 == 0 ? contract::image().width : contract::image().height);
  return found;
}

// In pixels of the picture that was given.
Box in_source(const Box& box, const Framing& place, int width, int height) {
  const double wide = static_cast<double>(place.width) / width, high = static_cast<double>(place.height) / height;
  return {(box[0] - place.left) / wide, (box[1] - place.top) / high, (box[2] - place.left) / wide,
          (box[3] - place.top) / high};
}

double area(const Box& box) { return std::max(0.0, box[2] - box[0]) * std::max(0.0, box[3] - box[1]); }

// Intersection over union.
double overlap(const Box& a, const Box& b) {
  const double both =
      area({std::max(a[0], b[0]), std::max(a[1], b[1]), std::min(a[2], b[2]), std::min(a[3], b[3])});
  const double either = area(a) + area(b) - both;
  return either > 0 ? both / either : 0.0;
}

}  // namespace

bool detects() { return boxes_place() < contract::outputs().size(); }

std::vector<Detection> detections(const std::vector<Tensor>& outputs, int width, int height) {
  const std::size_t place = boxes_place();
  const contract::Output& told = contract::outputs().at(place);
  const contract::Output& scored = contract::outputs().at(place + 1);
  const auto boxes = as_doubles(outputs.at(place));
  const auto scores = activated(outputs.at(place + 1), scored.activation);
  const std::size_t count = boxes.size() / 4, classes = count > 0 ? scores.size() / count : 0;
  const double least = std::isfinite(scored.threshold) ? scored.threshold : told.threshold;
  std::vector<Detection> all;
  for (std::size_t n = 0; n < count; ++n) {
    const auto first = scores.begin() + static_cast<std::ptrdiff_t>(n * classes);
    const auto best = std::max_element(first, first + static_cast<std::ptrdiff_t>(classes));
    if (*best < least) continue;
    all.push_back({corners(&boxes[4 * n], told), static_cast<std::size_t>(best - first), *best});
  }
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.score > b.score; });
  std::vector<Detection> kept;
  for (const Detection& each : all)
    if (std::none_of(kept.begin(), kept.end(), [&](const Detection& better) {
          return better.number == each.number && overlap(better.box, each.box) > told.iou_threshold;
        }))
      kept.push_back(each);
  const Framing frame = framing(width, height, contract::image());
  for (Detection& each : kept) each.box = in_source(each.box, frame, width, height);
  return kept;
}
