// Bytes as a program of any type, and bytes as the choices that make a program of numbers. Whatever they are,
// the verifier ends, with the same verdict whether it logs or not; and of a program of numbers that it
// accepts, every value of every run lies in the state that its log gives there.
#include <cstdlib>
#include <cstring>
#include <iostream>

#include "helpers/table.hpp"
#include "verifier/verify.hpp"
#include "verifier/walk/path_soundness.hpp"
#include "verifier/walk/random_programs.hpp"

using namespace skep;
using namespace skep::verifier;

namespace {

/// Numbers out of the fuzzer's bytes; zeros when they are used up.
class Bytes {
 public:
  Bytes(const unsigned char* data, std::size_t size) : rest_(data, size) {}
  u64 operator()() {
    u32 value = 0;
    const std::size_t n = std::min<std::size_t>(rest_.size(), sizeof value);
    if (n != 0) std::memcpy(&value, rest_.data(), n);
    rest_ = rest_.subspan(n);
    return value;
  }
  [[nodiscard]] std::span<const unsigned char> rest() const { return rest_; }

 private:
  std::span<const unsigned char> rest_;
};

Input input_of(ProgType type, std::span<const isa::Insn> insns) {
  Input input;
  input.type = type;
  input.gpl_compatible = true;
  input.insns = insns;
  input.helper = helpers::lookup;
  input.helper_name = helpers::name;
  input.memory_limit = u64{256} << 20;
  return input;
}

[[noreturn]] void die(const std::string& why, const std::vector<isa::Insn>& insns) {
  std::cerr << why << '\n' << testing::listing(insns);
  std::abort();
}

void verify_anything(Bytes& bytes) {
  Input input = input_of(static_cast<ProgType>(bytes() % 33), {});
  input.expected_attach_type = static_cast<AttachType>(bytes() % 60);
  input.prog_flags = static_cast<u32>(bytes()) & 0xff;
  std::vector<isa::Insn> insns(bytes.rest().size() / sizeof(isa::Insn));
  if (insns.empty()) return;
  std::memcpy(static_cast<void*>(insns.data()), bytes.rest().data(), insns.size() * sizeof(isa::Insn));
  input.insns = insns;
  const auto silent = verify(input);
  const auto spoken = verify(input, {.level = 2, .size = 1u << 16});
  const int code = silent ? 0 : silent.error().code;
  const bool cut = !spoken && spoken.error().code == ENOSPC;
  if (!cut && code != (spoken ? 0 : spoken.error().code)) die("the verdict depends on the log", insns);
  const u32 processed = silent ? silent->processed_insns() : silent.error().processed_insns;
  const u32 again = spoken ? spoken->processed_insns() : spoken.error().processed_insns;
  if (processed != again) die("what is walked depends on the log", insns);
}

void verify_numbers(Bytes& bytes) {
  const std::vector<isa::Insn> insns = testing::random_program(bytes);
  const auto result = verify(input_of(ProgType::xdp, insns), {.level = 2, .size = 8u << 20});
  if (!result) return;
  const auto segments = testing::read_log(result->log().text);
  if (segments.empty()) die("a log without a beginning", insns);
  for (u32 run = 0; run < 4; ++run) {
    const auto trace = testing::run(insns, bytes);
    testing::Follower follower{segments, trace};
    if (!follower.follow(segments.front(), 0, 0)) die(follower.complaint + '\n' + result->log().text, insns);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  if (size == 0) return 0;
  Bytes bytes(data + 1, size - 1);
  (data[0] & 1) != 0 ? verify_numbers(bytes) : verify_anything(bytes);
  return 0;
}
