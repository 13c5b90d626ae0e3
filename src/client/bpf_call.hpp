// One call of bpf(2) as a value: the command, its attr, and beside them what a transport that is not the
// system call must know: which memory the attr's pointers mean (in which direction), and which descriptors it
// names.
#pragma once
#include <vector>

#include "base/bytes.hpp"
#include "kernel/uapi.hpp"

namespace skep::client {

/// Memory of the caller that a pointer of the attr (or of an info structure) leads to.
struct Segment {
  static constexpr u32 in = 1, out = 2;
  std::byte* address = nullptr;  ///< written only with `out`
  u64 size = 0;
  u32 direction = in;
};

class BpfCall {
 public:
  template <class Attr>
  BpfCall(Cmd cmd, Attr& attr) : cmd_(static_cast<u32>(cmd)), attr_(mut_bytes_of(attr)) {}
  /// A command of our own, above bpf(2)'s (client/wire.hpp).
  template <class Attr>
  BpfCall(u32 cmd, Attr& attr) : cmd_(cmd), attr_(mut_bytes_of(attr)) {}

  /// Notes memory and returns the number that goes into the attr; 0 for none.
  u64 in(ByteView bytes) {
    return note(const_cast<std::byte*>(bytes.data()), bytes.size(), Segment::in);  // NOLINT: read only
  }
  u64 out(MutBytes bytes) { return note(bytes.data(), bytes.size(), Segment::out); }
  u64 inout(MutBytes bytes) { return note(bytes.data(), bytes.size(), Segment::in | Segment::out); }
  /// A NUL-terminated string; std::string guarantees the NUL.
  u64 string(const std::string& text) {
    return in({reinterpret_cast<const std::byte*>(text.c_str()), text.size() + 1});
  }

  /// Notes a descriptor that the attr or memory names, and returns it as the field holds it.
  u32 fd(int fd) {
    if (fd >= 0) fds_.push_back(fd);
    return static_cast<u32>(fd);
  }
  /// The same for fields where 0 means none.
  u32 fd_or_zero(int fd) { return fd < 0 ? 0 : this->fd(fd); }
  /// The command acts on network interfaces: of the caller's network namespace.
  void acts_on_interfaces() { netns_ = true; }

  [[nodiscard]] u32 cmd() const { return cmd_; }
  [[nodiscard]] MutBytes attr() const { return attr_; }
  [[nodiscard]] const std::vector<Segment>& segments() const { return segments_; }
  [[nodiscard]] const std::vector<int>& fds() const { return fds_; }
  [[nodiscard]] bool netns() const { return netns_; }

 private:
  u64 note(std::byte* address, u64 size, u32 direction) {
    if (size == 0) return 0;
    segments_.push_back({address, size, direction});
    return reinterpret_cast<u64>(address);
  }

  u32 cmd_;
  MutBytes attr_;
  std::vector<Segment> segments_;
  std::vector<int> fds_;
  bool netns_ = false;
};

}  // namespace skep::client
