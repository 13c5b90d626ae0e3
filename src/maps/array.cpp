// array: values in one run of memory, array_values_offset bytes after the map's address, as the kernel's
// struct bpf_array has them; an mmapable one's stand at a page boundary, in a memfd that clients map too
// (kernel/bpf/arraymap.c).
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include "maps/mapped.hpp"
#include "maps/placement.hpp"
#include "maps/types.hpp"
#include "maps/value_fields.hpp"

namespace skep::maps {
namespace {

u64 page_size() { return static_cast<u64>(::sysconf(_SC_PAGESIZE)); }
u64 page_align(u64 size) { return (size + page_size() - 1) / page_size() * page_size(); }

class ArrayMap final : public Map {
 public:
  ArrayMap(const MapSpec& spec, UniqueFd memfd)
      : Map(spec), stride_(round_up8(spec.value_size)), memfd_(std::move(memfd)) {
    facts_.values_address = reinterpret_cast<u64>(values());
  }
  ~ArrayMap() override {
    if (value_type_ == nullptr) return;
    for (u32 i = 0; i < facts_.max_entries; ++i) free_value(values() + i * stride_);
  }

  std::byte* lookup(const std::byte* key, u32) noexcept override {
    const u32 index = load<u32>(key);
    return index < facts_.max_entries ? values() + index * stride_ : nullptr;
  }
  int update(const std::byte* key, const std::byte* value, u64 flags, u32) noexcept override {
    return copy_in(key, value, flags);
  }
  int remove(const std::byte*) noexcept override { return -EINVAL; }
  s64 for_each(Visit visit, void* argument, u32) noexcept override {
    s64 calls = 0;
    for (u32 i = 0; i < facts_.max_entries; ++i) {
      ++calls;
      if (visit(argument, bytes_of(i).data(), values() + i * stride_) != 0) break;
    }
    return calls;
  }

  Result<MapMemory> memory() override;
  u64 memlock() const override {
    const u64 data = facts_.max_entries * stride_;
    if ((facts_.flags & uapi::F_MMAPABLE) == 0) return sizeof_bpf_array + data;
    return page_align(sizeof_bpf_array) + page_align(data);
  }

 protected:
  int copy_out(const std::byte* key, std::byte* value) noexcept override {
    const std::byte* from = lookup(key, 0);
    if (from == nullptr) return -ENOENT;
    load_value(value, from, facts_.value_size);
    clear_special_fields(facts_.record, value, facts_.value_size);
    return 0;
  }
  int copy_in(const std::byte* key, const std::byte* value, u64 flags) noexcept override {
    if ((flags & ~uapi::LOCK) > uapi::EXIST) return -EINVAL;
    if ((flags & uapi::LOCK) != 0 && facts_.record.spin_lock_off < 0) return -EINVAL;
    std::byte* to = lookup(key, 0);
    if (to == nullptr) return -E2BIG;
    if ((flags & uapi::NOEXIST) != 0) return -EEXIST;
    {
      const ValueLock lock(facts_.record, to, flags);
      store_plain_fields(facts_.record, to, value, facts_.value_size);
    }
    free_value(to);
    return 0;
  }
  int next_key(const std::byte* key, std::byte* next) noexcept override {
    const u32 index = key == nullptr ? UINT32_MAX : load<u32>(key);
    if (index >= facts_.max_entries) {
      store(next, u32{0});
      return 0;
    }
    if (index == facts_.max_entries - 1) return -ENOENT;
    store(next, index + 1);
    return 0;
  }
  bool has_batch(Batch batch) const override { return batch == Batch::lookup || batch == Batch::update; }
  Result<void> on_freeze() override;
  void on_user_release() noexcept override {
    if (!has_async_fields()) return;
    for (u32 i = 0; i < facts_.max_entries; ++i) free_async_fields(facts_.record, values() + i * stride_);
  }

 private:
  std::byte* values() const {
    return reinterpret_cast<std::byte*>(const_cast<ArrayMap*>(this)) + array_values_offset;
  }

