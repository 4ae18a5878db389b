#include "session.h"

Opened open_session(const ort::Api& api, ort::Env* env, const std::string& path, int threads) {
  Opened found{nullptr, "CPU"};
  api.check(api.create_session(env, path.c_str(), cpu_options(api, threads), &found.session));
  return found;
}
