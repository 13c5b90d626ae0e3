// XDP programs as C++ functions, in the shape the runtime gives: an Entry over an xdp_buff.
#pragma once
#include "helpers/run_context.hpp"
#include "hooks/interface_hook.hpp"
#include "kernel/uapi.hpp"
#include "progs/xdp_buff.hpp"

namespace skep::testing {

using progs::XdpBuff;

inline XdpBuff& buff(void* ctx) { return *static_cast<XdpBuff*>(ctx); }
inline u32 length(const XdpBuff& xdp) { return static_cast<u32>(xdp.data_end - xdp.data); }
inline u8 byte_at(const XdpBuff& xdp, u32 at) {
  return at < length(xdp) ? static_cast<u8>(xdp.data[at]) : u8{0};
}
inline u16 be16_at(const XdpBuff& xdp, u32 at) {
  return static_cast<u16>(byte_at(xdp, at) << 8 | byte_at(xdp, at + 1));
}

/// A program of id 7 from a function; `self` is what it gets as its first argument.
inline hooks::XdpProgram program(u64 (*run)(const void*, void*, RunContext*), const void* self = nullptr) {
  hooks::XdpProgram made{{run, self}, 7, {}};
  made.set_name("test");
  return made;
}

/// Returns the verdict that `self` points to.
inline u64 always(const void* self, void*, RunContext*) { return *static_cast<const u32*>(self); }

inline constexpr u32 kAborted = uapi::XDP_ABORTED, kDrop = uapi::XDP_DROP, kPass = uapi::XDP_PASS,
                     kTx = uapi::XDP_TX, kRedirect = uapi::XDP_REDIRECT;

}  // namespace skep::testing
