#include "labels.h"

#include <fstream>
#include <stdexcept>

namespace {

std::string unescaped(const std::string& line) {
  std::string found;
  for (std::size_t n = 0; n < line.size(); ++n) {
    if (line[n] != '\\' || n + 1 == line.size()) {
      found += line[n];
      continue;
    }
    const char kind = line[++n];
    found += kind == 'n' ? '\n' : kind == 'r' ? '\r' : kind;
  }
  return found;
}

}  // namespace

std::vector<std::string> read_labels(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(path + " cannot be read");
  std::vector<std::string> found;
  for (std::string line; std::getline(file, line);) found.push_back(unescaped(line));
  return found;
}

std::string label_of(const std::vector<std::string>& labels, std::size_t number) {
  return number < labels.size() ? printable(labels[number]) : "class " + std::to_string(number);
}

std::string printable(const std::string& text) {
  std::string found;
  for (char each : text) {
    const auto code = static_cast<unsigned char>(each);
    found += code < 0x20 || code == 0x7F ? '?' : each;
  }
  return found;
}
