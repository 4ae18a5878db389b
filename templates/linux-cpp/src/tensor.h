#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

// Values in row-major order; types are named as NumPy does.
struct Tensor {
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::vector<char> bytes;
};

inline std::size_t count(const std::vector<std::int64_t>& shape) {
  std::size_t product = 1;
  for (std::int64_t each : shape) product *= static_cast<std::size_t>(each);
  return product;
}

template <class Value>
std::vector<double> converted(const Tensor& tensor) {
  std::vector<Value> values(tensor.bytes.size() / sizeof(Value));
  std::memcpy(values.data(), tensor.bytes.data(), values.size() * sizeof(Value));
  return std::vector<double>(values.begin(), values.end());
}

// The values of a tensor of numbers. Throws std::runtime_error where they are of another type.
inline std::vector<double> as_doubles(const Tensor& tensor) {
  if (tensor.dtype == "float32") return converted<float>(tensor);
  if (tensor.dtype == "float64") return converted<double>(tensor);
  if (tensor.dtype == "int64") return converted<std::int64_t>(tensor);
  if (tensor.dtype == "int32") return converted<std::int32_t>(tensor);
  if (tensor.dtype == "int8") return converted<std::int8_t>(tensor);
  if (tensor.dtype == "uint8" || tensor.dtype == "bool") return converted<std::uint8_t>(tensor);
  throw std::runtime_error("values of type " + tensor.dtype + " are not read here");
}
