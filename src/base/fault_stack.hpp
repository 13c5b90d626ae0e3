// A stack for signal handlers of the calling thread, so that one can still say what happened when the
// thread's own stack is full (its guard page then faults).
#pragma once
#include <sys/mman.h>

#include <csignal>

#include "base/fd.hpp"

namespace skep {

/// In force from construction to destruction, on one thread. Without memory for it there is none: a full
/// stack then ends the process without a word.
class FaultStack {
 public:
  FaultStack() {
    void* got = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (got == MAP_FAILED) return;
    memory_ = Mapping(got, bytes);
    stack_t stack{};
    stack.ss_sp = got;
    stack.ss_size = bytes;
    sigaltstack(&stack, &before_);
  }
  ~FaultStack() {
    if (memory_.data() != nullptr) sigaltstack(&before_, nullptr);
  }
  FaultStack(const FaultStack&) = delete;
  FaultStack& operator=(const FaultStack&) = delete;

 private:
  static constexpr std::size_t bytes = std::size_t{64} << 10;
  Mapping memory_;
  stack_t before_{};
};

}  // namespace skep
