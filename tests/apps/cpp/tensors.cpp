// Pre-processes pictures and sound as the apps do: a case a line on stdin, its tensor's bytes into a file.
//
//   picture PATH OUT height width depth bgr planes bytes resize shorter_side pad filter antialias low high mean… std…
//   yuyv PATH OUT width height
//   wav PATH OUT rate
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>
#include <vector>

#include "audio.h"
#include "preprocess.h"

namespace {

void write(const std::string& path, const char* bytes, std::size_t size) {
  std::ofstream(path, std::ios::binary).write(bytes, static_cast<std::streamsize>(size));
}

contract::Image image(std::istream& words) {
  contract::Image found{};
  int resize = 0, filter = 0;
  words >> found.height >> found.width >> found.depth >> found.bgr >> found.planes >> found.bytes >> resize >>
      found.shorter_side >> found.pad_value >> filter >> found.antialias >> found.low >> found.high;
  found.resize = static_cast<contract::Resize>(resize);
  found.filter = static_cast<contract::Filter>(filter);
  std::vector<double> rest{std::istream_iterator<double>(words), {}};
  const auto half = rest.begin() + static_cast<std::ptrdiff_t>(rest.size() / 2);
  found.mean.assign(rest.begin(), half);
  found.std.assign(half, rest.end());
  return found;
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string kind, path, out;
    words >> kind >> path >> out;
    if (kind == "picture") {
      const contract::Image wanted = image(words);
      const Tensor tensor = prepared(framed(read_picture(path), wanted), wanted);
      write(out, tensor.bytes.data(), tensor.bytes.size());
    } else if (kind == "wav") {
      int rate = 0;
      words >> rate;
      const std::vector<float> sound = read_wav(path, rate);
      write(out, reinterpret_cast<const char*>(sound.data()), sound.size() * sizeof(float));
    } else {
      int width = 0, height = 0;
      words >> width >> height;
      std::ifstream file(path, std::ios::binary);
      const std::vector<char> raw{std::istreambuf_iterator<char>(file), {}};
      const Picture frame = from_yuyv(reinterpret_cast<const std::uint8_t*>(raw.data()), width, height, 2 * width);
      write(out, reinterpret_cast<const char*>(frame.pixels.data()), frame.pixels.size());
    }
  }
  return 0;
}
