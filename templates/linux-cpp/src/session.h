// How a session begins: what runs the model is settled here.
#pragma once

#include <string>

#include "ort.h"

struct Opened {
  ort::Session* session;
  std::string runs_on;  // for people
};

// A session of the model file at `path`. Throws std::runtime_error.
Opened open_session(const ort::Api& api, ort::Env* env, const std::string& path, int threads);
