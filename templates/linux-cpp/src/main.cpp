// Runs the model on pictures, sound, tensors or a camera; replays its golden vectors; times it.
#include <getopt.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <map>
#include <memory>
#include <optional>

#include "camera.h"
#include "contract.h"
#include "detect.h"
#include "labels.h"
#include "model.h"
#include "monitor.h"
#include "postprocess.h"
#include "sample.h"
#include "selftest.h"

namespace {

constexpr const char* kUsage =
    "usage: app [options] FILE...\n"
    "  FILE               a picture (JPEG, PNG, PPM, PGM), sound (.wav), or a .npy for each input that is made ready\n"
    "  --camera DEVICE    label the frames of a camera (YUYV), such as /dev/video0, until Ctrl-C\n"
    "  --frames N         of the camera, at most\n"
    "  --selftest         replay the golden vectors\n"
    "  --bench N          time N inferences of the first file, or of a golden sample\n"
    "  --top N            classes or boxes to print (5)\n"
    "  --threads N        CPU threads\n"
    "  --monitor FILE     write what was seen as JSON at the end\n"
    "  --data DIR         folder that holds model/ and golden/ (.)\n"
    "  --runtime LIBRARY  the runtime's library where it is opened by name (ONNXRUNTIME_LIBRARY)\n"
    "exit code: 0 done or all match, 1 a golden sample does not match, 2 a file or the runtime is missing\n";
constexpr int kWarmUp = 3;
constexpr int kCameraWidth = 640, kCameraHeight = 480;

volatile std::sig_atomic_t stopped = 0;

struct Options {
  std::vector<std::string> files;
  std::string camera, monitor, runtime, data = ".";
  bool selftest = false;
  int frames = std::numeric_limits<int>::max(), bench = 0, top = 5, threads = contract::kThreads;
};

int positive(const char* text) {
  char* end = nullptr;
  const long found = std::strtol(text, &end, 10);
  if (*end != '\0' || found < 1 || found > std::numeric_limits<int>::max())
    throw std::runtime_error(std::string("'") + text + "' is not a whole number above 0");
  return static_cast<int>(found);
}

std::optional<Options> parsed(int count, char** words) {
  const option known[] = {{"camera", 1, nullptr, 'c'},  {"frames", 1, nullptr, 'f'},  {"selftest", 0, nullptr, 's'},
                          {"bench", 1, nullptr, 'b'},   {"top", 1, nullptr, 't'},     {"threads", 1, nullptr, 'j'},
                          {"monitor", 1, nullptr, 'm'}, {"data", 1, nullptr, 'd'},    {"runtime", 1, nullptr, 'r'},
                          {"help", 0, nullptr, 'h'},    {nullptr, 0, nullptr, 0}};
  Options found;
  for (int kind = 0; (kind = getopt_long(count, words, "h", known, nullptr)) != -1;) {
    switch (kind) {
      case 'c': found.camera = optarg; break;
      case 'f': found.frames = positive(optarg); break;
      case 's': found.selftest = true; break;
      case 'b': found.bench = positive(optarg); break;
      case 't': found.top = positive(optarg); break;
      case 'j': found.threads = positive(optarg); break;
      case 'm': found.monitor = optarg; break;
      case 'd': found.data = optarg; break;
      case 'r': found.runtime = optarg; break;
      default: return std::nullopt;
    }
  }
  found.files.assign(words + optind, words + count);
  const bool any = found.selftest || found.bench > 0 || !found.camera.empty() || !found.files.empty();
  return any ? std::optional<Options>(found) : std::nullopt;
}

double since(std::chrono::steady_clock::time_point begun) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begun).count();
}

// The app: a model with what it has seen, and the state that it carries from call to call.
class App {
 public:
  explicit App(const Options& options) : options_(options), labels_(read_labels(options.data + "/model/labels.txt")) {
    const auto begun = std::chrono::steady_clock::now();
    model_ = load_model(options.data + "/model/" + contract::kModelFile, options.threads, options.runtime);
    monitor_.loaded(since(begun));
    std::fprintf(stderr, "%s on %s: %s\n", printable(contract::kName).c_str(), printable(contract::kDevice).c_str(),
                 model_->about().c_str());
  }

  int run() {
    int code = 0;
    if (options_.selftest) code = selftest(options_.data + "/golden", *model_, labels_) ? 0 : 1;
    if (options_.bench > 0) bench();
    if (!options_.camera.empty()) watch();
    if (options_.bench == 0) code = std::max(code, run_files());
    if (!options_.monitor.empty()) monitor_.write(options_.monitor, model_->about());
    return code;
  }

 private:
  static Tensor initial(const contract::Input& input, double value) {
    Tensor found{input.dtype, input.shape, {}};
    for (std::int64_t& size : found.shape) size = std::max<std::int64_t>(size, 1);
    if (found.dtype != "float32") throw std::runtime_error("state of type " + found.dtype + " is not known here");
    const std::vector<float> values(count(found.shape), static_cast<float>(value));
    found.bytes.resize(values.size() * sizeof(float));
    std::memcpy(found.bytes.data(), values.data(), found.bytes.size());
    return found;
  }

  void put_state(std::vector<Tensor>& inputs) {
    for (const contract::State& each : contract::state())
      for (std::size_t n = 0; n < inputs.size(); ++n)
        if (std::string(contract::inputs()[n].name) == each.input) {
          const auto kept = state_.find(each.input);
          inputs[n] = kept != state_.end() ? kept->second : initial(contract::inputs()[n], each.initial);
        }
  }

  void keep_state(const std::vector<Tensor>& outputs) {
    for (const contract::State& each : contract::state())
      for (std::size_t n = 0; n < outputs.size(); ++n)
        if (std::string(contract::outputs()[n].name) == each.output) state_[each.input] = outputs[n];
  }

