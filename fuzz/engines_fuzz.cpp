// Interpreter and JIT agree on every program that the input's bytes choose.
#include <cstdio>
#include <cstdlib>

#include "jit/differential.hpp"
#include "jit/random_program.hpp"

using namespace skep;

namespace {
/// The input as a source of numbers; zeroes once it is used up.
struct Bytes {
  const unsigned char* data;
  std::size_t left;
  u64 operator()() {
    u64 value = 0;
    for (int i = 0; i < 2 && left != 0; ++i, --left) value = value << 8 | *data++;
    return value;
  }
};
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  if (size < 16 || size > 2048) return 0;
  Bytes bytes{data, size};
  const auto insns = jit::testing::ProgramMaker(bytes).make(static_cast<u32>(4 + size / 16));
  const std::string what = jit::testing::difference(insns);
  if (what.empty()) return 0;
  std::fprintf(stderr, "%s\n", what.c_str());
  std::abort();
}
