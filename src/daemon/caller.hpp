// The process that a bpf(2) call is served for, as the serving code needs it: its memory by address, its
// descriptors by number, its name. The daemon's own clients are one kind; processes whose system call is
// intercepted would be another.
#pragma once
#include <functional>
#include <optional>
#include <string>

#include "base/bytes.hpp"
#include "kernel/kernel.hpp"

namespace skep::daemon {

/// What the sizes of a map's elements are for user space.
struct ElementSizes {
  u32 key = 0;
  u64 value = 0;
  std::optional<ValueDescriptor> descriptor{};  ///< in each value
  bool machine_descriptor = false;              ///< in each value, too: no object of a Kernel
};

class Caller {
 public:
  Caller() = default;
  Caller(const Caller&) = delete;
  Caller& operator=(const Caller&) = delete;
  virtual ~Caller() = default;

  /// `size` bytes of the caller's memory; EFAULT if it does not have them. The view holds until the call
  /// ends.
  virtual Result<ByteView> read(u64 address, u64 size) = 0;
  /// How many bytes can be read from `address` on.
  virtual u64 readable(u64 address) = 0;
  /// Writes the caller's memory; EFAULT if it gave no room there.
  virtual Result<void> write(u64 address, ByteView bytes) = 0;

  struct Object {
    ObjectKind kind{};
    int fd = -1;  ///< the Kernel's number
  };
  /// The object that the caller's descriptor means. EBADF: no such descriptor; EINVAL: not one of ours.
  virtual Result<Object> object(u32 fd) = 0;
  /// A descriptor of this process for what the caller's descriptor is, until the call ends; INT32_MAX where
  /// it is none.
  virtual int machine_descriptor(s32 fd) = 0;
  /// The element sizes of a map, asked of the Kernel once.
  virtual Result<ElementSizes> element_sizes(Kernel& kernel, u32 fd) = 0;
  /// Gives the caller a descriptor for the object: the result of its call.
  virtual Result<void> hand_out(Handle handle) = 0;
  /// The same for a descriptor that is no object; several come in this order.
  virtual void hand_out(UniqueFd fd) = 0;
  /// Runs `body` on a thread within the caller's network namespace, and waits for it.
  virtual Result<void> in_network_namespace(const std::function<Result<void>()>& body) = 0;
  /// Whether nobody waits for the answer any more: long work ends with EINTR. Any thread.
  virtual bool interrupted() = 0;
  /// comm and pid.
  virtual std::pair<std::string, int> task() = 0;
};

}  // namespace skep::daemon
