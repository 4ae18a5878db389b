#include "resample.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace {

constexpr int kBits = 22;
constexpr double kCubic = -0.5;

// For one output position: the first input position that counts, and the weights, in 2^-22.
struct Window {
  int first;
  std::vector<std::int64_t> weights;
};

double weight(double x, contract::Filter filter) {
  x = std::fabs(x);
  if (filter == contract::Filter::kBilinear) return x < 1.0 ? 1.0 - x : 0.0;
  if (x < 1.0) return ((kCubic + 2.0) * x - (kCubic + 3.0)) * x * x + 1.0;
  return x < 2.0 ? (((x - 5.0) * x + 8.0) * x - 4.0) * kCubic : 0.0;
}

std::vector<Window> windows(int size, int wanted, contract::Filter filter, bool antialias) {
  const double scale = static_cast<double>(size) / wanted;
  const double stretch = antialias ? std::max(scale, 1.0) : 1.0;
  const double support = (filter == contract::Filter::kBilinear ? 1.0 : 2.0) * stretch;
  std::vector<Window> found;
  for (int place = 0; place < wanted; ++place) {
    const double center = (place + 0.5) * scale;
    const int first = std::max(0, static_cast<int>(center - support + 0.5));
    const int end = std::min(size, static_cast<int>(center + support + 0.5));
    std::vector<double> near;
    double total = 0.0;
    for (int each = first; each < end; ++each) {
      near.push_back(weight((each - center + 0.5) * (1.0 / stretch), filter));
      total += near.back();
    }
    Window window{first, {}};
    for (double each : near) {
      const double fixed = each / total * (1 << kBits);
      window.weights.push_back(static_cast<std::int64_t>(fixed + std::copysign(0.5, each)));
    }
    found.push_back(std::move(window));
  }
  return found;
}

std::vector<Window> nearest(int size, int wanted) {
  const double step = static_cast<double>(size) / wanted;
  double position = step * 0.5;
  std::vector<Window> found;
  for (int place = 0; place < wanted; ++place, position += step)
    found.push_back({static_cast<int>(position), {std::int64_t{1} << kBits}});
  return found;
}

std::uint8_t summed(const Picture& picture, const Window& window, std::size_t origin, std::size_t step) {
  std::int64_t sum = std::int64_t{1} << (kBits - 1);
  std::size_t place = origin + static_cast<std::size_t>(window.first) * step;
  for (std::int64_t each : window.weights) {
    sum += picture.pixels[place] * each;
    place += step;
  }
  return static_cast<std::uint8_t>(std::clamp<std::int64_t>(sum >> kBits, 0, 255));
}

std::vector<Window> chosen(int size, int wanted, contract::Filter filter, bool antialias) {
  return filter == contract::Filter::kNearest ? nearest(size, wanted) : windows(size, wanted, filter, antialias);
}

Picture along_width(const Picture& picture, int width, contract::Filter filter, bool antialias) {
  if (width == picture.width) return picture;
  const auto each = chosen(picture.width, width, filter, antialias);
  const auto depth = static_cast<std::size_t>(picture.channels);
  Picture found{width, picture.height, picture.channels, {}};
  found.pixels.reserve(depth * static_cast<std::size_t>(width) * static_cast<std::size_t>(picture.height));
  for (std::size_t y = 0; y < static_cast<std::size_t>(picture.height); ++y)
    for (const Window& window : each)
      for (std::size_t c = 0; c < depth; ++c)
        found.pixels.push_back(
            summed(picture, window, y * static_cast<std::size_t>(picture.width) * depth + c, depth));
  return found;
}

Picture along_height(const Picture& picture, int height, contract::Filter filter, bool antialias) {
  if (height == picture.height) return picture;
  const std::size_t row = static_cast<std::size_t>(picture.width) * static_cast<std::size_t>(picture.channels);
  Picture found{picture.width, height, picture.channels, {}};
  found.pixels.reserve(row * static_cast<std::size_t>(height));
  for (const Window& window : chosen(picture.height, height, filter, antialias))
    for (std::size_t x = 0; x < row; ++x) found.pixels.push_back(summed(picture, window, x, row));
  return found;
}

}  // namespace

Picture resized(const Picture& picture, int width, int height, contract::Filter filter, bool antialias) {
  return along_height(along_width(picture, width, filter, antialias), height, filter, antialias);
}
