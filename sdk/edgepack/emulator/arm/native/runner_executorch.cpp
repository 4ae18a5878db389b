// Runs a .pte on samples: runner_executorch MODEL SAMPLES OUTPUTS LEAST_INFERENCES
#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>
#include <executorch/extension/threadpool/threadpool_guard.h>

#include <iostream>

#include "samples.h"

namespace {

using executorch::aten::ScalarType;
using executorch::extension::Module;
using executorch::extension::TensorPtr;
using executorch::runtime::Error;
using executorch::runtime::EValue;

constexpr DType kTypes[] = {
    {"uint8", 1, int(ScalarType::Byte)},      {"int8", 1, int(ScalarType::Char)},
    {"int16", 2, int(ScalarType::Short)},     {"int32", 4, int(ScalarType::Int)},
    {"int64", 8, int(ScalarType::Long)},      {"float16", 2, int(ScalarType::Half)},
    {"float32", 4, int(ScalarType::Float)},   {"float64", 8, int(ScalarType::Double)},
    {"bool", 1, int(ScalarType::Bool)},       {"uint16", 2, int(ScalarType::UInt16)},
    {"uint32", 4, int(ScalarType::UInt32)},   {"uint64", 8, int(ScalarType::UInt64)},
};

void check(Error error, const std::string& doing) {
  if (error != Error::Ok)
    throw std::runtime_error(doing + ": " + executorch::runtime::to_string(error));
}

class ExecutorchModel : public Model {
 public:
  explicit ExecutorchModel(const char* path) : module_(path, Module::LoadMode::Mmap) {
    using Verification = executorch::runtime::Program::Verification;
    check(module_.load(Verification::InternalConsistency), std::string("loading ") + path);
    check(module_.load_forward(), "loading the method forward");
  }

  void take(const Sample& inputs) override {
    held_ = inputs;
    tensors_.clear();
    values_.clear();
    for (Tensor& each : held_) {
      std::vector<executorch::aten::SizesType> sizes(each.shape.begin(), each.shape.end());
      auto type = static_cast<ScalarType>(dtype_named(kTypes, each.dtype).code);
      tensors_.push_back(executorch::extension::from_blob(each.bytes.data(), sizes, type));
      values_.emplace_back(tensors_.back());
    }
  }

  void run() override {
    auto result = module_.forward(values_);
    check(result.error(), "running the method forward");
    outputs_ = std::move(result.get());
  }

  Sample give() override {
    Sample found;
    for (const EValue& each : outputs_) {
      if (!each.isTensor()) throw std::runtime_error("the model answers what is no tensor");
      const auto tensor = each.toTensor();
      Tensor copy;
      copy.dtype = dtype_coded(kTypes, static_cast<int>(tensor.scalar_type())).name;
      copy.shape.assign(tensor.sizes().begin(), tensor.sizes().end());
      const char* bytes = static_cast<const char*>(tensor.const_data_ptr());
      copy.bytes.assign(bytes, bytes + tensor.nbytes());
      found.push_back(std::move(copy));
    }
    return found;
  }

 private:
  Module module_;
  Sample held_;
  std::vector<TensorPtr> tensors_;
  std::vector<EValue> values_, outputs_;
};

}  // namespace

int main(int, char** arguments) {
  executorch::extension::threadpool::NoThreadPoolGuard one_thread;
  try {
    ExecutorchModel model(arguments[1]);
    serve(model, read_samples(arguments[2], kTypes), arguments[3], std::stoul(arguments[4]));
  } catch (const std::exception& cause) {
    std::cerr << "error: " << cause.what() << std::endl;
    return 1;
  }
  return 0;
}
