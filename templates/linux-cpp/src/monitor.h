#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

// What the app has seen, kept in fixed space: record() computes and writes nothing else. No picture is kept.
class Monitor {
 public:
  Monitor();

  // One inference. `prepared` is the milliseconds of pre-processing, NaN where there was none; `input_mean` is that of the 8-bit picture as the model saw it, or of the first input.
  void record(double milliseconds, double prepared, double top_score, double input_mean);
  void record_failure() { ++failures_; }
  void loaded(double milliseconds) { load_ms_ = milliseconds; }

  // All of it as JSON; `runtime` says what ran the model.
  std::string json(const std::string& runtime) const;

  // Write the JSON to `path`, whole or not at all. Throws std::runtime_error.
  void write(const std::string& path, const std::string& runtime) const;

  // Percentiles of the last inferences, for people.
  std::string summary() const;

 private:
  static constexpr std::size_t kKept = 1024;
  // The last of a row of durations.
  struct Last {
    std::array<double, kKept> values{};
    std::uint64_t count = 0;

    void add(double milliseconds) { values[count++ % kKept] = milliseconds; }
    std::vector<double> sorted() const;
  };

  Last latency_, prepared_;
  std::uint64_t failures_ = 0;
  double load_ms_ = 0.0;
  std::vector<std::uint64_t> top_scores_, input_means_;
};
