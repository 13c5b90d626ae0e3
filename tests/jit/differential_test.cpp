// Interpreter and JIT agree on random programs. SKEP_RANDOM_SECONDS=N goes on for N seconds, from a new seed.
#include "jit/differential.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>

#include "jit/random_program.hpp"

namespace skep::jit::testing {
namespace {

TEST(Engines, AgreeOnRandomPrograms) {
  const char* wanted = std::getenv("SKEP_RANDOM_SECONDS");
  const double seconds = wanted != nullptr ? std::atof(wanted) : 2;
  const u64 first_seed = wanted != nullptr ? std::random_device{}() : 20261122;
  const auto start = std::chrono::steady_clock::now();
  u64 programs = 0;
  for (u64 seed = first_seed;
       programs < 101 ||
       std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() < seconds;
       ++seed) {
    std::mt19937_64 random(seed);
    const auto insns = ProgramMaker(random).make(static_cast<u32>(4 + seed % 60));
    const std::string what = difference(insns);
    ASSERT_EQ(what, "") << "seed " << seed;
    ++programs;
  }
  RecordProperty("programs", static_cast<int>(programs));
}

}  // namespace
}  // namespace skep::jit::testing
