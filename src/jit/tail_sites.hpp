// Tail calls through known slots as direct jumps: what a slot holds decides where they go, and they are
// directed anew whenever it changes (kernel: prog_array_map_poke_run(), bpf_arch_text_poke()).
#pragma once
#include <memory>
#include <span>
#include <vector>

#include "jit/code_memory.hpp"
#include "jit/emitted.hpp"
#include "maps/slots.hpp"

namespace skep::jit {

/// The tail calls of one program; its code, which is in a pool with those it may jump to, outlives this.
class TailSites {
 public:
  /// Every map is a maps::ProgArray. `frame`: the program's (Emitted::frame).
  TailSites(CodeMemory& memory, std::span<const TailSite> sites, u32 frame);
  ~TailSites();
  TailSites(const TailSites&) = delete;
  TailSites& operator=(const TailSites&) = delete;

 private:
  struct Watched final : maps::SlotWatcher {
    Watched(TailSites& of, const TailSite& at) : sites(of), site(at) {}
    void slot_changed(void* now) noexcept override;
    TailSites& sites;
    TailSite site;
    maps::MapRef map;
  };
  /// Whether the jump whose distance stands at `offset` reaches `to`; if so, it goes there.
  bool direct(u32 offset, u64 to) noexcept;

  CodeMemory& memory_;
  u32 frame_;
  std::vector<std::unique_ptr<Watched>> watched_;
};

}  // namespace skep::jit
