// Who has a file mapped for writing: what the kernel counts for an mmapable array (bpf_map_mmap_open()).
#pragma once
#include <cstddef>

namespace skep::maps {

/// Whether any process whose /proc/PID/maps can be read has the memfd mapped shared and writable, this
/// process's mapping at `ours` not counted.
[[nodiscard]] bool mapped_for_writing(int memfd, const std::byte* ours);

}  // namespace skep::maps
