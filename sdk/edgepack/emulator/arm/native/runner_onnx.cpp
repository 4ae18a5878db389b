// Runs an .onnx or .ort on samples: runner_onnx LIBONNXRUNTIME MODEL SAMPLES OUTPUTS LEAST_INFERENCES
#include <cstdlib>
#include <iostream>

#include "ort.h"
#include "samples.h"

namespace {

constexpr DType kTypes[] = {
    {"float32", 4, 1}, {"uint8", 1, 2},  {"int8", 1, 3},     {"uint16", 2, 4},   {"int16", 2, 5},   {"int32", 4, 6},
    {"int64", 8, 7},   {"bool", 1, 9},   {"float16", 2, 10}, {"float64", 8, 11}, {"uint32", 4, 12}, {"uint64", 8, 13},
};
constexpr int kErrors = 3;
constexpr int kDeviceAllocator = 0;
constexpr int kDefaultMemory = 0;

class OnnxModel : public Model {
 public:
  OnnxModel(const char* library, const char* path) : api_(ort::open(library)) {
    ort::Env* env;
    ort::SessionOptions* options;
    ort::Allocator* allocator;
    api_.check(api_.create_env(kErrors, "edgepack", &env));
    api_.check(api_.create_options(&options));
    api_.check(api_.set_intra_threads(options, 1));
    api_.check(api_.set_inter_threads(options, 1));
    api_.check(api_.create_session(env, path, options, &session_));
    api_.check(api_.cpu_memory(kDeviceAllocator, kDefaultMemory, &memory_));
    api_.check(api_.allocator(&allocator));
    size_t count;
    api_.check(api_.input_count(session_, &count));
    in_names_.resize(count);
    for (size_t n = 0; n < count; ++n) api_.check(api_.input_name(session_, n, allocator, &in_names_[n]));
    api_.check(api_.output_count(session_, &count));
    out_names_.resize(count);
    for (size_t n = 0; n < count; ++n) api_.check(api_.output_name(session_, n, allocator, &out_names_[n]));
  }

  void take(const Sample& inputs) override {
    if (inputs.size() != in_names_.size())
      throw std::runtime_error("the model takes " + std::to_string(in_names_.size()) + " inputs, the sample has " +
                               std::to_string(inputs.size()));
    release(inputs_);
    held_ = inputs;
    for (Tensor& each : held_) {
      ort::Value* value;
      api_.check(api_.create_tensor(memory_, each.bytes.data(), each.bytes.size(), each.shape.data(),
                                    each.shape.size(), dtype_named(kTypes, each.dtype).code, &value));
      inputs_.push_back(value);
    }
    release(outputs_);
    outputs_.resize(out_names_.size());
  }

  void run() override {
    api_.check(api_.run(session_, nullptr, in_names_.data(), inputs_.data(), inputs_.size(), out_names_.data(),
                        out_names_.size(), outputs_.data()));
  }

  Sample give() override {
    Sample found;
    for (ort::Value* each : outputs_) found.push_back(tensor(each));
    return found;
  }

 private:
  void release(std::vector<ort::Value*>& values) {
    for (ort::Value* each : values) api_.release_value(each);
    values.clear();
  }

  Tensor tensor(ort::Value* value) {
    ort::TensorInfo* info;
    int code;
    size_t rank;
    void* data;
    api_.check(api_.tensor_info(value, &info));
    api_.check(api_.element_type(info, &code));
    api_.check(api_.rank(info, &rank));
    Tensor found;
    found.shape.resize(rank);
    api_.check(api_.dimensions(info, found.shape.data(), rank));
    api_.release_info(info);
    api_.check(api_.tensor_data(value, &data));
    const DType& type = dtype_coded(kTypes, code);
    const char* bytes = static_cast<const char*>(data);
    found.dtype = type.name;
    found.bytes.assign(bytes, bytes + count(found.shape) * type.size);
    return found;
  }

  ort::Api api_;
  ort::Session* session_ = nullptr;
  ort::MemoryInfo* memory_ = nullptr;
  std::vector<char*> in_names_, out_names_;
  Sample held_;
  std::vector<ort::Value*> inputs_, outputs_;
};

}  // namespace

int main(int, char** arguments) {
  setenv("ORT_DISABLE_TELEMETRY", "1", 1);  // else it writes a device id and starts an uploader
  try {
    OnnxModel model(arguments[1], arguments[2]);
    serve(model, read_samples(arguments[3], kTypes), arguments[4], std::stoul(arguments[5]));
  } catch (const std::exception& cause) {
    std::cerr << "error: " << cause.what() << std::endl;
    return 1;
  }
  return 0;
}
