// devmap, devmap_hash, cpumap: where bpf_redirect_map() sends packets (kernel/bpf/devmap.c, cpumap.c). The
// maps keep the entries; what a redirect does with one is the hook's.
#pragma once
#include <map>

#include "maps/map.hpp"
#include "maps/program_ref.hpp"

namespace skep::maps {

/// An entry that redirects go to: an interface, or a CPU with a queue.
struct RedirectTarget {
  u32 key = 0;
  u32 value = 0;  ///< struct bpf_devmap_val's ifindex, struct bpf_cpumap_val's qsize
  std::shared_ptr<const ProgramRef> program;  ///< run there; may be null
};

class RedirectMap final : public Map {
 public:
  RedirectMap(const MapSpec& spec, const Environment& environment);
  ~RedirectMap() override;

  /// The entry, or nullptr: valid until the caller is quiescent.
  [[nodiscard]] const RedirectTarget* target(u32 key) const noexcept;
  /// For broadcasts: the entry with the lowest key that is at least `key`.
  [[nodiscard]] const RedirectTarget* target_from(u32 key) const noexcept;

  std::byte* lookup(const std::byte* key, u32 cpu) noexcept override;
  int remove(const std::byte* key) noexcept override;
  [[nodiscard]] u64 memlock() const override;

 protected:
  int copy_out(const std::byte* key, std::byte* value) noexcept override;
  int copy_in(const std::byte* key, const std::byte* value, u64 flags) noexcept override;
  int next_key(const std::byte* key, std::byte* next) noexcept override;

 private:
  /// What bpf_map_lookup_elem() gives programs (struct bpf_devmap_val), and the entry behind it.
  struct Entry {
    u32 value = 0;
    u32 program_id = 0;
    RedirectTarget target;
  };
  struct Table;

  [[nodiscard]] bool hash() const { return facts_.type == MapType::devmap_hash; }
  [[nodiscard]] bool cpus_are_keys() const { return facts_.type == MapType::cpumap; }
  [[nodiscard]] const Entry* find(u32 key) const noexcept;
  Result<std::unique_ptr<Entry>> make_entry(u32 key, const std::byte* value) const;
  /// An empty `fresh` removes.
  int replace(u32 key, std::unique_ptr<Entry> fresh, u64 flags);

  Objects* objects_;
  u32 cpus_;
  std::mutex mutex_;
  std::atomic<const Table*> table_;
  std::atomic<u32> count_{0};
};

}  // namespace skep::maps