  // One inference, recorded.
  std::vector<Tensor> infer(Sample& sample, double& milliseconds) {
    put_state(sample.inputs);
    const auto begun = std::chrono::steady_clock::now();
    std::vector<Tensor> outputs;
    try {
      outputs = model_->run(sample.inputs);
    } catch (const std::exception&) {
      monitor_.record_failure();
      throw;
    }
    milliseconds = since(begun);
    keep_state(outputs);
    monitor_.record(milliseconds, sample.milliseconds, highest(outputs.at(0)), sample.mean);
    return outputs;
  }

  int run_files() {
    int code = 0;
    const std::size_t each = files_each();
    if (options_.files.size() % each != 0)
      throw std::runtime_error("the model takes " + std::to_string(each) + " files a sample");
    bool warm = false;
    for (std::size_t n = 0; n < options_.files.size(); n += each) {
      const auto first = options_.files.begin() + static_cast<std::ptrdiff_t>(n);
      try {
        for (Sample& sample : read_samples({first, first + static_cast<std::ptrdiff_t>(each)})) {
          if (!warm) warm_up(sample, 1);
          warm = true;
          run_one(sample, *first + sample.place);
        }
      } catch (const std::runtime_error& cause) {
        std::fprintf(stderr, "app: %s\n", cause.what());
        code = 2;
      }
    }
    return code;
  }

  void run_one(Sample& sample, const std::string& name) {
    double running = 0.0;
    const auto outputs = infer(sample, running);
    std::printf("%s: %.2f ms", name.c_str(), running);
    if (std::isfinite(sample.milliseconds)) std::printf(" (and %.1f ms to prepare)", sample.milliseconds);
    std::printf("\n");
    print(outputs, options_.top, sample);
  }

  // Runs without counting: the first run also allocates and tunes.
  void warm_up(Sample& sample, int count) {
    put_state(sample.inputs);
    for (int n = 0; n < count; ++n) model_->run(sample.inputs);
  }

  void print(const std::vector<Tensor>& outputs, int wanted, const Sample& sample) const {
    if (detects() && sample.width > 0) {
      const auto found = detections(outputs, sample.width, sample.height);
      for (std::size_t n = 0; n < std::min(found.size(), static_cast<std::size_t>(wanted)); ++n)
        std::printf("  %10.4f  %s  [%.1f, %.1f, %.1f, %.1f]\n", found[n].score, label_of(labels_, found[n].number).c_str(),
                    found[n].box[0], found[n].box[1], found[n].box[2], found[n].box[3]);
      return;
    }
    for (std::size_t n = 0; n < outputs.size() && n < contract::outputs().size(); ++n)
      print_one(outputs[n], contract::outputs()[n], static_cast<std::size_t>(wanted));
  }

  void print_one(const Tensor& output, const contract::Output& told, std::size_t wanted) const {
    const auto scores = activated(output, told.activation);
    const std::string kind = told.kind;
    if (kind == "class") {
      std::printf("  %s\n", label_of(labels_, static_cast<std::size_t>(scores.at(0))).c_str());
      return;
    }
    if (kind == "classification" || kind == "segmentation") {
      auto found = kind == "segmentation" ? shares(scores, output.shape) : top(scores, wanted, told.threshold);
      found.resize(std::min(found.size(), wanted));
      for (const auto& [number, score] : found)
        std::printf("  %10.4f  %s\n", score, label_of(labels_, number).c_str());
      return;
    }
    std::printf("  %s [", printable(told.name).c_str());
    for (std::int64_t size : output.shape) std::printf(" %lld", static_cast<long long>(size));
    std::printf(" ]%s%s:", *told.units != '\0' ? " " : "", printable(told.units).c_str());
    for (std::size_t each = 0; each < std::min<std::size_t>(scores.size(), 8); ++each) std::printf(" %.5g", scores[each]);
    std::printf("%s\n", scores.size() > 8 ? " …" : "");
  }

  void bench() {
    Sample sample;
    if (options_.files.empty()) {
      sample.inputs = golden_sample(options_.data + "/golden");
      sample.mean = std::nan("");  // not counted: of a picture it is that of the 8-bit values, which are not here
    } else {
      sample = read_samples(options_.files).at(0);
    }
    warm_up(sample, kWarmUp);
    double milliseconds = 0.0;
    for (int n = 0; n < options_.bench; ++n) infer(sample, milliseconds);
    std::printf("%s\n", monitor_.summary().c_str());
  }

  void watch() {
    if (!contract::kTakesPicture) throw std::runtime_error("the model takes no picture, so no camera either");
    std::signal(SIGINT, [](int) { stopped = 1; });
    std::signal(SIGTERM, [](int) { stopped = 1; });
    Camera camera(options_.camera, kCameraWidth, kCameraHeight);
    for (int n = 0; n < options_.frames && stopped == 0; ++n) {
      Sample sample = of_picture(camera.frame());
      double running = 0.0;
      const auto outputs = infer(sample, running);
      std::printf("frame %d: %.2f ms\n", n, running);
      print(outputs, detects() ? options_.top : 1, sample);
      std::fflush(stdout);
    }
  }

  Options options_;
  std::vector<std::string> labels_;
  Monitor monitor_;
  std::unique_ptr<Model> model_;
  std::map<std::string, Tensor> state_;
};

}  // namespace

int main(int count, char** words) {
  try {
    const auto options = parsed(count, words);
    if (!options) {
      std::fputs(kUsage, stderr);
      return 2;
    }
    return App(*options).run();
  } catch (const std::exception& cause) {
    std::fprintf(stderr, "app: %s\n", cause.what());
    return 2;
  }
}
