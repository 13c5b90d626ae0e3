// A testbed for a whole suite, and attaching to its interfaces.
#pragma once
#include <gtest/gtest.h>

#include <mutex>

#include "hooks/interface_hook.hpp"
#include "hooks/programs.hpp"
#include "net/testbed.hpp"

namespace skep::testing {

class OnVeth : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (why_no_namespaces().empty()) bed = std::make_unique<Testbed>();
  }
  static void TearDownTestSuite() { bed.reset(); }
  void SetUp() override { SKIP_WITHOUT_NAMESPACES(); }
  inline static std::unique_ptr<Testbed> bed;
};

using Attachment = std::unique_ptr<hooks::InterfaceHook>;

/// Opens; the error is the caller's.
inline Result<Attachment> try_attach(const Namespace& ns, u32 ifindex, const hooks::XdpProgram& program,
                                     TraceSink* trace = nullptr) {
  Result<Attachment> made = fail(EINVAL, "not run");
  ns.inside([&] {
    hooks::InterfaceHookConfig config;
    config.program = program;
    config.run.trace = trace;
    made = hooks::InterfaceHook::open(ifindex, config);
  });
  return made;
}

/// Opens, expected to succeed.
inline Attachment attach(const Namespace& ns, const std::string& name, const hooks::XdpProgram& program,
                         TraceSink* trace = nullptr) {
  auto made = try_attach(ns, ns.ifindex(name), program, trace);
  EXPECT_TRUE(made) << (made ? "" : made.error().what);
  return made ? std::move(*made) : nullptr;
}

/// What a program traced.
class Traces final : public TraceSink {
 public:
  void trace_printk(std::string_view text, const RunContext&) noexcept override {
    const std::lock_guard lock(mutex_);
    lines_.emplace_back(text);
  }
  std::vector<std::string> lines() {
    const std::lock_guard lock(mutex_);
    return lines_;
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> lines_;
};

}  // namespace skep::testing
