#include "preprocess.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "resample.h"

namespace {

using contract::Image;

// `size` values of `picture` from (left, top) on.
Picture cropped(const Picture& picture, int left, int top, int width, int height) {
  Picture found{width, height, picture.channels, {}};
  const std::ptrdiff_t depth = picture.channels;
  for (int y = 0; y < height; ++y) {
    const auto row = picture.pixels.begin() + ((std::ptrdiff_t{top} + y) * picture.width + left) * depth;
    found.pixels.insert(found.pixels.end(), row, row + width * depth);
  }
  return found;
}

Picture letterboxed(const Picture& picture, const Image& wanted) {
  const double scale = std::min(static_cast<double>(wanted.width) / picture.width,
                                static_cast<double>(wanted.height) / picture.height);
  const int width = std::max(1, static_cast<int>(picture.width * scale + 0.5));
  const int height = std::max(1, static_cast<int>(picture.height * scale + 0.5));
  const Picture small = resized(picture, width, height, wanted.filter, wanted.antialias);
  const std::ptrdiff_t depth = picture.channels;
  const auto total = static_cast<std::size_t>(depth * wanted.width * wanted.height);
  Picture found{wanted.width, wanted.height, picture.channels,
                std::vector<std::uint8_t>(total, static_cast<std::uint8_t>(wanted.pad_value))};
  const int left = (wanted.width - width) / 2, top = (wanted.height - height) / 2;
  for (int y = 0; y < height; ++y)
    std::copy_n(small.pixels.begin() + std::ptrdiff_t{y} * width * depth, width * depth,
                found.pixels.begin() + ((std::ptrdiff_t{top} + y) * wanted.width + left) * depth);
  return found;
}

Picture by_shorter_side(const Picture& picture, const Image& wanted) {
  const bool upright = picture.width <= picture.height;
  const int side = wanted.shorter_side;
  // in the order of torchvision: side * longer / shorter, cut to a whole number
  const int longer = upright ? static_cast<int>(static_cast<double>(std::int64_t{side} * picture.height) / picture.width)
                             : static_cast<int>(static_cast<double>(std::int64_t{side} * picture.width) / picture.height);
  const int width = upright ? side : longer, height = upright ? longer : side;
  const Picture found = resized(picture, width, height, wanted.filter, wanted.antialias);
  const auto middle = [](int size, int part) { return static_cast<int>(std::nearbyint((size - part) / 2.0)); };
  return cropped(found, middle(width, wanted.width), middle(height, wanted.height), wanted.width, wanted.height);
}

// The float of each 8-bit value of a channel, rounded once from double precision.
std::array<float, 256> table(const Image& wanted, std::size_t channel) {
  const double mean = wanted.mean.empty() ? 0.0 : wanted.mean[channel];
  const double std = wanted.std.empty() ? 1.0 : wanted.std[channel];
  std::array<float, 256> found{};
  for (std::size_t level = 0; level < found.size(); ++level) {
    const double spread = (wanted.high - wanted.low) * static_cast<double>(level) / 255.0;
    found[level] = static_cast<float>(((spread + wanted.low) - mean) / std);
  }
  return found;
}

// Where the value of a pixel and channel stands in the tensor.
std::size_t place(const Image& wanted, std::size_t pixel, std::size_t channel) {
  const auto size = static_cast<std::size_t>(wanted.width) * static_cast<std::size_t>(wanted.height);
  return wanted.planes ? channel * size + pixel : pixel * static_cast<std::size_t>(wanted.depth) + channel;
}

template <class Value, class Change>
std::vector<char> laid_out(const Picture& frame, const Image& wanted, Change change) {
  std::vector<Value> found(frame.pixels.size());
  const auto depth = static_cast<std::size_t>(wanted.depth);
  for (std::size_t n = 0; n < frame.pixels.size(); ++n) {
    const std::size_t channel = wanted.bgr ? depth - 1 - n % depth : n % depth;
    found[place(wanted, n / depth, channel)] = change(channel, frame.pixels[n]);
  }
  std::vector<char> bytes(found.size() * sizeof(Value));
  std::memcpy(bytes.data(), found.data(), bytes.size());
  return bytes;
}

}  // namespace

Picture framed(const Picture& picture, const Image& wanted) {
  const Picture found = with_channels(picture, wanted.depth);
  if (wanted.resize == contract::Resize::kStretch)
    return resized(found, wanted.width, wanted.height, wanted.filter, wanted.antialias);
  return wanted.resize == contract::Resize::kLetterbox ? letterboxed(found, wanted) : by_shorter_side(found, wanted);
}

Tensor prepared(const Picture& frame, const Image& wanted) {
  Tensor found{wanted.bytes ? "uint8" : "float32", {1, wanted.height, wanted.width, wanted.depth}, {}};
  if (wanted.planes) found.shape = {1, wanted.depth, wanted.height, wanted.width};
  if (wanted.bytes) {
    found.bytes = laid_out<std::uint8_t>(frame, wanted, [](std::size_t, std::uint8_t level) { return level; });
    return found;
  }
  std::vector<std::array<float, 256>> tables;
  for (std::size_t channel = 0; channel < static_cast<std::size_t>(wanted.depth); ++channel)
    tables.push_back(table(wanted, channel));
  found.bytes = laid_out<float>(frame, wanted, [&tables](std::size_t channel, std::uint8_t level) {
    return tables[channel][level];
  });
  return found;
}

double mean(const Picture& frame) {
  const auto sum = std::accumulate(frame.pixels.begin(), frame.pixels.end(), std::uint64_t{0});
  return static_cast<double>(sum) / static_cast<double>(frame.pixels.size());
}
