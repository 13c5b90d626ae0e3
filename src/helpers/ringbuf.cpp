// Helpers on ring buffers and perf event arrays: records for user space (kernel/bpf/ringbuf.c,
// kernel/trace/bpf_trace.c).
#include "maps/ringbuf.hpp"

#include <array>
#include <cerrno>

#include "helpers/dynptr.hpp"
#include "helpers/families.hpp"
#include "maps/perf_events.hpp"
#include "progs/xdp_buff.hpp"

namespace skep::helpers {
namespace {

using maps::RingbufMap;

/// The verifier knew the map's type.
RingbufMap& ring(u64 map) { return *static_cast<RingbufMap*>(pointer<maps::Map>(map)); }

u64 ringbuf_output(u64 map, u64 data, u64 size, u64 flags, u64, RunContext*) {
  return static_cast<u64>(s64{ring(map).output(pointer<std::byte>(data), size, flags)});
}
u64 ringbuf_reserve(u64 map, u64 size, u64 flags, u64, u64, RunContext*) {
  return flags != 0 ? 0 : reinterpret_cast<u64>(ring(map).reserve(size));
}
u64 ringbuf_submit(u64 record, u64 flags, u64, u64, u64, RunContext*) {
  RingbufMap::commit(pointer<std::byte>(record), flags, false);
  return 0;
}
u64 ringbuf_discard(u64 record, u64 flags, u64, u64, u64, RunContext*) {
  RingbufMap::commit(pointer<std::byte>(record), flags, true);
  return 0;
}
u64 ringbuf_query(u64 map, u64 what, u64, u64, u64, RunContext*) { return ring(map).query(what); }

u64 ringbuf_reserve_dynptr(u64 map, u64 size, u64 flags, u64 dynptr, u64, RunContext*) {
  auto& to = *pointer<Dynptr>(dynptr);
  to.clear();
  if (flags != 0) return error_result(EINVAL);
  if (size > Dynptr::max_size) return error_result(E2BIG);
  std::byte* record = ring(map).reserve(size);
  if (record == nullptr) return error_result(EINVAL);
  to.set(record, Dynptr::Type::ringbuf, 0, static_cast<u32>(size));
  return 0;
}
u64 end_dynptr(u64 dynptr, u64 flags, bool discard) {
  auto& of = *pointer<Dynptr>(dynptr);
  if (of.data == nullptr) return 0;
  RingbufMap::commit(static_cast<std::byte*>(of.data), flags, discard);
  of.clear();
  return 0;
}
u64 ringbuf_submit_dynptr(u64 dynptr, u64 flags, u64, u64, u64, RunContext*) {
  return end_dynptr(dynptr, flags, false);
}
u64 ringbuf_discard_dynptr(u64 dynptr, u64 flags, u64, u64, u64, RunContext*) {
  return end_dynptr(dynptr, flags, true);
}

/// The callback gets a dynptr of the record and R3.
u64 user_ringbuf_drain(u64 map, u64 callback, u64 argument, u64 flags, u64, RunContext* run) {
  struct Call {
    const Callback* callback;
    u64 argument;
    RunContext* run;
  } call{pointer<const Callback>(callback), argument, run};
  const auto visit = [](void* of, std::byte* record, u32 size) {
    auto& c = *static_cast<Call*>(of);
    Dynptr dynptr;
    dynptr.set(record, Dynptr::Type::local, 0, size);
    return (*c.callback)(reinterpret_cast<u64>(&dynptr), c.argument, 0, 0, 0, c.run);
  };
  return static_cast<u64>(ring(map).drain(visit, &call, flags));
}

// bpf_perf_event_output(): the low half of the flags is the slot.
constexpr u64 index_mask = 0xffffffff;
constexpr u64 context_bytes_shift = 32, context_bytes_mask = u64{0xfffff} << context_bytes_shift;

u64 output_event(u64 map, u64 flags, ByteView data, ByteView context, const RunContext& run) {
  auto& events = *static_cast<maps::PerfEventArray*>(pointer<maps::Map>(map));
  return static_cast<u64>(s64{events.output(static_cast<u32>(flags & index_mask), run.cpu, data, context)});
}

u64 perf_event_output(u64, u64 map, u64 flags, u64 data, u64 size, RunContext* run) {
  if ((flags & ~index_mask) != 0) return error_result(EINVAL);
  return output_event(map, flags, {pointer<std::byte>(data), size}, {}, *run);
}

/// bpf_xdp_event_output(): the flags may ask for the packet's first bytes.
u64 xdp_event_output(u64 ctx, u64 map, u64 flags, u64 data, u64 size, RunContext* run) {
  if ((flags & ~(index_mask | context_bytes_mask)) != 0) return error_result(EINVAL);
  const u64 wanted = (flags & context_bytes_mask) >> context_bytes_shift;
  const auto* packet = pointer<const progs::XdpBuff>(ctx);
  if (wanted > static_cast<u64>(packet->data_end - packet->data)) return error_result(EFAULT);
  return output_event(map, flags, {pointer<std::byte>(data), size}, {packet->data, wanted}, *run);
}

constexpr HelperRow rows[] = {
    {25, perf_event_output},      {25, xdp_event_output, ProgType::xdp},
    {130, ringbuf_output},        {131, ringbuf_reserve},
    {132, ringbuf_submit},        {133, ringbuf_discard},
    {134, ringbuf_query},         {198, ringbuf_reserve_dynptr},
    {199, ringbuf_submit_dynptr}, {200, ringbuf_discard_dynptr},
    {209, user_ringbuf_drain},
};

}  // namespace

std::span<const HelperRow> ringbuf_family() { return rows; }

}  // namespace skep::helpers
