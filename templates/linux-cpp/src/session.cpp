#include "session.h"

Opened open_session(const ort::Api& api, const ort::Env* env, const std::string& path, int threads) {
  return {session_of(api, env, path, cpu_options(api, threads).get()), "CPU"};
}
