// Reads a ring buffer (BPF_MAP_TYPE_RINGBUF; kernel/bpf/ringbuf.c).
#pragma once
#include <functional>
#include <memory>

#include "kernel/kernel.hpp"

namespace skep::consumers {

class RingReader {
 public:
  /// EINVAL: the map is no ring buffer.
  static Result<std::unique_ptr<RingReader>> open(Kernel& kernel, int map);
  RingReader(const RingReader&) = delete;
  RingReader& operator=(const RingReader&) = delete;

  /// Readable while there may be something new.
  [[nodiscard]] int fd() const { return wake_.get(); }
  /// Hands over the records that are there, in order, until there are no more or `visit` returns false (that
  /// record counts as read); returns how many. Discarded ones are passed over. The bytes are valid during the
  /// call. EPROTO: the ring has nonsense in it.
  Result<u64> consume(const std::function<bool(ByteView record)>& visit);

 private:
  RingReader() = default;

  u64 mask_ = 0;
  Mapping consumer_, producer_;  ///< a page; a page and the data, twice its size
  UniqueFd wake_;
};

}  // namespace skep::consumers
