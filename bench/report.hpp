// The bench's table: as text on standard output, as JSON and as an SVG plot beside it.
#pragma once
#include <string>
#include <vector>

#include "measure.hpp"

namespace skep::bench {

struct Row {
  std::string program;
  std::vector<Contender> contenders;  ///< the first is the base of all ratios
};

struct Report {
  std::string title;
  std::vector<Row> rows;
  std::vector<std::string> notes;
  std::vector<std::pair<std::string, double>> figures;  ///< geometric means and the like, by name
};

/// Geometric mean of the median ratios of `name` to `base` over the rows that have both; 0 if there is none.
double geometric_mean(const Report& report, const std::string& name, const std::string& base);

void print_text(const Report& report);
/// Writes `stem`.json and `stem`.svg; returns false and says why on standard error if that fails.
bool write_files(const Report& report, const std::string& stem);

}  // namespace skep::bench
