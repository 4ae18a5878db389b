// ExecuTorch, through its torch-free C++ runtime.
#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>
#include <executorch/extension/threadpool/threadpool_guard.h>
#include <executorch/runtime/platform/platform.h>

#include <cstdio>
#include <optional>
#include <stdexcept>

#include "model.h"

namespace {

using executorch::aten::ScalarType;
using executorch::extension::Module;
using executorch::extension::TensorPtr;
using executorch::extension::threadpool::NoThreadPoolGuard;
using executorch::runtime::Error;
using executorch::runtime::EValue;

struct DType {
  const char* name;
  ScalarType type;
};

constexpr DType kTypes[] = {
    {"uint8", ScalarType::Byte},   {"int8", ScalarType::Char},    {"int32", ScalarType::Int},
    {"int64", ScalarType::Long},   {"float16", ScalarType::Half}, {"float32", ScalarType::Float},
    {"float64", ScalarType::Double}, {"bool", ScalarType::Bool},
};

void check(Error error, const std::string& doing) {
  if (error != Error::Ok) throw std::runtime_error(doing + ": " + executorch::runtime::to_string(error));
}

ScalarType named(const std::string& name) {
  for (const DType& each : kTypes)
    if (name == each.name) return each.type;
  throw std::runtime_error("tensors of type " + name + " are not known here");
}

// What the runtime says of errors.
void say(et_timestamp_t, et_pal_log_level_t level, const char*, const char*, size_t, const char* message, size_t) {
  if (level == et_pal_log_level_t::kError || level == et_pal_log_level_t::kFatal)
    std::fprintf(stderr, "ExecuTorch: %s\n", message);
}

std::string name_of(ScalarType type) {
  for (const DType& each : kTypes)
    if (type == each.type) return each.name;
  throw std::runtime_error("tensors of type number " + std::to_string(static_cast<int>(type)) + " are not known here");
}

class ExecutorchModel : public Model {
 public:
  ExecutorchModel(const std::string& path, int threads) : module_(path, Module::LoadMode::Mmap), threads_(threads) {
    using Verification = executorch::runtime::Program::Verification;
    check(module_.load(Verification::InternalConsistency), "loading " + path);
    check(module_.load_forward(), "loading the method forward");
  }

  std::vector<Tensor> run(const std::vector<Tensor>& inputs) override {
    std::optional<NoThreadPoolGuard> alone;  // the pool has a thread a core, or is not used
    if (threads_ == 1) alone.emplace();
    held_ = inputs;
    std::vector<TensorPtr> tensors;
    std::vector<EValue> values;
    for (Tensor& each : held_) {
      std::vector<executorch::aten::SizesType> sizes;
      for (std::int64_t size : each.shape) sizes.push_back(static_cast<executorch::aten::SizesType>(size));
      tensors.push_back(executorch::extension::from_blob(each.bytes.data(), sizes, named(each.dtype)));
      values.emplace_back(tensors.back());
    }
    auto answers = module_.forward(values);
    check(answers.error(), "running the method forward");
    std::vector<Tensor> found;
    for (const EValue& each : answers.get()) found.push_back(copied(each));
    return found;
  }

  std::string about() const override {
    return std::string("ExecuTorch, CPU threads: ") + (threads_ == 1 ? "1" : "one a core");
  }

 private:
  static Tensor copied(const EValue& value) {
    if (!value.isTensor()) throw std::runtime_error("the model answers what is no tensor");
    const auto tensor = value.toTensor();
    const char* bytes = static_cast<const char*>(tensor.const_data_ptr());
    Tensor found{name_of(tensor.scalar_type()), {tensor.sizes().begin(), tensor.sizes().end()}, {}};
    found.bytes.assign(bytes, bytes + tensor.nbytes());
    return found;
  }

  Module module_;
  int threads_;
  std::vector<Tensor> held_;
};

}  // namespace

std::unique_ptr<Model> load_model(const std::string& path, int threads, const std::string&) {
  executorch::runtime::register_pal(executorch::runtime::PalImpl::create(say, __FILE__));
  return std::make_unique<ExecutorchModel>(path, threads);
}
