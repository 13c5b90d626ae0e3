// Interleaved timing: every contender runs in every round, so that what the machine does meanwhile hits all
// alike. Figures are per run, in ns; ratios are taken inside a round and their median is reported.
#pragma once
#include <time.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "base/types.hpp"

namespace skep::bench {

inline double now_ns() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
}

/// Runs `n` times and returns the sum of the results, so that none of them can be optimised away.
struct Contender {
  std::string name;
  std::function<u64(u32 n)> run;
  u64 result = 0;              ///< of one run on a fresh packet: all contenders must agree
  std::vector<double> rounds;  ///< ns a run
};

struct Summary {
  double median = 0, low = 0, high = 0;  ///< quartiles
};
inline Summary summarize(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const auto at = [&](double q) {
    return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1))];
  };
  return {at(0.5), at(0.25), at(0.75)};
}

/// Ratio of a to b, round by round.
inline Summary ratio(const Contender& a, const Contender& b) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < std::min(a.rounds.size(), b.rounds.size()); ++i)
    ratios.push_back(a.rounds[i] / b.rounds[i]);
  return summarize(ratios);
}

/// How many runs fill about `target_ns`.
inline u32 calibrate(const Contender& c, double target_ns) {
  u32 n = 1;
  for (;;) {
    const double start = now_ns();
    volatile u64 sink = c.run(n);
    (void)sink;
    const double took = now_ns() - start;
    if (took > target_ns / 8 || n > (1u << 28))
      return std::max(1u, static_cast<u32>(n * target_ns / std::max(took, 1.0)));
    n *= 4;
  }
}

inline void measure(std::vector<Contender>& contenders, u32 rounds, double target_ns = 2e6) {
  std::vector<u32> counts;
  for (const Contender& c : contenders) counts.push_back(calibrate(c, target_ns));
  for (u32 round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < contenders.size(); ++i) {
      Contender& c = contenders[i];
      const double start = now_ns();
      volatile u64 sink = c.run(counts[i]);
      (void)sink;
      c.rounds.push_back((now_ns() - start) / counts[i]);
    }
  }
}

}  // namespace skep::bench
