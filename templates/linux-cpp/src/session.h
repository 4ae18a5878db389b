// How a session begins: what runs the model is settled here.
#pragma once

#include <string>

#include "ort.h"

struct Opened {
  ort::Owned<ort::Session> session;
  std::string runs_on;  // for people
};

// Options for work on the CPU in a number of threads.
inline ort::Owned<ort::SessionOptions> cpu_options(const ort::Api& api, int threads) {
  ort::SessionOptions* made = nullptr;
  api.check(api.create_options(&made));
  ort::Owned<ort::SessionOptions> options(made, api.release_options);
  api.check(api.set_intra_threads(made, threads));
  api.check(api.set_inter_threads(made, 1));
  return options;
}

// A session with the options. Throws std::runtime_error.
inline ort::Owned<ort::Session> session_of(const ort::Api& api, const ort::Env* env, const std::string& path,
                                           const ort::SessionOptions* options) {
  ort::Session* made = nullptr;
  api.check(api.create_session(env, path.c_str(), options, &made));
  return {made, api.release_session};
}

// A session of the model file at `path`. Throws std::runtime_error.
Opened open_session(const ort::Api& api, const ort::Env* env, const std::string& path, int threads);
