// bloom_filter: values are pushed and asked for, never listed or removed (kernel/bpf/bloom_filter.c).
#include <sys/mman.h>
#include <sys/random.h>

#include <atomic>

#include "maps/checks.hpp"
#include "maps/hashing.hpp"

namespace skep::maps {
namespace {

class BloomFilterMap final : public Map {
 public:
  BloomFilterMap(const MapSpec& spec, Mapping words, u64 bits, u32 hashes, u64 seed)
      : Map(spec), words_(std::move(words)), mask_(bits - 1), hashes_(hashes), seed_(seed) {}

  int push(const std::byte* value, u64 flags) noexcept override {
    if (flags != uapi::ANY) return -EINVAL;
    each_bit(value, [&](u64 bit) {
      word(bit).fetch_or(u64{1} << bit % 64, std::memory_order_relaxed);
      return true;
    });
    return 0;
  }
  /// `value` is what is asked for. ENOENT: it was never pushed; 0: probably it was.
  int peek(std::byte* value) noexcept override {
    const bool all = each_bit(
        value, [&](u64 bit) { return (word(bit).load(std::memory_order_relaxed) >> bit % 64 & 1) != 0; });
    return all ? 0 : -ENOENT;
  }
  int update(const std::byte*, const std::byte*, u64, u32) noexcept override { return -EINVAL; }
  int remove(const std::byte*) noexcept override { return -EOPNOTSUPP; }

  /// bloom_map_mem_usage()
  u64 memlock() const override { return 312 + (mask_ + 1) / 8; }

 protected:
  int copy_out(const std::byte*, std::byte* value) noexcept override { return peek(value); }
  int copy_in(const std::byte*, const std::byte* value, u64 flags) noexcept override {
    return push(value, flags);
  }
  int next_key(const std::byte*, std::byte*) noexcept override { return -EOPNOTSUPP; }

 private:
  std::atomic_ref<u64> word(u64 bit) const {
    return std::atomic_ref<u64>(reinterpret_cast<u64*>(words_.data())[bit / 64]);
  }
  template <class Visit>
  bool each_bit(const std::byte* value, Visit visit) const {
    for (u32 i = 0; i < hashes_; ++i)
      if (!visit(hash_bytes(value, facts_.value_size, seed_ + i) & mask_)) return false;
    return true;
  }

  Mapping words_;
  u64 mask_;
  u32 hashes_;
  u64 seed_;
};

Result<void> check(const MapSpec& spec) {
  if (spec.max_entries == 0 || spec.value_size == 0 || spec.key_size != 0)
    return fail(EINVAL, fmt::format("key_size {}, value_size {}, max_entries {}: only the key has no size",
                                    spec.key_size, spec.value_size, spec.max_entries));
  if (auto ok = check_flags(spec, uapi::F_NUMA_NODE | uapi::F_ZERO_SEED | access_mask); !ok) return ok;
  if (spec.map_extra > 15)
    return fail(EINVAL, fmt::format("map_extra {}, the number of hashes, is more than 15", spec.map_extra));
  if (spec.value_size > kmalloc_max)
    return fail(E2BIG, fmt::format("value_size {} is too big", spec.value_size));
  return {};
}

/// As many bits as give the fewest false answers: entries * hashes / ln 2, with 7/5 for 1/ln 2.
u64 bits_for(u64 entries, u64 hashes) {
  constexpr u64 most = u64{1} << 31;
  const u64 bits = entries * hashes / 5 * 7;
  if (bits > most) return u64{1} << 32;
  return bits <= 64 ? 64 : std::bit_ceil(bits);
}

Result<MapRef> make(const MapSpec& spec, const Environment&) {
  const u32 hashes = spec.map_extra == 0 ? 5 : static_cast<u32>(spec.map_extra);
  const u64 bits = bits_for(spec.max_entries, hashes);
  auto words = TRY(Mapping::map(bits / 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                                -1, 0, "bits"));
  u64 seed = 0;
  if ((spec.flags & uapi::F_ZERO_SEED) == 0 && ::getrandom(&seed, sizeof seed, 0) != sizeof seed)
    return fail_errno("a seed");
  return MapRef(std::make_shared<BloomFilterMap>(spec, std::move(words), bits, hashes, seed));
}

}  // namespace

constinit const MapTypeRow bloom_filter_row = {MapType::bloom_filter, check, make, MapTypeRow::Btf::void_key};

}  // namespace skep::maps
