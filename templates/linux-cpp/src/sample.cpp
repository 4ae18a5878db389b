#include "sample.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <numeric>
#include <stdexcept>

#include "audio.h"
#include "contract.h"
#include "npy.h"
#include "preprocess.h"

namespace {

double mean_of(const Tensor& tensor) {
  const auto values = as_doubles(tensor);
  return values.empty() ? 0.0 : std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

bool is_wav(const std::string& path) {
  return path.size() > 4 && (path.compare(path.size() - 4, 4, ".wav") == 0 || path.compare(path.size() - 4, 4, ".WAV") == 0);
}

std::size_t sound_place() {
  std::size_t place = 0;
  while (is_carried(contract::inputs()[place].name)) ++place;
  return place;
}

// `size` samples from `first` on.
Tensor piece(const std::vector<float>& whole, std::size_t first, std::size_t size, const std::vector<std::int64_t>& shape) {
  Tensor found{"float32", shape, std::vector<char>(size * sizeof(float))};
  std::memcpy(found.bytes.data(), whole.data() + first, found.bytes.size());
  return found;
}

// A recording as the model takes it, call by call: each adds `hop` samples to the last of those before, zeros where there
// are none yet, or none any more; whole where any length will do.
std::vector<Sample> pieces(const std::vector<float>& sound, int rate) {
  const std::size_t place = sound_place();
  std::vector<std::int64_t> shape = contract::inputs()[place].shape;
  if (std::any_of(shape.begin(), shape.end() - 1, [](std::int64_t size) { return size > 1; }))
    throw std::runtime_error("a recording has one channel, and the model takes more");
  if (sound.empty()) throw std::runtime_error("there is no sound in it");
  if (shape.back() < 1) shape.back() = static_cast<std::int64_t>(sound.size());
  std::replace_if(shape.begin(), shape.end(), [](std::int64_t size) { return size < 1; }, 1);
  const auto size = static_cast<std::size_t>(shape.back());
  const std::size_t hop = contract::kHop > 0 ? contract::kHop : size;
  const std::size_t calls = (sound.size() + hop - 1) / hop;
  std::vector<float> whole(size + (calls - 1) * hop, 0.0F);
  std::copy(sound.begin(), sound.end(), whole.begin() + static_cast<std::ptrdiff_t>(size - hop));
  std::vector<Sample> found;
  for (std::size_t first = 0; first < calls * hop; first += hop) {
    Sample made;
    made.inputs.resize(contract::inputs().size());
    made.inputs[place] = piece(whole, first, size, shape);
    made.mean = mean_of(made.inputs[place]);
    char text[32];
    std::snprintf(text, sizeof text, " at %.3f s", static_cast<double>(first) / rate);
    if (calls > 1) made.place = text;
    found.push_back(std::move(made));
  }
  return found;
}

}  // namespace

bool is_carried(const std::string& input) {
  const auto& all = contract::state();
  return std::any_of(all.begin(), all.end(), [&](const contract::State& each) { return input == each.input; });
}

std::size_t files_each() {
  const auto& all = contract::inputs();
  return static_cast<std::size_t>(
      std::count_if(all.begin(), all.end(), [](const contract::Input& each) { return !is_carried(each.name); }));
}

std::vector<Sample> read_samples(const std::vector<std::string>& paths) {
  if (contract::kTakesPicture) return {of_picture(read_picture(paths.at(0)))};
  if (contract::kSampleRate > 0 && is_wav(paths.at(0))) {
    const auto sound = read_wav(paths[0], contract::kSampleRate);
    try {
      return pieces(sound, contract::kSampleRate);
    } catch (const std::runtime_error& cause) {
      throw std::runtime_error(paths[0] + ": " + cause.what());
    }
  }
  Sample found;
  std::size_t next = 0;
  for (const contract::Input& each : contract::inputs())
    found.inputs.push_back(is_carried(each.name) ? Tensor{} : read_npy(paths.at(next++)));
  found.mean = mean_of(found.inputs.at(0));
  return {found};
}

Sample of_picture(const Picture& picture) {
  const auto begun = std::chrono::steady_clock::now();
  const Picture frame = framed(picture, contract::image());
  Sample found;
  found.inputs.push_back(prepared(frame, contract::image()));
  found.milliseconds = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begun).count();
  found.mean = mean(frame);
  found.width = picture.width;
  found.height = picture.height;
  return found;
}
