// How a session begins: what runs the model is settled here.
#pragma once

#include <string>

#include "ort.h"

struct Opened {
  ort::Session* session;
  std::string runs_on;  // for people
};

// Options for work on the CPU in a number of threads.
inline ort::SessionOptions* cpu_options(const ort::Api& api, int threads) {
  ort::SessionOptions* options = nullptr;
  api.check(api.create_options(&options));
  api.check(api.set_intra_threads(options, threads));
  api.check(api.set_inter_threads(options, 1));
  return options;
}

// A session of the model file at `path`. Throws std::runtime_error.
Opened open_session(const ort::Api& api, ort::Env* env, const std::string& path, int threads);
