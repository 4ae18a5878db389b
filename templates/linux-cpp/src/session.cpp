#include "session.h"

Opened open_session(const ort::Api& api, ort::Env* env, const std::string& path, int threads) {
  ort::SessionOptions* options = nullptr;
  Opened found{nullptr, "CPU"};
  api.check(api.create_options(&options));
  api.check(api.set_intra_threads(options, threads));
  api.check(api.set_inter_threads(options, 1));
  api.check(api.create_session(env, path.c_str(), options, &found.session));
  return found;
}
