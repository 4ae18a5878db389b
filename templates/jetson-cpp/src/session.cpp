// ONNX Runtime on a Jetson: TensorRT, else CUDA, else the CPU; what is not used is said on stderr.
#include "session.h"

#include <sys/stat.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <vector>

#include "engine.h"

namespace {

struct TensorRtOptions;
struct CudaOptions;

// What GPUs need of the C API's 11th version, of ONNX Runtime 1.11 (onnxruntime_c_api.h).
struct Gpu {
  ort::Status* (*append_tensorrt)(ort::SessionOptions*, const TensorRtOptions*);
  ort::Status* (*create_tensorrt)(TensorRtOptions**);
  ort::Status* (*update_tensorrt)(TensorRtOptions*, const char* const* keys, const char* const* values, size_t count);
  void (*release_tensorrt)(TensorRtOptions*);
  ort::Status* (*append_cuda)(ort::SessionOptions*, const CudaOptions*);
  ort::Status* (*create_cuda)(CudaOptions**);
  void (*release_cuda)(CudaOptions*);
};

Gpu gpu(const ort::Api& api) {
  void* const* table = api.table(11);
  if (!table) throw std::runtime_error("ONNX Runtime is older than 1.11");
  Gpu found{};
  ort::put(found.append_tensorrt, table, 170);
  ort::put(found.create_tensorrt, table, 171);
  ort::put(found.update_tensorrt, table, 172);
  ort::put(found.release_tensorrt, table, 174);
  ort::put(found.append_cuda, table, 204);
  ort::put(found.create_cuda, table, 205);
  ort::put(found.release_cuda, table, 208);
  return found;
}

// Of a file's bytes: 64-bit FNV-1a.
std::string digest(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::uint64_t found = 14695981039346656037U;
  for (char each = 0; file.get(each);) found = (found ^ static_cast<unsigned char>(each)) * 1099511628211U;
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(found));
  return text;
}

// Where a model's engine is kept. TensorRT does not notice that weights have changed: each has a folder of its own.
std::string engines(const std::string& path) {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  std::string folder = cache != nullptr && *cache != '\0' ? cache : std::string(home != nullptr ? home : ".") + "/.cache";
  for (const std::string& part : {std::string(), std::string("/tensorrt-engines"), "/" + digest(path)}) {
    folder += part;
    mkdir(folder.c_str(), 0755);  // it may be there; TensorRT says so where it cannot be written
  }
  return folder;
}

void add_tensorrt(const ort::Api& api, ort::SessionOptions* options, const std::string& path) {
  const Gpu functions = gpu(api);
  TensorRtOptions* chosen = nullptr;
  api.check(functions.create_tensorrt(&chosen));
  const std::string folder = engines(path);
  const char* keys[] = {"trt_engine_cache_enable", "trt_engine_cache_path", "trt_timing_cache_enable",
                        "trt_int8_enable", "trt_fp16_enable"};
  const char* values[] = {"1", folder.c_str(), "1", kInt8 ? "1" : "0", kHalf ? "1" : "0"};
  ort::Status* failed = functions.update_tensorrt(chosen, keys, values, sizeof keys / sizeof *keys);
  if (!failed) failed = functions.append_tensorrt(options, chosen);
  functions.release_tensorrt(chosen);
  api.check(failed);
  std::fprintf(stderr, "engines are kept in %s; the first start takes minutes\n", folder.c_str());
}

void add_cuda(const ort::Api& api, ort::SessionOptions* options, const std::string&) {
  const Gpu functions = gpu(api);
  CudaOptions* chosen = nullptr;
  api.check(functions.create_cuda(&chosen));
  ort::Status* failed = functions.append_cuda(options, chosen);
  functions.release_cuda(chosen);
  api.check(failed);
}

struct Provider {
  const char* name;
  void (*add)(const ort::Api&, ort::SessionOptions*, const std::string& path);
};

void tell_lost(const Provider& provider, const std::runtime_error& cause) {
  std::fprintf(stderr, "not used: %s: %s\n", provider.name, cause.what());
}

// The providers that can be added to `options`, which they are; of the others it is said why not.
std::vector<Provider> added(const ort::Api& api, ort::SessionOptions* options, const std::string& path,
                            const std::vector<Provider>& all) {
  std::vector<Provider> found;
  for (const Provider& each : all) try {
      each.add(api, options, path);
      found.push_back(each);
    } catch (const std::runtime_error& cause) {
      tell_lost(each, cause);
    }
  return found;
}

}  // namespace

// From the fastest provider on; one that does not start is left out, and the rest is tried again.
Opened open_session(const ort::Api& api, const ort::Env* env, const std::string& path, int threads) {
  std::vector<Provider> left{{"TensorRT", add_tensorrt}, {"CUDA", add_cuda}};
  for (;;) {
    const auto options = cpu_options(api, threads);
    left = added(api, options.get(), path, left);
    try {
      Opened opened{session_of(api, env, path, options.get()), ""};
      for (const Provider& each : left) opened.runs_on += std::string(each.name) + ", ";
      opened.runs_on += "CPU";
      return opened;
    } catch (const std::runtime_error& cause) {
      if (left.empty()) throw;
      tell_lost(left.front(), cause);
      left.erase(left.begin());
    }
  }
}
