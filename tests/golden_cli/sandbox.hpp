// Where the recorded commands run: a network and a mount namespace of the test's own, an eth0 (one end of a
// veth pair), a work directory with the objects, and a daemon whose directory is in there and which ends with
// the test.
#pragma once
#include <string>
#include <vector>

namespace skep::test {

struct CommandResult {
  std::string out;
  std::string err;
  int status = 0;
};

class Sandbox {
 public:
  /// Empty `why_not` after a successful construction; else the reason why there can be no sandbox here.
  explicit Sandbox(std::string& why_not);
  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;
  ~Sandbox();

  /// Runs a shell command in the work directory; `bpftool` is skep there. 124: it took more than 30 seconds.
  CommandResult run(const std::string& command);
  /// Sends Ethernet frames to eth0 from the other end.
  bool send_frames(int count);
  [[nodiscard]] const std::string& directory() const { return directory_; }

 private:
  std::string enter_namespaces();
  std::string fill_directory();

  std::string directory_;
};

[[nodiscard]] std::string read_text(const std::string& path);

}  // namespace skep::test
