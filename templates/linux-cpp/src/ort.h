// What is used of ONNX Runtime's C API, from a libonnxruntime.so that is opened by name.
//
// A program linked to the library's versioned symbols starts with that one version only, so nothing is
// linked, and no header is needed: the API is a table of functions whose places never change, since
// upstream only appends to it (onnxruntime_c_api.h; these are of its first version).
#pragma once

#include <dlfcn.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>

namespace ort {

struct Status;
struct Env;
struct Session;
struct SessionOptions;
struct Value;
struct MemoryInfo;
struct Allocator;
struct TensorInfo;

struct Api {
  const char* (*error_message)(const Status*);
  Status* (*create_env)(int severity, const char* id, Env**);
  Status* (*create_session)(const Env*, const char* path, const SessionOptions*, Session**);
  Status* (*run)(Session*, const void* options, const char* const* in_names, const Value* const* in, size_t in_count,
                 const char* const* out_names, size_t out_count, Value** out);
  Status* (*create_options)(SessionOptions**);
  Status* (*set_intra_threads)(SessionOptions*, int);
  Status* (*set_inter_threads)(SessionOptions*, int);
  Status* (*input_count)(const Session*, size_t*);
  Status* (*output_count)(const Session*, size_t*);
  Status* (*input_name)(const Session*, size_t, Allocator*, char**);
  Status* (*output_name)(const Session*, size_t, Allocator*, char**);
  Status* (*create_tensor)(const MemoryInfo*, void* data, size_t bytes, const int64_t* shape, size_t rank, int dtype,
                           Value**);
  Status* (*tensor_data)(Value*, void**);
  Status* (*element_type)(const TensorInfo*, int*);
  Status* (*rank)(const TensorInfo*, size_t*);
  Status* (*dimensions)(const TensorInfo*, int64_t*, size_t rank);
  Status* (*tensor_info)(const Value*, TensorInfo**);
  Status* (*cpu_memory)(int allocator, int kind, MemoryInfo**);
  Status* (*allocator)(Allocator**);
  Status* (*free)(Allocator*, void*);
  void (*release_env)(Env*);
  void (*release_status)(Status*);
  void (*release_memory)(MemoryInfo*);
  void (*release_session)(Session*);
  void (*release_value)(Value*);
  void (*release_info)(TensorInfo*);
  void (*release_options)(SessionOptions*);
  void* const* (*table)(uint32_t version);  // null where the library is older than that version of the API
  const char* version;

  void check(Status* status) const {
    if (!status) return;
    const std::string message = error_message(status);
    release_status(status);
    throw std::runtime_error(message);
  }
};

// What is released by a function of the API's.
template <class Thing>
using Owned = std::unique_ptr<Thing, void (*)(Thing*)>;

struct ApiBase {
  void* const* (*get)(uint32_t version);
  const char* (*version)();
};

template <class Function>
void put(Function& function, void* const* table, int place) {
  function = reinterpret_cast<Function>(table[static_cast<size_t>(place)]);
}

inline Api open(const char* library) {
  void* handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (!handle) throw std::runtime_error(dlerror());
  auto get_base = reinterpret_cast<const ApiBase* (*)()>(dlsym(handle, "OrtGetApiBase"));
  if (!get_base) throw std::runtime_error(std::string(library) + " is not ONNX Runtime");
  void* const* table = get_base()->get(1);
  Api api{};
  put(api.error_message, table, 2);
  put(api.create_env, table, 3);
  put(api.create_session, table, 7);
  put(api.run, table, 9);
  put(api.create_options, table, 10);
  put(api.set_intra_threads, table, 24);
  put(api.set_inter_threads, table, 25);
  put(api.input_count, table, 30);
  put(api.output_count, table, 31);
  put(api.input_name, table, 36);
  put(api.output_name, table, 37);
  put(api.create_tensor, table, 49);
  put(api.tensor_data, table, 51);
  put(api.element_type, table, 60);
  put(api.rank, table, 61);
  put(api.dimensions, table, 62);
  put(api.tensor_info, table, 65);
  put(api.cpu_memory, table, 69);
  put(api.free, table, 76);
  put(api.allocator, table, 78);
  put(api.release_env, table, 92);
  put(api.release_status, table, 93);
  put(api.release_memory, table, 94);
  put(api.release_session, table, 95);
  put(api.release_value, table, 96);
  put(api.release_info, table, 99);
  put(api.release_options, table, 100);
  api.table = get_base()->get;
  api.version = get_base()->version();
  return api;
}

}  // namespace ort
