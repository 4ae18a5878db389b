#include "monitor.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <numeric>
#include <sstream>
#include <stdexcept>

#include "contract.h"

namespace {

void count_in(std::vector<std::uint64_t>& bins, const std::vector<double>& edges, double value) {
  if (bins.empty() || !std::isfinite(value)) return;
  const auto place = std::upper_bound(edges.begin(), edges.end(), value) - edges.begin();
  ++bins[static_cast<std::size_t>(place)];
}

// Nearest rank.
double percentile(const std::vector<double>& sorted, double share) {
  const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(sorted.size())));
  return sorted[std::max<std::size_t>(rank, 1) - 1];
}

std::string percentiles(const std::vector<double>& sorted) {
  if (sorted.empty()) return "null";
  std::ostringstream out;
  const double sum = std::accumulate(sorted.begin(), sorted.end(), 0.0);
  out << "{\"mean\": " << sum / static_cast<double>(sorted.size()) << ", \"p50\": " << percentile(sorted, 0.5)
      << ", \"p90\": " << percentile(sorted, 0.9) << ", \"p99\": " << percentile(sorted, 0.99)
      << ", \"max\": " << sorted.back() << "}";
  return out.str();
}

std::string quoted(const std::string& text) {
  std::string found = "\"";
  for (char each : text) {
    const auto code = static_cast<unsigned char>(each);
    if (each == '"' || each == '\\') found += '\\';
    if (code < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", code);
      found += escape;
    } else {
      found += each;
    }
  }
  return found + "\"";
}

std::string counts(const std::vector<std::uint64_t>& bins) {
  if (bins.empty()) return "null";
  std::string found;
  for (std::uint64_t each : bins) found += (found.empty() ? "[" : ", ") + std::to_string(each);
  return found + "]";
}

// Peak resident memory in MB (proc_pid_status, VmHWM); null where it is not told.
std::string memory() {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);)
    if (line.compare(0, 6, "VmHWM:") == 0) return std::to_string(std::stod(line.substr(6)) * 1024 / 1e6);
  return "null";
}

// The hottest of the kernel's thermal zones.
std::string thermal() {
  double hottest = -1000;
  for (int zone = 0; zone < 16; ++zone) {
    std::ifstream file("/sys/class/thermal/thermal_zone" + std::to_string(zone) + "/temp");
    double found = 0;
    if (file >> found) hottest = std::max(hottest, found / 1000);
  }
  if (hottest == -1000) return "null";
  return "{\"state\": \"unknown\", \"celsius\": " + std::to_string(hottest) + "}";
}

}  // namespace

Monitor::Monitor() {
  if (!contract::top_score_edges().empty()) top_scores_.resize(contract::top_score_edges().size() + 1);
  if (!contract::input_mean_edges().empty()) input_means_.resize(contract::input_mean_edges().size() + 1);
}

void Monitor::record(double milliseconds, double prepared, double top_score, double input_mean) {
  latency_.add(milliseconds);
  if (std::isfinite(prepared)) prepared_.add(prepared);
  count_in(top_scores_, contract::top_score_edges(), top_score);
  count_in(input_means_, contract::input_mean_edges(), input_mean);
}

std::vector<double> Monitor::Last::sorted() const {
  std::vector<double> found(values.begin(),
                            values.begin() + static_cast<std::ptrdiff_t>(std::min<std::uint64_t>(count, kKept)));
  std::sort(found.begin(), found.end());
  return found;
}

std::string Monitor::json(const std::string& runtime) const {
  std::ostringstream out;
  out << "{\"schema_number\": 1, \"model\": " << quoted(contract::kName)
      << ", \"file\": " << quoted(contract::kModelFile) << ", \"runtime\": " << quoted(runtime)
      << ", \"device\": " << quoted(contract::kDevice) << ", \"count\": " << latency_.count
      << ", \"failures\": " << failures_ << ", \"load_ms\": " << load_ms_
      << ", \"latency_ms\": " << percentiles(latency_.sorted())
      << ", \"preprocess_ms\": " << percentiles(prepared_.sorted()) << ", \"memory_mb\": " << memory()
      << ", \"thermal\": " << thermal() << ", \"top_score\": " << counts(top_scores_)
      << ", \"input_mean\": " << counts(input_means_) << "}\n";
  return out.str();
}

void Monitor::write(const std::string& path, const std::string& runtime) const {
  const std::string draft = path + ".part";
  std::ofstream file(draft, std::ios::binary);
  file << json(runtime);
  file.close();
  if (!file || std::rename(draft.c_str(), path.c_str()) != 0) throw std::runtime_error(path + " cannot be written");
}

std::string Monitor::summary() const {
  const auto times = latency_.sorted();
  if (times.empty()) return "no inference";
  char text[160];
  std::snprintf(text, sizeof text, "%zu inferences, ms: least %.2f, median %.2f, 90 %% %.2f, 99 %% %.2f", times.size(),
                times.front(), percentile(times, 0.5), percentile(times, 0.9), percentile(times, 0.99));
  return text;
}
