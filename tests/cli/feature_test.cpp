// `feature`: what the tables have, in bpftool's words.
#include <nlohmann/json.hpp>

#include "cli/fixture.hpp"

namespace skep::cli::test {
namespace {

using nlohmann::json;

TEST_F(CommandLine, FeatureProbeTellsWhatCanBeLoadedAndMade) {
  const Ran ran = run("skep -j feature probe");
  ASSERT_EQ(ran.status, 0) << ran.err;
  const json found = json::parse(ran.out);
  EXPECT_EQ(found["syscall_config"]["have_bpf_syscall"], true);
  EXPECT_EQ(found["program_types"]["have_xdp_prog_type"], true);
  EXPECT_EQ(found["map_types"]["have_hash_map_type"], true);
  EXPECT_EQ(found["map_types"]["have_percpu_array_map_type"], true);
  EXPECT_EQ(found["misc"]["have_bounded_loops"], true);
  EXPECT_EQ(found["misc"]["have_large_insn_limit"], true);
  EXPECT_EQ(found["misc"]["have_v4_isa_extension"], true);
  const json& helpers = found["helpers"]["xdp_available_helpers"];
  for (const char* there : {"bpf_map_lookup_elem", "bpf_tail_call", "bpf_redirect", "bpf_xdp_adjust_head"})
    EXPECT_NE(std::ranges::find(helpers, there), helpers.end()) << there;
  // Linux does not let XDP programs call it.
  EXPECT_EQ(std::ranges::find(helpers, "bpf_skb_load_bytes"), helpers.end());
  EXPECT_EQ(std::ranges::find(helpers, "bpf_trace_printk"), helpers.end()) << "only with 'full'";
  for (const auto& [list, ids] : found["helpers"].items()) {
    if (found["program_types"]["have_" + list.substr(0, list.find("_available")) + "_prog_type"] == false) {
      EXPECT_TRUE(ids.empty()) << list;
    }
  }
  EXPECT_NE(run("skep feature probe full").out.find("\n\t- bpf_trace_printk\n"), std::string::npos);
}

TEST_F(CommandLine, FeatureProbeInText) {
  const Ran ran = run("skep feature probe kernel");
  ASSERT_EQ(ran.status, 0) << ran.err;
  for (const char* part :
       {"Scanning system configuration...\n",
        "\nScanning system call availability...\nbpf() syscall is available\n",
        "\nScanning eBPF program types...\neBPF program_type socket_filter is ",
        "eBPF program_type xdp is available\n",
        "\nScanning eBPF map types...\neBPF map_type hash is available\n",
        "eBPF helpers supported for program type xdp:\n\t- bpf_map_lookup_elem\n",
        "\nScanning miscellaneous eBPF features...\nLarge program size limit is available\n"})
    EXPECT_NE(ran.out.find(part), std::string::npos) << part;
  EXPECT_NE(run("skep feature probe dev lo").status, 0);
  EXPECT_NE(run("skep feature probe nonsense").err.find("expected no more arguments"), std::string::npos);
}

TEST_F(CommandLine, FeatureListsNamesByNumber) {
  EXPECT_TRUE(
      run("skep feature list_builtins prog_types").out.starts_with("unspec\nsocket_filter\nkprobe\n"));
  EXPECT_TRUE(run("skep feature list_builtins map_types").out.starts_with("unspec\nhash\narray\n"));
  EXPECT_TRUE(run("skep feature list_builtins helpers").out.starts_with("bpf_unspec\nbpf_map_lookup_elem\n"));
  EXPECT_TRUE(run("skep -j feature list_builtins link")
                  .out.starts_with("[\"unspec\",\"raw_tracepoint\",\"tracing\""));
  const Ran wrong = run("skep feature list_builtins nosuch");
  EXPECT_EQ(wrong.status, 255);
  EXPECT_EQ(
      wrong.err,
      "Error: expected 'prog_types', 'map_types', 'attach_types', 'link_types' or 'helpers', got: nosuch\n");
}

}  // namespace
}  // namespace skep::cli::test