  u64 stride_;
  UniqueFd memfd_;
  std::atomic<bool> handed_out_{false};  ///< somebody may have mapped it for writing
};
static_assert(sizeof(ArrayMap) <= array_values_offset, "the values follow the map at a fixed distance");
static_assert(array_values_offset % alignof(ArrayMap) == 0);

Result<void> ArrayMap::on_freeze() {
  if (handed_out_ && mapped_for_writing(memfd_.get(), values()))
    return fail(EBUSY, "a process has the array mapped for writing");
  // From here on nobody can make a writable mapping.
  if (memfd_ && ::fcntl(memfd_.get(), F_ADD_SEALS, F_SEAL_FUTURE_WRITE) != 0) return fail_errno("freeze");
  // Only of one element does the verifier know which one a program reads (array_map_direct_value_addr()).
  if ((facts_.flags & uapi::F_RDONLY_PROG) != 0 && facts_.max_entries == 1)
    facts_.rodata = {values(), stride_};
  return {};
}

Result<MapMemory> ArrayMap::memory() {
  if (!memfd_) return Map::memory();
  if ((facts_.flags & uapi::F_WRONLY) != 0)
    return fail(EPERM, "the map cannot be mapped for reading (BPF_F_WRONLY)");
  MapMemory memory;
  const bool read_only = facts_.frozen || (facts_.flags & (uapi::F_RDONLY_PROG | uapi::F_RDONLY)) != 0;
  if (read_only) {
    const std::string path = fmt::format("/proc/self/fd/{}", memfd_.get());
    memory.fd = UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!memory.fd) return fail_errno("map memory, read-only");
  } else {
    memory.fd = TRY(memfd_.duplicate());
    handed_out_ = true;
  }
  memory.size = page_align(facts_.max_entries * stride_);
  memory.stride = static_cast<u32>(stride_);
  return memory;
}

Result<void> check(const MapSpec& spec) {
  constexpr u32 known = uapi::F_NUMA_NODE | uapi::F_MMAPABLE | access_mask | uapi::F_INNER_MAP;
  if (spec.max_entries == 0) return fail(EINVAL, "max_entries is 0");
  if (spec.key_size != 4) return fail(EINVAL, fmt::format("key_size is {}, must be 4", spec.key_size));
  if (spec.value_size == 0) return fail(EINVAL, "value_size is 0");
  if ((spec.flags & ~known) != 0 || !access_flags_ok(spec.flags))
    return fail(EINVAL, fmt::format("map_flags {:#x} are not allowed", spec.flags));
  if (spec.value_size > INT32_MAX)
    return fail(E2BIG, fmt::format("value_size {} is too big", spec.value_size));
  return {};
}

Result<MapRef> make(const MapSpec& spec, const Environment&) {
  const u64 data = spec.max_entries * round_up8(spec.value_size);
  if (data > (u64{1} << 40)) return fail(ENOMEM, fmt::format("{} bytes of values", data));
  constexpr int prot = PROT_READ | PROT_WRITE;
  constexpr int reserve = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  if ((spec.flags & uapi::F_MMAPABLE) == 0) {
    auto memory = TRY(Mapping::map(array_values_offset + data, prot, reserve, -1, 0, "values"));
    return MapRef(place<ArrayMap>(std::move(memory), 0, spec, UniqueFd()));
  }
  // A page whose end holds the map, then the memfd's pages.
  const u64 page = page_size();
  UniqueFd memfd(::memfd_create("skep-map", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!memfd) return fail_errno("memfd_create");
  if (::ftruncate(memfd.get(), static_cast<off_t>(page_align(data))) != 0) return fail_errno("values");
  if (::fcntl(memfd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) return fail_errno("values");
  auto memory = TRY(Mapping::map(page + page_align(data), prot, reserve, -1, 0, "values"));
  if (::mmap(memory.data() + page, page_align(data), prot, MAP_SHARED | MAP_FIXED, memfd.get(), 0) ==
      MAP_FAILED)
    return fail_errno("values");
  // What programs may only read is never mapped writable by clients (bpf_map_mmap()).
  if ((spec.flags & uapi::F_RDONLY_PROG) != 0 && ::fcntl(memfd.get(), F_ADD_SEALS, F_SEAL_FUTURE_WRITE) != 0)
    return fail_errno("values");
  return MapRef(place<ArrayMap>(std::move(memory), page - array_values_offset, spec, std::move(memfd)));
}

}  // namespace

constinit const MapTypeRow array_row = {MapType::array, check, make, MapTypeRow::Btf::array};

}  // namespace skep::maps
