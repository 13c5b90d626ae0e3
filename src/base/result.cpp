#include "base/result.hpp"

#include <cstdio>
#include <cstdlib>

namespace skep::detail {
void assert_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "skep: internal error: %s (%s:%d)\n", expression, file, line);
  std::abort();
}
}  // namespace skep::detail
