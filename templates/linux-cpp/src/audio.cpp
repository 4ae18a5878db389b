#include "audio.h"

#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>

namespace {

constexpr unsigned kPcm = 1, kFloat = 3, kExtensible = 0xFFFE;

// Little endian, of up to four bytes.
std::uint32_t number(const std::string& bytes, std::size_t place, std::size_t width) {
  std::uint32_t found = 0;
  for (std::size_t n = 0; n < width; ++n)
    found |= static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[place + n])) << (8 * n);
  return found;
}

// The chunks of a RIFF file of kind WAVE, by name; none where it is no such file.
std::map<std::string, std::string> chunks(const std::string& bytes) {
  std::map<std::string, std::string> found;
  if (bytes.compare(0, 4, "RIFF") != 0 || bytes.size() < 12 || bytes.compare(8, 4, "WAVE") != 0) return found;
  for (std::size_t place = 12; place + 8 <= bytes.size();) {
    const std::size_t size = number(bytes, place + 4, 4);
    found[bytes.substr(place, 4)] = bytes.substr(place + 8, size);
    place += 8 + size + size % 2;
  }
  return found;
}

// What a sample is, in double precision.
double value(const std::string& bytes, std::size_t place, unsigned tag, unsigned bits) {
  const std::size_t width = bits / 8;
  const std::uint32_t raw = number(bytes, place, width);
  if (tag == kFloat) {
    float found = 0;
    std::memcpy(&found, &raw, sizeof found);
    return found;
  }
  if (bits == 8) return (static_cast<double>(raw) - 128.0) / 128.0;
  // in the highest bytes of 32 bits
  return static_cast<double>(static_cast<std::int32_t>(raw << (32 - bits))) / 2147483648.0;
}

bool is_read(unsigned tag, unsigned bits) {
  return tag == kFloat ? bits == 32 : tag == kPcm && (bits == 8 || bits == 16 || bits == 24 || bits == 32);
}

std::vector<float> parsed(const std::string& bytes, int rate) {
  const auto all = chunks(bytes);
  const auto head = all.find("fmt "), data = all.find("data");
  if (head == all.end() || head->second.size() < 16 || data == all.end())
    throw std::runtime_error("it is no .wav file, or not a whole one");
  unsigned tag = number(head->second, 0, 2);
  const unsigned channels = number(head->second, 2, 2), found = number(head->second, 4, 4);
  const unsigned bits = number(head->second, 14, 2);
  if (tag == kExtensible && head->second.size() >= 26) tag = number(head->second, 24, 2);  // of the sub-format
  if (found != static_cast<unsigned>(rate))
    throw std::runtime_error("it has " + std::to_string(found) + " samples a second, and the model takes " +
                             std::to_string(rate) + ": resample it first");
  if (channels == 0) throw std::runtime_error("it has no channel");
  if (!is_read(tag, bits))
    throw std::runtime_error("its samples are of format " + std::to_string(tag) + " in " + std::to_string(bits) +
                             " bits; PCM and floats of 32 bits are read");
  const std::size_t width = bits / 8, frames = data->second.size() / width / channels;
  std::vector<float> samples;
  samples.reserve(frames);
  for (std::size_t frame = 0; frame < frames; ++frame) {
    double sum = 0.0;
    for (std::size_t channel = 0; channel < channels; ++channel)
      sum += value(data->second, (frame * channels + channel) * width, tag, bits);
    samples.push_back(static_cast<float>(sum / channels));
  }
  return samples;
}

}  // namespace

std::vector<float> read_wav(const std::string& path, int rate) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(path + " cannot be read");
  try {
    return parsed(std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()), rate);
  } catch (const std::runtime_error& cause) {
    throw std::runtime_error(path + ": " + cause.what());
  }
}
