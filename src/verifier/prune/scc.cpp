// Loops in the control flow that are being explored: while one is open, states found equal inside it may
// still gain precision marks, so its back edges are kept and gone over again when it is done (kernel:
// bpf_scc_visit, maybe_enter_scc(), maybe_exit_scc(), propagate_backedges()).
#include <algorithm>

#include "verifier/walk/walk.hpp"

namespace skep::verifier {

namespace {

constexpr u32 max_rounds = 64;

std::string chain_text(const SccChain& chain) {
  std::string text = "(";
  for (const u32 callsite : chain.callsites) {
    if (callsite == 0) break;
    text += fmt::format("{},", callsite);
  }
  return text + fmt::format("{})", chain.scc);
}

SccVisit* find(std::vector<SccVisit>& visits, const SccChain& chain) {
  for (SccVisit& visit : visits)
    if (visit.chain == chain) return &visit;
  return nullptr;
}

}  // namespace

/// The outermost loop that the state stands in; false if none.
bool Walk::scc_chain(const State& state, SccChain& chain) const {
  chain = {};
  for (u32 f = 0; f <= state.curframe; ++f) {
    const u32 idx = frame_insn_idx(state, f);
    const u32 scc = e.program.notes[idx].scc;
    if (scc != 0) {
      chain.scc = scc;
      return true;
    }
    if (f < state.curframe) chain.callsites[f] = idx;
  }
  return false;
}

void Walk::maybe_enter_scc(State& state) {
  SccChain chain;
  if (!scc_chain(state, chain)) return;
  SccVisit* visit = find(scc_visits, chain);
  if (visit == nullptr) {
    scc_visits.push_back({chain, nullptr, {}});
    visit = &scc_visits.back();
  }
  if (visit->entry != nullptr) return;
  visit->entry = &state;
  if (e.log.level2()) e.log.write(fmt::format("SCC enter {}\n", chain_text(chain)));
}

Status Walk::maybe_exit_scc(State& state) {
  SccChain chain;
  if (!scc_chain(state, chain)) return passed;
  SccVisit* visit = find(scc_visits, chain);
  if (visit == nullptr || visit->entry != &state) return passed;
  if (e.log.level2()) e.log.write(fmt::format("SCC exit {}\n", chain_text(chain)));
  visit->entry = nullptr;
  backedge_count -= static_cast<u32>(visit->backedges.size());
  update_peak_states();
  return propagate_backedges(*visit);
}

void Walk::add_backedge(State& old, u32 insn_idx) {
  SccChain chain;
  if (!scc_chain(old, chain)) return;
  if (e.log.level2()) e.log.write(fmt::format("SCC backedge {}\n", chain_text(chain)));
  SccVisit* visit = find(scc_visits, chain);
  if (visit == nullptr) return;
  State* edge = e.pool.copy(*e.cur);
  edge->equal_state = &old;
  edge->insn_idx = insn_idx;
  visit->backedges.push_back(edge);
  ++backedge_count;
  update_peak_states();
}

Status Walk::propagate_backedges(SccVisit& visit) {
  for (u32 round = 0;; ++round) {
    bool changed = false;
    if (round >= max_rounds) {
      for (State* edge : visit.backedges) mark_all_precise(*edge);
      break;
    }
    for (std::size_t i = visit.backedges.size(); i-- > 0;)
      CHECK(propagate_precision(*visit.backedges[i]->equal_state, *visit.backedges[i], &changed));
    if (!changed) break;
  }
  for (State* edge : visit.backedges) e.pool.release(edge);
  visit.backedges.clear();
  return passed;
}

/// The state may still gain precision marks from back edges of the loop it is in.
bool Walk::incomplete_marks(const State& state) {
  if (backedge_count == 0) return false;
  SccChain chain;
  if (!scc_chain(state, chain)) return false;
  const SccVisit* visit = find(scc_visits, chain);
  return visit != nullptr && !visit->backedges.empty();
}

}  // namespace skep::verifier
