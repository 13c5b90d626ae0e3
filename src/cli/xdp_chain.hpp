// Several XDP programs of one interface: their priorities and the results with which the next one runs, from
// words and from the programs' own BTF, as libxdp has them.
#pragma once
#include "cli/objects.hpp"

namespace skep::cli {

struct XdpRunConfig {
  u32 priority = XdpAttach::default_priority;
  u32 chain_call = XdpAttach::default_chain_call;
};

/// What the program's source says: `struct { __uint(priority, 10); __uint(XDP_PASS, 1); ... }` named
/// "_PROGRAM" in section .xdp_run_config (libxdp's XDP_RUN_CONFIG). The defaults where it says nothing.
Outcome<XdpRunConfig> run_config_of(Kernel& kernel, const ProgramInfo& info);

/// `[multi] [priority N] [chain_call ACTION[,ACTION...]]`, in any order; nothing if none of them is there.
/// ACTION: XDP_PASS or pass, ...; `none` for no result at all.
struct XdpChainWords {
  bool chained = false;
  std::optional<u32> priority, chain_call;
};
Outcome<XdpChainWords> take_chain_words(Args& args);

/// "XDP_PASS,XDP_TX"; "none".
[[nodiscard]] std::string chain_call_text(u32 chain_call);
/// The bits' names in order.
[[nodiscard]] std::vector<std::string_view> chain_call_names(u32 chain_call);

}  // namespace skep::cli
