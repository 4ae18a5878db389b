// Runs a .pte on samples: runner_executorch MODEL SAMPLES OUTPUTS LEAST_INFERENCES
//
// By the runtime's own classes alone: its extensions (Module) have the C++ library in their interfaces, and
// Android's is another than Linux's. So one source serves both.
#include <executorch/extension/data_loader/mmap_data_loader.h>
#include <executorch/extension/threadpool/threadpool_guard.h>
#include <executorch/runtime/executor/program.h>
#include <executorch/runtime/platform/runtime.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <memory>

#include "delegates.h"
#include "samples.h"

namespace {

using executorch::aten::ScalarType;
using executorch::aten::TensorImpl;
using executorch::extension::MmapDataLoader;
using executorch::runtime::Error;
using executorch::runtime::EValue;
using executorch::runtime::HierarchicalAllocator;
using executorch::runtime::MemoryAllocator;
using executorch::runtime::MemoryManager;
using executorch::runtime::Method;
using executorch::runtime::Program;
using executorch::runtime::Result;
using executorch::runtime::Span;

constexpr DType kTypes[] = {
    {"uint8", 1, int(ScalarType::Byte)},      {"int8", 1, int(ScalarType::Char)},
    {"int16", 2, int(ScalarType::Short)},     {"int32", 4, int(ScalarType::Int)},
    {"int64", 8, int(ScalarType::Long)},      {"float16", 2, int(ScalarType::Half)},
    {"float32", 4, int(ScalarType::Float)},   {"float64", 8, int(ScalarType::Double)},
    {"bool", 1, int(ScalarType::Bool)},       {"uint16", 2, int(ScalarType::UInt16)},
    {"uint32", 4, int(ScalarType::UInt32)},   {"uint64", 8, int(ScalarType::UInt64)},
};
constexpr char kMethod[] = "forward";

void check(Error error, const std::string& doing) {
  if (error != Error::Ok)
    throw std::runtime_error(doing + ": " + executorch::runtime::to_string(error));
}

template <class T>
T got(Result<T> result, const std::string& doing) {
  check(result.error(), doing);
  return std::move(result.get());
}

// Memory of the system, given back together.
class Heap : public MemoryAllocator {
 public:
  Heap() : MemoryAllocator(0, nullptr) {}
  ~Heap() override { reset(); }

  void* allocate(size_t size, size_t alignment = kDefaultAlignment) override {
    size_t whole = (size + alignment - 1) / alignment * alignment;
    held_.push_back(std::aligned_alloc(std::max(alignment, sizeof(void*)), std::max(whole, alignment)));
    return held_.back();
  }

  void reset() override {
    for (void* each : held_) std::free(each);
    held_.clear();
  }

 private:
  std::vector<void*> held_;
};

// The method, loaded, with the memory that was planned for it.
class Loaded {
 public:
  explicit Loaded(const Program& program)
      : buffers_(planned(program)),
        spans_(spans(buffers_)),
        planned_({spans_.data(), spans_.size()}),
        memory_(&heap_, &planned_, &scratch_),
        method(got(program.load_method(kMethod, &memory_), "loading the method forward")) {}

 private:
  static std::vector<std::vector<uint8_t>> planned(const Program& program) {
    auto meta = got(program.method_meta(kMethod), "reading the method forward");
    std::vector<std::vector<uint8_t>> found;
    for (size_t n = 0; n < meta.num_memory_planned_buffers(); ++n)
      found.emplace_back(got(meta.memory_planned_buffer_size(n), "reading the plan of its memory"));
    return found;
  }

  static std::vector<Span<uint8_t>> spans(std::vector<std::vector<uint8_t>>& buffers) {
    std::vector<Span<uint8_t>> found;
    for (std::vector<uint8_t>& each : buffers) found.emplace_back(each.data(), each.size());
    return found;
  }

  std::vector<std::vector<uint8_t>> buffers_;
  std::vector<Span<uint8_t>> spans_;
  HierarchicalAllocator planned_;
  Heap heap_, scratch_;
  MemoryManager memory_;

 public:
  Method method;
};

// A tensor of a sample as the runtime takes it.
class Input {
 public:
  explicit Input(Tensor& held) : sizes_(held.shape.begin(), held.shape.end()) {
    for (size_t n = 0; n < sizes_.size(); ++n) order_.push_back(n);
    strides_.resize(sizes_.size());
    int step = 1;
    for (size_t n = sizes_.size(); n-- > 0; step *= sizes_[n]) strides_[n] = step;
    auto type = static_cast<ScalarType>(dtype_named(kTypes, held.dtype).code);
    tensor_ = std::make_unique<TensorImpl>(type, sizes_.size(), sizes_.data(), held.bytes.data(), order_.data(),
                                           strides_.data());
  }

  EValue value() { return EValue(executorch::aten::Tensor(tensor_.get())); }

 private:
  std::vector<executorch::aten::SizesType> sizes_;
  std::vector<executorch::aten::DimOrderType> order_;
  std::vector<executorch::aten::StridesType> strides_;
  std::unique_ptr<TensorImpl> tensor_;
};

class ExecutorchModel : public Model {
 public:
  explicit ExecutorchModel(const char* path)
      : loader_(got(MmapDataLoader::from(path, MmapDataLoader::MlockConfig::NoMlock), std::string("opening ") + path)),
        program_(got(Program::load(&loader_, Program::Verification::InternalConsistency),
                     std::string("loading ") + path)) {
    load();
  }

  void load() {
    loaded_.reset();
    loaded_ = std::make_unique<Loaded>(program_);
  }

  void take(const Sample& inputs) override {
    held_ = inputs;
    inputs_.clear();
    values_.clear();
    for (Tensor& each : held_) {
      inputs_.emplace_back(each);
      values_.push_back(inputs_.back().value());
    }
  }

  void run() override {
    check(loaded_->method.set_inputs({values_.data(), values_.size()}), "giving the method forward its inputs");
    check(loaded_->method.execute(), "running the method forward");
  }

  Sample give() override {
    Sample found;
    for (size_t n = 0; n < loaded_->method.outputs_size(); ++n) {
      const EValue& each = loaded_->method.get_output(n);
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
  MmapDataLoader loader_;
  Program program_;
  std::unique_ptr<Loaded> loaded_;
  Sample held_;
  std::vector<Input> inputs_;
  std::vector<EValue> values_;
};

// Two more inferences, the first to warm up, with the calls of delegates marked: apart from those that are
// counted, since marks cost. Weights are packed anew for it.
void run_marked(ExecutorchModel& model, const Sample& sample) {
  marked_backends() = true;
  model.load();
  for (int n = 0; n < 2; ++n) {
    model.take(sample);
    model.run();
  }
}

}  // namespace

int main(int, char** arguments) {
  executorch::runtime::runtime_init();
  executorch::extension::threadpool::NoThreadPoolGuard one_thread;
  try {
    ExecutorchModel model(arguments[1]);
    const std::vector<Sample> samples = read_samples(arguments[2], kTypes);
    serve(model, samples, arguments[3], std::stoul(arguments[4]));
    run_marked(model, samples[0]);
  } catch (const std::exception& cause) {
    std::cerr << "error: " << cause.what() << std::endl;
    return 1;
  }
  return 0;
}
