// The families of helpers, one file each. A row is what the verifier demands and the code that runs.
// Adding a helper: a row in its family. Adding a family: a file, a declaration here, a line in table.cpp.
#pragma once
#include <span>

#include "helpers/contract.hpp"
#include "helpers/run_context.hpp"
#include "kernel/uapi.hpp"

namespace skep::helpers {

struct HelperRow {
  Contract contract;
  HelperFn fn = nullptr;
  ProgType only = ProgType::unspec;  ///< set: other program types have a helper of this id that skep lacks
};

[[nodiscard]] std::span<const HelperRow> map_family();
[[nodiscard]] std::span<const HelperRow> trace_family();
[[nodiscard]] std::span<const HelperRow> task_family();
[[nodiscard]] std::span<const HelperRow> string_family();
[[nodiscard]] std::span<const HelperRow> net_family();
[[nodiscard]] std::span<const HelperRow> xdp_family();

// Words for rows. Arguments as ArgSpec, so that rows read like the kernel's struct bpf_func_proto.
inline constexpr ArgSpec anything{Arg::anything};
inline constexpr ArgSpec ctx{Arg::ctx};
inline constexpr ArgSpec const_map_ptr{Arg::const_map_ptr};
inline constexpr ArgSpec map_key{Arg::map_key};
inline constexpr ArgSpec map_value{Arg::map_value};
inline constexpr ArgSpec mem_rdonly{Arg::mem, rdonly};
inline constexpr ArgSpec mem_rdonly_or_null{Arg::mem, rdonly | maybe_null};
inline constexpr ArgSpec mem_uninit{Arg::mem, uninit | mem_write};
inline constexpr ArgSpec const_size{Arg::const_size};
inline constexpr ArgSpec const_size_or_zero{Arg::const_size_or_zero};
inline constexpr ArgSpec const_str{Arg::const_str};
/// Eight bytes that the helper fills: `long *`.
inline constexpr ArgSpec long_out{Arg::mem, fixed_size | uninit | mem_write | aligned, 8};

/// A negative errno as a helper's 64-bit result.
constexpr u64 error_result(int positive_errno) { return static_cast<u64>(-static_cast<s64>(positive_errno)); }
template <class T>
T* pointer(u64 value) {
  return reinterpret_cast<T*>(value);  // NOLINT: R1..R5 are addresses that the verifier has checked
}

}  // namespace skep::helpers
