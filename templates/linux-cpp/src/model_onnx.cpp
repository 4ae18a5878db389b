// ONNX Runtime, through its C API.
#include <cstdlib>
#include <stdexcept>

#include "model.h"
#include "ort.h"
#include "session.h"

namespace {

struct DType {
  const char* name;
  std::size_t size;
  int code;  // ONNXTensorElementDataType
};

constexpr DType kTypes[] = {
    {"float32", 4, 1}, {"uint8", 1, 2}, {"int8", 1, 3},     {"int32", 4, 6},
    {"int64", 8, 7},   {"bool", 1, 9},  {"float16", 2, 10}, {"float64", 8, 11},
};
constexpr int kErrors = 3;
constexpr int kDeviceAllocator = 0;
constexpr int kDefaultMemory = 0;

const DType& named(const std::string& name) {
  for (const DType& each : kTypes)
    if (name == each.name) return each;
  throw std::runtime_error("tensors of type " + name + " are not known here");
}

const DType& coded(int code) {
  for (const DType& each : kTypes)
    if (code == each.code) return each;
  throw std::runtime_error("tensors of type number " + std::to_string(code) + " are not known here");
}

class OnnxModel : public Model {
 public:
  OnnxModel(const std::string& library, const std::string& path, int threads)
      : api_(ort::open(library.c_str())), threads_(threads), env_(environment(api_)), memory_(cpu_memory(api_)),
        opened_(open_session(api_, env_.get(), path, threads)) {
    std::size_t count = 0;
    api_.check(api_.input_count(opened_.session.get(), &count));
    for (std::size_t n = 0; n < count; ++n) in_names_.push_back(name(api_.input_name, n));
    api_.check(api_.output_count(opened_.session.get(), &count));
    for (std::size_t n = 0; n < count; ++n) out_names_.push_back(name(api_.output_name, n));
  }

  std::vector<Tensor> run(const std::vector<Tensor>& inputs) override {
    if (inputs.size() != in_names_.size())
      throw std::runtime_error("the model takes " + std::to_string(in_names_.size()) + " inputs");
    held_ = inputs;
    const Values given(api_, held_.size());
    for (std::size_t n = 0; n < held_.size(); ++n) {
      Tensor& each = held_[n];
      api_.check(api_.create_tensor(memory_.get(), each.bytes.data(), each.bytes.size(), each.shape.data(),
                                    each.shape.size(), named(each.dtype).code, &given.all[n]));
    }
    const Values answers(api_, out_names_.size());
    const auto fed = pointers(in_names_), asked = pointers(out_names_);
    api_.check(api_.run(opened_.session.get(), nullptr, fed.data(), given.all.data(), given.all.size(), asked.data(),
                        asked.size(), answers.all.data()));
    std::vector<Tensor> found;
    for (ort::Value* each : answers.all) found.push_back(copied(each));
    return found;
  }

  std::string about() const override {
    return std::string("ONNX Runtime ") + api_.version + ", " + opened_.runs_on + ", CPU threads: " + std::to_string(threads_);
  }

 private:
  // Values that are released when they are no longer needed.
  struct Values {
    Values(const ort::Api& api, std::size_t count) : all(count, nullptr), api_(api) {}
    Values(const Values&) = delete;
    Values& operator=(const Values&) = delete;
    ~Values() {
      for (ort::Value* each : all)
        if (each != nullptr) api_.release_value(each);
    }
    mutable std::vector<ort::Value*> all;

   private:
    const ort::Api& api_;
  };

  static ort::Owned<ort::Env> environment(const ort::Api& api) {
    ort::Env* made = nullptr;
    api.check(api.create_env(kErrors, "app", &made));
    return {made, api.release_env};
  }

  static ort::Owned<ort::MemoryInfo> cpu_memory(const ort::Api& api) {
    ort::MemoryInfo* made = nullptr;
    api.check(api.cpu_memory(kDeviceAllocator, kDefaultMemory, &made));
    return {made, api.release_memory};
  }

  template <class Ask>
  std::string name(Ask ask, std::size_t number) const {
    ort::Allocator* allocator = nullptr;
    char* text = nullptr;
    api_.check(api_.allocator(&allocator));
    api_.check(ask(opened_.session.get(), number, allocator, &text));
    const std::string found = text;
    api_.check(api_.free(allocator, text));
    return found;
  }

  static std::vector<const char*> pointers(const std::vector<std::string>& names) {
    std::vector<const char*> found;
    for (const std::string& each : names) found.push_back(each.c_str());
    return found;
  }

  Tensor copied(ort::Value* value) const {
    ort::TensorInfo* info = nullptr;
    int code = 0;
    std::size_t rank = 0;
    void* data = nullptr;
    api_.check(api_.tensor_info(value, &info));
    api_.check(api_.element_type(info, &code));
    api_.check(api_.rank(info, &rank));
    Tensor found;
    found.shape.resize(rank);
    api_.check(api_.dimensions(info, found.shape.data(), rank));
    api_.release_info(info);
    api_.check(api_.tensor_data(value, &data));
    const DType& type = coded(code);
    const char* bytes = static_cast<const char*>(data);
    found.dtype = type.name;
    found.bytes.assign(bytes, bytes + count(found.shape) * type.size);
    return found;
  }

  ort::Api api_;
  int threads_;
  ort::Owned<ort::Env> env_;
  ort::Owned<ort::MemoryInfo> memory_;
  Opened opened_;  // is released before the environment that it was made in
  std::vector<std::string> in_names_, out_names_;
  std::vector<Tensor> held_;
};

}  // namespace

std::unique_ptr<Model> load_model(const std::string& path, int threads, const std::string& library) {
  setenv("ORT_DISABLE_TELEMETRY", "1", 1);  // else it writes a device id and starts an uploader
  const char* given = std::getenv("ONNXRUNTIME_LIBRARY");
  const std::string chosen = !library.empty() ? library : given != nullptr ? given : "libonnxruntime.so.1";
  return std::make_unique<OnnxModel>(chosen, path, threads);
}
