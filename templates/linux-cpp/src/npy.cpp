#include "npy.h"

#include <fstream>
#include <iterator>
#include <map>
#include <utility>

namespace {

const std::map<std::string, std::pair<const char*, std::size_t>>& types() {
  static const std::map<std::string, std::pair<const char*, std::size_t>> found{
      {"<f4", {"float32", 4}}, {"<f8", {"float64", 8}}, {"<f2", {"float16", 2}}, {"|u1", {"uint8", 1}},
      {"|i1", {"int8", 1}},    {"<i4", {"int32", 4}},   {"<i8", {"int64", 8}},   {"|b1", {"bool", 1}},
  };
  return found;
}

// What stands between two marks behind `key` in the file's head.
std::string value_of(const std::string& head, const std::string& key, char open, char close) {
  const std::size_t place = head.find("'" + key + "':");
  const std::size_t first = place == std::string::npos ? place : head.find(open, place + key.size() + 3);
  const std::size_t last = first == std::string::npos ? first : head.find(close, first + 1);
  if (last == std::string::npos) throw std::runtime_error("its head has no " + key);
  return head.substr(first + 1, last - first - 1);
}

std::vector<std::int64_t> shape_of(const std::string& text) {
  std::vector<std::int64_t> found;
  for (std::size_t place = 0; (place = text.find_first_of("0123456789", place)) != std::string::npos;) {
    std::size_t length = 0;
    found.push_back(std::stoll(text.substr(place), &length));
    place += length;
  }
  return found;
}

Tensor parsed(const std::string& bytes) {
  if (bytes.size() < 10 || bytes.compare(0, 6, "\x93NUMPY") != 0 || bytes[6] != 1)
    throw std::runtime_error("it is no NumPy file of version 1.0");
  const std::size_t length =
      static_cast<unsigned char>(bytes[8]) + 256U * static_cast<std::size_t>(static_cast<unsigned char>(bytes[9]));
  const std::string head = bytes.substr(10, length);
  const auto type = types().find(value_of(head, "descr", '\'', '\''));
  if (type == types().end()) throw std::runtime_error("its type is not known");
  if (head.find("'fortran_order': False") == std::string::npos) throw std::runtime_error("it is in Fortran's order");
  Tensor found{type->second.first, shape_of(value_of(head, "shape", '(', ')')), {}};
  const std::size_t size = count(found.shape) * type->second.second;
  if (bytes.size() != 10 + length + size) throw std::runtime_error("its length is not what its head says");
  const auto first = bytes.begin() + static_cast<std::ptrdiff_t>(10 + length);
  found.bytes.assign(first, bytes.end());
  return found;
}

}  // namespace

Tensor read_npy(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(path + " cannot be read");
  try {
    return parsed(std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()));
  } catch (const std::runtime_error& cause) {
    throw std::runtime_error(path + ": " + cause.what());
  }
}

Tensor entry(const Tensor& stack, std::size_t number) {
  Tensor found{stack.dtype, {stack.shape.begin() + 1, stack.shape.end()}, {}};
  const std::size_t size = stack.bytes.size() / static_cast<std::size_t>(stack.shape.at(0));
  const auto first = stack.bytes.begin() + static_cast<std::ptrdiff_t>(number * size);
  found.bytes.assign(first, first + static_cast<std::ptrdiff_t>(size));
  return found;
}
