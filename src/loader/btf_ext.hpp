// .BTF.ext: function, line and CO-RE records by section (Documentation/bpf/btf.rst section 4).
#pragma once
#include <map>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "btf/btf.hpp"
#include "kernel/kernel.hpp"

namespace skep::loader {

/// The records of one kind by section; the first word of each is an offset in bytes into the section.
struct ExtInfo {
  u32 record_size = 0;
  std::map<std::string, ByteView, std::less<>> sections;
};
struct BtfExt {
  ExtInfo func_info, line_info, core_relos;

  /// `bytes` must outlive the result. EINVAL naming the subsection and offset that is damaged.
  static Result<BtfExt> parse(ByteView bytes, const btf::Btf& btf);
};

/// Appends to `out` the records of `info` for instructions [first, first + count) of `section`, moved so that
/// the first one stands at `at`: no more of them than instructions, as they are to stand in order. False if
/// there are none.
bool append_records(InfoRecords& out, const ExtInfo& info, std::string_view section, u32 first, u32 count,
                    u32 at);

}  // namespace skep::loader
