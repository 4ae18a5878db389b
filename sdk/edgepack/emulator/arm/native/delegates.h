// Tells the emulator's counter where each call of a delegate begins and ends.
#pragma once

#include <executorch/runtime/core/event_tracer.h>

#include <cstring>

#include "samples.h"

#ifdef ET_EVENT_TRACER_ENABLED

// What the runtime tells of its work; of all of it only the calls of delegates are marked.
class DelegateMarks : public executorch::runtime::EventTracer {
  using AllocatorID = executorch::runtime::AllocatorID;
  using ChainID = executorch::runtime::ChainID;
  using DebugHandle = executorch::runtime::DebugHandle;
  using Entry = executorch::runtime::EventTracerEntry;
  using Index = executorch::runtime::DelegateDebugIntId;
  using Logged = executorch::runtime::Result<bool>;
  using Tensor = executorch::aten::Tensor;
  using Time = et_timestamp_t;

 public:
  bool on = false;

  // Outside of the codegen layer the number of the instruction stands in the tracer itself.
  Entry start_profiling(const char* name, ChainID, DebugHandle) override {
    Entry entry{};
    entry.event_id = on && !std::strcmp(name, "DELEGATE_CALL");
    entry.chain_id = current_chain_id();
    entry.debug_handle = current_debug_handle();
    if (entry.event_id) mark_call(true, entry.chain_id, entry.debug_handle);
    return entry;
  }
  void end_profiling(Entry entry) override {
    if (entry.event_id) mark_call(false, entry.chain_id, entry.debug_handle);
  }

  void create_event_block(const char*) override {}
  Entry start_profiling_delegate(const char*, Index) override { return {}; }
  void end_profiling_delegate(Entry, const void*, size_t) override {}
  void log_profiling_delegate(const char*, Index, Time, Time, const void*, size_t) override {}
  void track_allocation(AllocatorID, size_t) override {}
  AllocatorID track_allocator(const char*) override { return 0; }
  Logged log_evalue(const executorch::runtime::EValue&, executorch::runtime::LoggedEValueType) override { return false; }
  Logged log_intermediate_output_delegate(const char*, Index, const Tensor&) override { return false; }
  Logged log_intermediate_output_delegate(const char*, Index, executorch::runtime::ArrayRef<Tensor>) override {
    return false;
  }
  Logged log_intermediate_output_delegate(const char*, Index, const int&) override { return false; }
  Logged log_intermediate_output_delegate(const char*, Index, const bool&) override { return false; }
  Logged log_intermediate_output_delegate(const char*, Index, const double&) override { return false; }
  void set_delegation_intermediate_output_filter(executorch::runtime::EventTracerFilterBase*) override {}
};

// One more inference, after one that is not marked; apart from those that are counted, since telling costs.
template <class Loadable>
void mark_delegates(Loadable& model, const Sample& sample) {
  DelegateMarks marks;
  model.load(&marks);
  for (bool on : {false, true}) {
    marks.on = on;
    model.take(sample);
    model.run();
  }
  model.load(nullptr);
}

#else

// A runtime that is built without a tracer tells nothing.
template <class Loadable>
void mark_delegates(Loadable&, const Sample&) {}

#endif
