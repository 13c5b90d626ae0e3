// The families of helpers, one file each. A row is an id and the code that runs; what the verifier demands of
// it stands in contracts/. Adding a helper's code: a row in its family. Adding a family: a file, a
// declaration here, a line in table.cpp.
#pragma once
#include <span>

#include "helpers/contract.hpp"
#include "helpers/run_context.hpp"
#include "kernel/uapi.hpp"

namespace skep::helpers {

/// The code of one helper; programs of one type may have code of their own for an id (`only`).
struct HelperRow {
  u32 id = 0;  ///< enum bpf_func_id
  HelperFn fn = nullptr;
  ProgType only = ProgType::unspec;  ///< set: for programs of this type alone
};

[[nodiscard]] std::span<const HelperRow> map_family();
[[nodiscard]] std::span<const HelperRow> ringbuf_family();
[[nodiscard]] std::span<const HelperRow> trace_family();
[[nodiscard]] std::span<const HelperRow> task_family();
[[nodiscard]] std::span<const HelperRow> string_family();
[[nodiscard]] std::span<const HelperRow> net_family();
[[nodiscard]] std::span<const HelperRow> xdp_family();
[[nodiscard]] std::span<const HelperRow> skb_bytes_family();
[[nodiscard]] std::span<const HelperRow> skb_change_family();
[[nodiscard]] std::span<const HelperRow> skb_meta_family();
[[nodiscard]] std::span<const HelperRow> fib_family();
[[nodiscard]] std::span<const HelperRow> socket_family();
[[nodiscard]] std::span<const HelperRow> storage_family();
[[nodiscard]] std::span<const HelperRow> syncookie_family();
[[nodiscard]] std::span<const HelperRow> dynptr_family();
[[nodiscard]] std::span<const HelperRow> loop_family();
[[nodiscard]] std::span<const HelperRow> probe_family();
[[nodiscard]] std::span<const HelperRow> timer_family();
[[nodiscard]] std::span<const HelperRow> cgroup_family();

/// A negative errno as a helper's 64-bit result.
constexpr u64 error_result(int positive_errno) { return static_cast<u64>(-static_cast<s64>(positive_errno)); }
template <class T>
T* pointer(u64 value) {
  return reinterpret_cast<T*>(value);  // NOLINT: R1..R5 are addresses that the verifier has checked
}

}  // namespace skep::helpers
