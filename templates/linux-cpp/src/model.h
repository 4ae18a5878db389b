#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tensor.h"

// A loaded model file.
class Model {
 public:
  virtual ~Model() = default;

  // The outputs for `inputs`, both in the contract's order. Throws std::runtime_error.
  virtual std::vector<Tensor> run(const std::vector<Tensor>& inputs) = 0;

  // What it runs on, for people.
  virtual std::string about() const = 0;
};

// The model at `path`, on so many CPU threads; `library` names the runtime's library where that is opened by name.
// Throws std::runtime_error with a sentence.
std::unique_ptr<Model> load_model(const std::string& path, int threads, const std::string& library);
