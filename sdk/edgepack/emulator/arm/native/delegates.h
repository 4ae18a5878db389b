// Tells the emulator's counter where each call of a delegate begins and ends.
//
// The runtime finds a delegate by get_backend_class; the program's own comes before the runtime's, and gives
// one that marks its calls while `marked_backends()` says so. The runtime's own tracer would not do: told of
// one, XNNPACK times each of its operators.
#pragma once

#include <dlfcn.h>
#include <executorch/runtime/backend/interface.h>

#include <map>
#include <string>

#include "samples.h"

// Whether methods that are loaded from now on have their delegates marked.
inline bool& marked_backends() {
  static bool on = false;
  return on;
}

class MarkedBackend : public executorch::runtime::BackendInterface {
  using Error = executorch::runtime::Error;
  using EValue = executorch::runtime::EValue;
  using Handle = executorch::runtime::DelegateHandle;

 public:
  BackendInterface* own = nullptr;
  std::string name;

  bool is_available() const override { return own->is_available(); }
  executorch::runtime::Result<Handle*> init(
      executorch::runtime::BackendInitContext& context, executorch::runtime::FreeableBuffer* processed,
      executorch::runtime::ArrayRef<executorch::runtime::CompileSpec> specs) const override {
    return own->init(context, processed, specs);
  }
  Error execute(executorch::runtime::BackendExecutionContext& context, Handle* handle,
                executorch::runtime::Span<EValue*> values) const override {
    mark_call(true, name);
    Error found = own->execute(context, handle, values);
    mark_call(false, name);
    return found;
  }
  void destroy(Handle* handle) const override { own->destroy(handle); }
};

namespace executorch::runtime {
BackendInterface* get_backend_class(const char* name) {
  using Find = BackendInterface* (*)(const char*);
  static const Find find = reinterpret_cast<Find>(dlsym(RTLD_NEXT, "_ZN10executorch7runtime17get_backend_classEPKc"));
  static std::map<std::string, MarkedBackend> marked;
  BackendInterface* own = find(name);
  if (!own || !marked_backends()) return own;
  MarkedBackend& found = marked[name];
  found.own = own;
  found.name = name;
  return &found;
}
}  // namespace executorch::runtime
