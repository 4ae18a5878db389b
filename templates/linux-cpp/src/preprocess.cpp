#include "preprocess.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "resample.h"

namespace {

using contract::Image;

// `picture` laid at (left, top) of the model's; what lies outside is cut off.
Picture laid(const Picture& picture, const Image& wanted, const Framing& place) {
  const std::ptrdiff_t depth = picture.channels;
  Picture found{wanted.width, wanted.height, picture.channels,
                std::vector<std::uint8_t>(static_cast<std::size_t>(depth * wanted.width * wanted.height),
                                          static_cast<std::uint8_t>(wanted.pad_value))};
  const int first = std::max(0, place.left), end = std::min(wanted.width, place.left + picture.width);
  for (int y = std::max(0, place.top); y < std::min(wanted.height, place.top + picture.height); ++y)
    std::copy_n(picture.pixels.begin() + (std::ptrdiff_t{y - place.top} * picture.width + first - place.left) * depth,
                (end - first) * depth, found.pixels.begin() + (std::ptrdiff_t{y} * wanted.width + first) * depth);
  return found;
}

Framing letterboxed(int width, int height, const Image& wanted) {
  const double scale = std::min(static_cast<double>(wanted.width) / width, static_cast<double>(wanted.height) / height);
  const int wide = std::max(1, static_cast<int>(width * scale + 0.5));
  const int high = std::max(1, static_cast<int>(height * scale + 0.5));
  return {wide, high, (wanted.width - wide) / 2, (wanted.height - high) / 2};
}

Framing by_shorter_side(int width, int height, const Image& wanted) {
  const bool upright = width <= height;
  const int side = wanted.shorter_side;
  // in the order of torchvision: side * longer / shorter, cut to a whole number
  const int longer = upright ? static_cast<int>(static_cast<double>(std::int64_t{side} * height) / width)
                             : static_cast<int>(static_cast<double>(std::int64_t{side} * width) / height);
  const int wide = upright ? side : longer, high = upright ? longer : side;
  const auto middle = [](int size, int part) { return static_cast<int>(std::nearbyint((size - part) / 2.0)); };
  return {wide, high, -middle(wide, wanted.width), -middle(high, wanted.height)};
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

Framing framing(int width, int height, const Image& wanted) {
  if (wanted.resize == contract::Resize::kStretch) return {wanted.width, wanted.height, 0, 0};
  const bool letterbox = wanted.resize == contract::Resize::kLetterbox;
  return letterbox ? letterboxed(width, height, wanted) : by_shorter_side(width, height, wanted);
}

Picture framed(const Picture& picture, const Image& wanted) {
  const Framing place = framing(picture.width, picture.height, wanted);
  const Picture found = with_channels(picture, wanted.depth);
  return laid(resized(found, place.width, place.height, wanted.filter, wanted.antialias), wanted, place);
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
