// Listings of whole BTF: `btf dump` raw (text and JSON) and as C.
#pragma once
#include <span>
#include <string>

#include "btf/btf.hpp"
#include "btf/writer.hpp"

namespace skep::btf {

/// The lines of `btf dump` for one type: "[1] PTR '(anon)' type_id=2\n", members each on a line of their own.
[[nodiscard]] std::string raw_text(const Btf& btf, u32 id);
/// All types that `btf` itself defines, or those of `ids`.
[[nodiscard]] std::string raw_text(const Btf& btf, std::span<const u32> ids = {});
/// The same as one JSON object {"types":[...]}.
void raw_json(const Btf& btf, Writer& writer, std::span<const u32> ids = {});

struct COptions {
  bool sorted = true;  ///< by kind and name as bpftool does; `unsorted` keeps the order of ids
};
/// `btf dump ... format c`: a header that declares every type, or those that `ids` need. EINVAL naming the
/// type where BTF says something that C cannot.
Result<std::string> c_header(const Btf& btf, std::span<const u32> ids = {}, const COptions& options = {});
/// The declarations alone, without bpftool's preamble.
Result<std::string> c_declarations(const Btf& btf, std::span<const u32> ids = {},
                                   const COptions& options = {});

}  // namespace skep::btf
