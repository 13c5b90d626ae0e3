#include "report.hpp"

#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <fstream>

namespace skep::bench {
namespace {

const Contender* find(const Row& row, const std::string& name) {
  for (const Contender& c : row.contenders)
    if (c.name == name) return &c;
  return nullptr;
}

std::vector<std::string> names_of(const Report& report) {
  std::vector<std::string> names;
  for (const Row& row : report.rows)
    for (const Contender& c : row.contenders)
      if (std::find(names.begin(), names.end(), c.name) == names.end()) names.push_back(c.name);
  return names;
}

std::string json(const Report& report) {
  std::string out = fmt::format("{{\"title\": \"{}\", \"programs\": [", report.title);
  for (std::size_t i = 0; i < report.rows.size(); ++i) {
    const Row& row = report.rows[i];
    out += fmt::format("{}\n  {{\"program\": \"{}\"", i ? "," : "", row.program);
    for (const Contender& c : row.contenders) {
      const Summary ns = summarize(c.rounds), to_base = ratio(c, row.contenders.front());
      out += fmt::format(
          ", \"{}\": {{\"ns\": {:.3f}, \"ns_q1\": {:.3f}, \"ns_q3\": {:.3f}, \"ratio\": {:.4f}, "
          "\"ratio_q1\": {:.4f}, \"ratio_q3\": {:.4f}}}",
          c.name, ns.median, ns.low, ns.high, to_base.median, to_base.low, to_base.high);
    }
    out += "}";
  }
  out += "\n], \"figures\": {";
  for (std::size_t i = 0; i < report.figures.size(); ++i)
    out += fmt::format("{}\"{}\": {:.4f}", i ? ", " : "", report.figures[i].first, report.figures[i].second);
  return out + "}}\n";
}

/// Grouped bars: the ratio of each contender to the base, program by program.
std::string svg(const Report& report) {
  const std::vector<std::string> names = names_of(report);
  constexpr const char* colours[] = {"#888888", "#1b6ac9", "#c9541b", "#3f9b3f", "#8b3fa8", "#b3a11b"};
  const double bar = 9, gap = 16, height = 260, left = 50, top = 40;
  const double group = bar * static_cast<double>(names.size()) + gap;
  const double width = left + group * static_cast<double>(report.rows.size()) + 20;
  double most = 2;
  for (const Row& row : report.rows)
    for (const Contender& c : row.contenders)
      most = std::max(most, std::min(6.0, ratio(c, row.contenders.front()).median));
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{:.0f}\" height=\"{:.0f}\" "
      "font-family=\"sans-serif\" "
      "font-size=\"11\"><rect width=\"100%\" height=\"100%\" fill=\"white\"/><text x=\"{:.0f}\" "
      "y=\"18\">{}</text>\n",
      width, height + top + 80, left, report.title);
  for (double tick = 0; tick <= most; tick += 0.5) {
    const double y = top + height - tick / most * height;
    out += fmt::format(
        "<line x1=\"{0:.0f}\" y1=\"{1:.1f}\" x2=\"{2:.0f}\" y2=\"{1:.1f}\" stroke=\"{3}\"/><text "
        "x=\"{4:.0f}\" y=\"{5:.1f}\" text-anchor=\"end\">{6:.1f}</text>\n",
        left, y, width - 10, tick == 1 ? "#444" : "#ddd", left - 5, y + 4, tick);
  }
  double x = left + gap / 2;
  for (const Row& row : report.rows) {
    for (std::size_t i = 0; i < names.size(); ++i)
      if (const Contender* c = find(row, names[i])) {
        const double r = std::min(most, ratio(*c, row.contenders.front()).median);
        out +=
            fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"{}\"/>\n",
                        x + bar * static_cast<double>(i), top + height - r / most * height, bar - 1,
                        r / most * height, colours[i % 6]);
      }
    out += fmt::format("<text transform=\"translate({:.1f},{:.1f}) rotate(40)\">{}</text>\n", x,
                       top + height + 14, row.program);
    x += group;
  }
  for (std::size_t i = 0; i < names.size(); ++i)
    out += fmt::format(
        "<rect x=\"{0:.0f}\" y=\"{1:.0f}\" width=\"10\" height=\"10\" fill=\"{2}\"/><text x=\"{3:.0f}\" "
        "y=\"{4:.0f}\">{5}</text>\n",
        left + 110.0 * static_cast<double>(i), top + height + 62, colours[i % 6],
        left + 14 + 110.0 * static_cast<double>(i), top + height + 71, names[i]);
  return out + "</svg>\n";
}

}  // namespace

double geometric_mean(const Report& report, const std::string& name, const std::string& base) {
  double sum = 0;
  u32 n = 0;
  for (const Row& row : report.rows) {
    const Contender *a = find(row, name), *b = find(row, base);
    if (a == nullptr || b == nullptr) continue;
    sum += std::log(ratio(*a, *b).median);
    ++n;
  }
  return n == 0 ? 0 : std::exp(sum / n);
}

void print_text(const Report& report) {
  const std::vector<std::string> names = names_of(report);
  fmt::print("{}\n{:<12}", report.title, "program");
  for (const std::string& name : names) fmt::print(" {:>22}", name);
  fmt::print("\n");
  for (const Row& row : report.rows) {
    fmt::print("{:<12}", row.program);
    for (const std::string& name : names) {
      const Contender* c = find(row, name);
      if (c == nullptr) {
        fmt::print(" {:>22}", "-");
        continue;
      }
      const Summary ns = summarize(c->rounds), to_base = ratio(*c, row.contenders.front());
      fmt::print(" {:>22}", fmt::format("{:.1f} ns {:.2f} ±{:.2f}", ns.median, to_base.median,
                                        (to_base.high - to_base.low) / 2));
    }
    fmt::print("\n");
  }
  for (const auto& [name, value] : report.figures) fmt::print("{:<52} {:.3f}\n", name, value);
  for (const std::string& note : report.notes) fmt::print("note: {}\n", note);
  std::fflush(stdout);
}

bool write_files(const Report& report, const std::string& stem) {
  for (const auto& [suffix, text] : {std::pair{".json", json(report)}, std::pair{".svg", svg(report)}}) {
    std::ofstream file(stem + suffix);
    file << text;
    if (!file.flush()) {
      fmt::print(stderr, "bench: cannot write {}{}\n", stem, suffix);
      return false;
    }
  }
  return true;
}

}  // namespace skep::bench
