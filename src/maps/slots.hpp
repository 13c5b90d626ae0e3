// Arrays whose elements are references: prog_array, array_of_maps, cgroup_array. A slot is a pointer, and the
// slots stand array_values_offset bytes after the map's address, as struct bpf_array's ptrs do: rewritten
// code and tail calls read them there (fd_array ops of kernel/bpf/arraymap.c).
#pragma once
#include <optional>

#include "maps/map.hpp"
#include "maps/program_ref.hpp"

namespace skep::maps {

/// Who has to know what a slot holds: machine code that jumps there directly (kernel: struct
/// bpf_jit_poke_descriptor).
class SlotWatcher {
 public:
  /// What programs read of the slot from now on, or nullptr. Called with the array's lock held: the old
  /// object stays for a grace period after it returns.
  virtual void slot_changed(void* now) noexcept = 0;

 protected:
  ~SlotWatcher() = default;
};

class SlotArray : public Map {
 public:
  ~SlotArray() override;

  int remove(const std::byte* key) noexcept override;
  [[nodiscard]] u64 memlock() const override { return array_values_offset + 8 * u64{facts_.max_entries}; }

 protected:
  explicit SlotArray(const MapSpec& spec) : Map(spec) {}

  /// Apart, so that the map ends before its slots.
  struct State {
    std::mutex mutex;
    std::vector<std::shared_ptr<const void>> kept;       ///< by slot; as many as were ever used
    std::optional<ProgramOwner> owner;                   ///< of a prog_array
    std::vector<std::pair<u32, SlotWatcher*>> watchers;  ///< by slot, in no order
  };
  std::unique_ptr<State> state_ = std::make_unique<State>();

  /// What user space reads for a reference: an id. 0: it reads none of these (ENOTSUPP).
  [[nodiscard]] virtual u32 id_of(const void* object) const = 0;
  /// The object of a descriptor: its address, and a reference that keeps it.
  struct Reference {
    void* address = nullptr;
    std::shared_ptr<const void> keep;
  };
  virtual Result<Reference> resolve(int fd) = 0;

  int copy_out(const std::byte* key, std::byte* value) noexcept override;
  int copy_in(const std::byte* key, const std::byte* value, u64 flags) noexcept override;
  int next_key(const std::byte* key, std::byte* next) noexcept override;
  /// What programs read of a slot, or nullptr.
  [[nodiscard]] void* at(u32 index) const;
  void clear();

 private:
  std::atomic<void*>* slots() const;
  /// Puts a reference into a slot; the old one goes after a grace period. ENOENT: `fresh` is empty and so was
  /// the slot.
  int replace(u32 index, Reference fresh);
};

/// prog_array. Tail calls read its slots as const ProgramRef*, and their number before them
/// (prog_array_count_offset).
class ProgArray final : public SlotArray {
 public:
  ProgArray(const MapSpec& spec, Objects* objects) : SlotArray(spec), objects_(objects) {}

  /// bpf_prog_map_compatible(): the first program that uses the map, or stands in it, is its owner; others
  /// must be like it. EINVAL.
  Result<void> check_owner(const ProgramRef& program);
  [[nodiscard]] std::optional<ProgramOwner> owner() const;
  /// From now until unwatch(); begins with what the slot holds. `index` is below max_entries.
  void watch(u32 index, SlotWatcher& watcher);
  void unwatch(SlotWatcher& watcher);

 protected:
  u32 id_of(const void* object) const override { return static_cast<const ProgramRef*>(object)->id; }
  Result<Reference> resolve(int fd) override;
  /// prog_array_map_clear(): programs in it that use it would keep each other for ever.
  void on_user_release() noexcept override { clear(); }

 private:
  Objects* objects_;
};

/// Whether a map may stand where `inner` was the template (map_meta_equal of its type).
[[nodiscard]] bool equals_inner(const MapFacts& inner, const MapFacts& map);

}  // namespace skep::maps
