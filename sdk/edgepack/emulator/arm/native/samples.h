// Samples in files, and what both runners do with them.
//
// A file of samples is, for every tensor, a line of text and the values: "float32 1 3 224 224\n", then
// the bytes, row-major, little-endian. A line "end\n" closes a sample. Types are named as NumPy does.
#pragma once

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

struct Tensor {
  std::string dtype;
  std::vector<int64_t> shape;
  std::vector<char> bytes;
};
using Sample = std::vector<Tensor>;

// A loaded model file: one inference is take, run, give; only run is counted.
struct Model {
  virtual ~Model() = default;
  virtual void take(const Sample& inputs) = 0;
  virtual void run() = 0;
  virtual Sample give() = 0;
};

struct DType {
  const char* name;
  size_t size;
  int code;  // the runtime's own number of the type
};

// The entry of a runtime's table by its name or by its number.
template <size_t N>
const DType& dtype_named(const DType (&table)[N], const std::string& name) {
  for (const DType& each : table)
    if (name == each.name) return each;
  throw std::runtime_error("tensors of type " + name + " are not known here");
}

template <size_t N>
const DType& dtype_coded(const DType (&table)[N], int code) {
  for (const DType& each : table)
    if (code == each.code) return each;
  throw std::runtime_error("tensors of type number " + std::to_string(code) + " are not known here");
}

inline size_t count(const std::vector<int64_t>& shape) {
  size_t product = 1;
  for (int64_t each : shape) product *= static_cast<size_t>(each);
  return product;
}

template <size_t N>
std::vector<Sample> read_samples(const char* path, const DType (&table)[N]) {
  std::ifstream file(path, std::ios::binary);
  std::vector<Sample> samples(1);
  for (std::string line; std::getline(file, line);) {
    if (line == "end") {
      samples.emplace_back();
      continue;
    }
    std::istringstream words(line);
    Tensor tensor;
    words >> tensor.dtype;
    for (int64_t size; words >> size;) tensor.shape.push_back(size);
    tensor.bytes.resize(count(tensor.shape) * dtype_named(table, tensor.dtype).size);
    file.read(tensor.bytes.data(), static_cast<std::streamsize>(tensor.bytes.size()));
    if (!file) throw std::runtime_error(std::string(path) + " ends too early");
    samples.back().push_back(std::move(tensor));
  }
  samples.pop_back();
  if (samples.empty()) throw std::runtime_error(std::string(path) + " holds no sample");
  return samples;
}

inline void write_sample(std::ofstream& file, const Sample& sample) {
  for (const Tensor& each : sample) {
    file << each.dtype;
    for (int64_t size : each.shape) file << ' ' << size;
    file << '\n';
    file.write(each.bytes.data(), static_cast<std::streamsize>(each.bytes.size()));
  }
  file << "end\n";
}

// Tells the emulator's counter where an inference begins and ends: a system call that does nothing.
inline void mark(bool begins) { syscall(SYS_getpgid, 0x5EED0000 + begins); }

// Tells it where a call of a delegate does; the first 32 letters of its name go with it, eight a register.
inline void mark_call(bool begins, const std::string& name) {
  uint64_t letters[4] = {};
  std::memcpy(letters, name.data(), std::min(name.size(), sizeof letters));
  syscall(SYS_getpgid, 0x5EED0010 + begins, letters[0], letters[1], letters[2], letters[3]);
}

// Runs every sample, again from the first until there were `least` inferences; writes each one's outputs once.
inline void serve(Model& model, const std::vector<Sample>& samples, const char* path, size_t least) {
  std::ofstream file(path, std::ios::binary);
  for (size_t n = 0; n < samples.size() || n < least; ++n) {
    model.take(samples[n % samples.size()]);
    mark(true);
    model.run();
    mark(false);
    if (n < samples.size()) write_sample(file, model.give());
  }
  file.flush();
  if (!file) throw std::runtime_error(std::string(path) + " cannot be written");
}
