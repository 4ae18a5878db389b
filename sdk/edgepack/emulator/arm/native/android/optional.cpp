// The one function of ExecuTorch that the runner asks for and whose name holds a type of the C++ library,
// which is another one in Android's build. It takes apart lists of optional tensors; models neither take
// nor answer any.
#include <executorch/runtime/core/evalue.h>

#include <cstdlib>

namespace executorch::runtime {
template <>
executorch::aten::ArrayRef<std::optional<executorch::aten::Tensor>>
BoxedEvalueList<std::optional<executorch::aten::Tensor>>::get() const {
  std::abort();
}
}  // namespace executorch::runtime
