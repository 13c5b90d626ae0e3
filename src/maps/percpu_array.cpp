// percpu_array: each element is a value for every CPU in the per-CPU area; CPU 0's addresses stand
// array_values_offset bytes after the map's address, as struct bpf_array's pptrs do (kernel/bpf/arraymap.c).
#include <fmt/format.h>
#include <sys/mman.h>

#include "maps/placement.hpp"
#include "maps/types.hpp"
#include "maps/value_copy.hpp"
#include "maps/value_fields.hpp"

namespace skep::maps {
namespace {

class PercpuArrayMap final : public Map {
 public:
  PercpuArrayMap(const MapSpec& spec, PercpuArea& area, std::byte* values)
      : Map(spec), area_(area), values_(values), stride_(round_up8(spec.value_size)) {
    for (u32 i = 0; i < spec.max_entries; ++i) pointers()[i] = values + i * stride_;
    facts_.values_address = reinterpret_cast<u64>(pointers());
  }
  ~PercpuArrayMap() override {
    if (value_type_ != nullptr)
      for (u32 cpu = 0; cpu < area_.cpus(); ++cpu)
        for (u32 i = 0; i < facts_.max_entries; ++i) free_value(values_ + i * stride_ + area_.offset_of(cpu));
    area_.release(values_, facts_.max_entries * stride_);
  }

  std::byte* lookup(const std::byte* key, u32 cpu) noexcept override {
    const u32 index = load<u32>(key);
    return index < facts_.max_entries ? values_ + index * stride_ + area_.offset_of(cpu) : nullptr;
  }
  int update(const std::byte* key, const std::byte* value, u64 flags, u32 cpu) noexcept override {
    if (flags > uapi::EXIST) return -EINVAL;
    std::byte* to = lookup(key, cpu);
    if (to == nullptr) return -E2BIG;
    if (flags == uapi::NOEXIST) return -EEXIST;
    store_plain_fields(facts_.record, to, value, facts_.value_size);
    free_value(to);
    return 0;
  }
  int remove(const std::byte*) noexcept override { return -EINVAL; }
  s64 for_each(Visit visit, void* argument, u32 cpu) noexcept override {
    s64 calls = 0;
    for (u32 i = 0; i < facts_.max_entries; ++i) {
      ++calls;
      if (visit(argument, bytes_of(i).data(), values_ + i * stride_ + area_.offset_of(cpu)) != 0) break;
    }
    return calls;
  }

  u32 user_value_size() const override { return static_cast<u32>(area_.cpus() * stride_); }
  u64 memlock() const override {
    const u64 n = facts_.max_entries;
    return sizeof_bpf_array + n * sizeof(void*) + area_.cpus() * n * stride_;
  }

 protected:
  int copy_out(const std::byte* key, std::byte* value) noexcept override {
    const std::byte* from = lookup(key, 0);
    if (from == nullptr) return -ENOENT;
    for (u32 cpu = 0; cpu < area_.cpus(); ++cpu, value += stride_) {
      load_value(value, from + area_.offset_of(cpu), stride_);
      clear_special_fields(facts_.record, value, facts_.value_size);
    }
    return 0;
  }
  int copy_in(const std::byte* key, const std::byte* value, u64 flags) noexcept override {
    if (flags > uapi::EXIST) return -EINVAL;
    std::byte* to = lookup(key, 0);
    if (to == nullptr) return -E2BIG;
    if (flags == uapi::NOEXIST) return -EEXIST;
    for (u32 cpu = 0; cpu < area_.cpus(); ++cpu, value += stride_) put(to + area_.offset_of(cpu), value);
    return 0;
  }
  int next_key(const std::byte* key, std::byte* next) noexcept override {
    const u32 index = key == nullptr ? UINT32_MAX : load<u32>(key);
    if (index == facts_.max_entries - 1) return -ENOENT;
    store(next, index >= facts_.max_entries ? u32{0} : index + 1);
    return 0;
  }
  bool has_batch(Batch batch) const override { return batch == Batch::lookup || batch == Batch::update; }

 private:
  void put(std::byte* to, const std::byte* value) {
    if (facts_.record.fields.empty()) return store_value(to, value, stride_);
    store_plain_fields(facts_.record, to, value, facts_.value_size);
    free_value(to);
  }
  std::byte** pointers() {
    return reinterpret_cast<std::byte**>(reinterpret_cast<std::byte*>(this) + array_values_offset);
  }

  PercpuArea& area_;
  std::byte* values_;
  u64 stride_;
};
static_assert(sizeof(PercpuArrayMap) <= array_values_offset);

Result<void> check(const MapSpec& spec) {
  if (spec.max_entries == 0) return fail(EINVAL, "max_entries is 0");
  if (spec.key_size != 4) return fail(EINVAL, fmt::format("key_size is {}, must be 4", spec.key_size));
  if (spec.value_size == 0) return fail(EINVAL, "value_size is 0");
  if ((spec.flags & ~access_mask) != 0 || !access_flags_ok(spec.flags))
    return fail(EINVAL, fmt::format("map_flags {:#x} are not allowed", spec.flags));
  if (round_up8(spec.value_size) > percpu_value_max)
    return fail(E2BIG,
                fmt::format("value_size {} is more than {} for a CPU", spec.value_size, percpu_value_max));
  return {};
}

Result<MapRef> make(const MapSpec& spec, const Environment& environment) {
  SKEP_ASSERT(environment.percpu != nullptr);
  const u64 values_size = spec.max_entries * round_up8(spec.value_size);
  const u64 size = array_values_offset + u64{spec.max_entries} * sizeof(void*);
  auto memory = TRY(Mapping::map(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                                 -1, 0, "per-CPU pointers"));
  std::byte* values = TRY(environment.percpu->allocate(values_size));
  return MapRef(place<PercpuArrayMap>(std::move(memory), 0, spec, *environment.percpu, values));
}

}  // namespace

constinit const MapTypeRow percpu_array_row = {MapType::percpu_array, check, make, MapTypeRow::Btf::array};

}  // namespace skep::maps
