// Network namespaces of the tests' own, joined by veth pairs:
//   a: va 10.9.0.1, fd09::1  --  vb 10.9.0.2, fd09::2 :b: vb2 10.9.1.2  --  vc 10.9.1.1 :c
// They live as long as the object; nothing is sent anywhere else. As an ordinary user the test program moves
// into a user namespace first; where that is not allowed, available() says why and tests skip.
#pragma once
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.hpp"

namespace skep::testing {

/// Why namespaces cannot be made here; empty if they can.
const std::string& why_no_namespaces();

#define SKIP_WITHOUT_NAMESPACES() \
  if (!skep::testing::why_no_namespaces().empty()) GTEST_SKIP() << skep::testing::why_no_namespaces()

struct Output {
  int status = 0;  ///< exit status, or -1
  std::string text;
};

class Namespace {
 public:
  Namespace();
  /// Runs on a thread inside the namespace.
  void inside(const std::function<void()>& what) const;
  /// A shell command inside; stdout and stderr together.
  Output run(const std::string& command) const;
  /// The same, expected to succeed.
  std::string must(const std::string& command) const;
  [[nodiscard]] u32 ifindex(const std::string& name) const;
  /// A counter of /proc/net/snmp, snmp6 or netstat: "Icmp", "InEchos"; "Icmp6", "Icmp6InEchos".
  [[nodiscard]] u64 counter(const std::string& group, const std::string& name) const;
  /// Starts a command inside, in the background; its pid.
  int start(const std::string& command) const;
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  UniqueFd fd_;
};

/// Ends a process that start() began, and waits for it.
void finish(int pid, int signal);

struct Testbed {
  Testbed();
  Namespace a, b, c;
};

/// Received lines of "N packets transmitted, M received" of ping's output; -1 if there is none.
int received(const std::string& ping_output);
/// ping -n -c COUNT -i 0.02 -W 1, and how many came back.
int ping(const Namespace& from, const std::string& address, int count = 5, const std::string& options = "");

/// Waits up to `ms` until `what` holds.
bool eventually(const std::function<bool()>& what, int ms = 2000);

}  // namespace skep::testing
