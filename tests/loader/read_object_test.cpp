// What read_object() makes of objects.
#include <algorithm>

#include "loader/map_names.hpp"
#include "loader/objects.hpp"
#include "loader/sections.hpp"

namespace skep::loader {
namespace {

using test::object;

TEST(ReadObject, SeesTheChaptersProgramAsLibbpfDoes) {
  ObjectSpec spec = object("hello.bpf.o");
  EXPECT_EQ(spec.name, "hello");
  EXPECT_EQ(spec.license, "Dual BSD/GPL");
  ASSERT_EQ(spec.programs.size(), 1u);
  const ProgramDef& hello = spec.programs[0];
  EXPECT_EQ(hello.name, "hello");
  EXPECT_EQ(hello.section, "xdp");
  EXPECT_EQ(hello.type, ProgType::xdp);
  EXPECT_EQ(hello.expected_attach_type, AttachType::xdp);
  EXPECT_EQ(hello.insns.size(), 12u);
  EXPECT_EQ(hello.func_info.count(), 1u);
  EXPECT_GT(hello.line_info.count(), 2u);
  ASSERT_EQ(hello.references.size(), 2u);
  EXPECT_EQ(hello.references[0].insn, 0u);
  EXPECT_EQ(hello.references[0].kind, RefKind::map_value);
  EXPECT_EQ(hello.references[1].insn, 3u);
  EXPECT_EQ(hello.references[1].target, 1u);
  ASSERT_EQ(spec.maps.size(), 2u);
  EXPECT_EQ(spec.maps[0].name, "hello.bss");
  EXPECT_EQ(spec.maps[0].spec.flags, 0x400u);
  EXPECT_EQ(spec.maps[0].spec.value_size, 4u);
  EXPECT_EQ(spec.maps[1].name, "hello.rodata");
  EXPECT_EQ(spec.maps[1].spec.flags, 0x80u);
  EXPECT_EQ(spec.maps[1].spec.value_size, 15u);
  EXPECT_STREQ(reinterpret_cast<const char*>(spec.maps[1].initial.data()), "Hello World %d");
}

TEST(ReadObject, CompletesBtfSoThatAKernelTakesIt) {
  for (const char* name : {"hello.bpf.o", "globals.bpf.o", "maps.bpf.o", "subprogs.bpf.o", "externs.bpf.o"}) {
    ObjectSpec spec = object(name);
    ASSERT_TRUE(spec.btf.has_value()) << name;
    Result<void> ok = btf::check_as_kernel(*spec.btf);
    EXPECT_TRUE(ok.has_value()) << name << ": " << ok.error().what;
  }
}

TEST(ReadObject, FindsVariablesOfEverySection) {
  ObjectSpec spec = object("globals.bpf.o");
  auto flags = [&](const char* name) { return spec.map(name) == nullptr ? ~0u : spec.map(name)->spec.flags; };
  EXPECT_EQ(flags("globals.bss"), 0x400u);
  EXPECT_EQ(flags("globals.data"), 0x400u);
  EXPECT_EQ(flags("globals.rodata"), 0x480u);
  EXPECT_EQ(flags(".data.custom"), 0x400u);
  EXPECT_EQ(flags(".rodata.fixed"), 0x480u);
  EXPECT_EQ(flags(".bss.zeros"), 0x400u);
  EXPECT_EQ(flags(".data.unseen"), 0u);  // hidden: nobody maps it
  const MapDef& custom = *spec.map(".data.custom");
  EXPECT_EQ(load<int>(custom.initial.data()), 42);
  EXPECT_EQ(custom.spec.name, ".data.custom");
  const MapDef& data = *spec.map("globals.data");
  u32 datasec = data.spec.btf_value_type_id;
  EXPECT_EQ(spec.btf->name(datasec), ".data");
  EXPECT_EQ(spec.btf->type(datasec).size, data.spec.value_size);
  bool big_is_where_it_says = false;
  for (const btf::Entry& v : spec.btf->entries(spec.btf->type(datasec))) {
    if (spec.btf->name(v.type) == "big")
      big_is_where_it_says = load<u64>(data.initial.data() + v.offset) == 0x1122334455667788ULL;
  }
  EXPECT_TRUE(big_is_where_it_says);
}

TEST(ReadObject, ReadsBtfDefinedMaps) {
  ObjectSpec spec = object("maps.bpf.o");
  const MapDef& flows = *spec.map("flows");
  EXPECT_EQ(flows.spec.type, MapType::hash);
  EXPECT_EQ(flows.spec.key_size, 8u);
  EXPECT_EQ(flows.spec.value_size, 16u);
  EXPECT_EQ(flows.spec.max_entries, 128u);
  EXPECT_EQ(flows.spec.flags, uapi::F_NO_PREALLOC);
  EXPECT_EQ(spec.btf->name(flows.spec.btf_key_type_id), "key");
  EXPECT_EQ(spec.btf->name(flows.spec.btf_value_type_id), "value");
  EXPECT_EQ(spec.map("a_map_with_a_long_name")->spec.name, "a_map_with_a_lo");
  EXPECT_TRUE(spec.map("shared")->pin_by_name);
  EXPECT_EQ(spec.map("events")->spec.max_entries, 8192u);  // 5000, rounded up as libbpf does
  const MapDef& outer = *spec.map("outer");
  ASSERT_NE(outer.inner, nullptr);
  EXPECT_EQ(outer.inner->name, "outer.inner");
  EXPECT_EQ(outer.inner->spec.type, MapType::array);
  EXPECT_EQ(outer.inner->spec.max_entries, 2u);
  EXPECT_EQ(outer.spec.value_size, 4u);
  ASSERT_EQ(outer.slots.size(), 2u);
  EXPECT_EQ(outer.slots[0].index, 0u);
  EXPECT_EQ(spec.maps[outer.slots[0].target].name, "inner_a");
  EXPECT_EQ(outer.slots[1].index, 2u);
  EXPECT_EQ(spec.maps[outer.slots[1].target].name, "inner_b");
  const MapDef& jumps = *spec.map("jumps");
  ASSERT_EQ(jumps.slots.size(), 1u);
  EXPECT_EQ(jumps.slots[0].index, 1u);
  EXPECT_EQ(spec.programs[jumps.slots[0].target].name, "target");
}

TEST(ReadObject, LinksSubprogramsBehindEachProgramThatReachesThem) {
  ObjectSpec spec = object("subprogs.bpf.o");
  EXPECT_EQ(spec.kern_version, 0x60c00u);
  std::vector<std::string> names;
  for (const ProgramDef& p : spec.programs) names.push_back(p.name);
  EXPECT_EQ(names, (std::vector<std::string>{"first", "second", "loops", "optional", "classify",
                                             "a_program_with_a_long_name"}));
  const ProgramDef& first = *spec.program("first");
  EXPECT_EQ(first.func_info.count(), 3u);  // itself, global_sum, twice
  EXPECT_EQ(spec.program("second")->func_info.count(), 4u);
  EXPECT_EQ(spec.program("loops")->func_info.count(), 2u);
  EXPECT_EQ(spec.program("classify")->func_info.count(), 1u);
  EXPECT_FALSE(spec.program("optional")->autoload);
  EXPECT_EQ(spec.program("optional")->section, "tc");
  EXPECT_EQ(spec.program("classify")->expected_attach_type, AttachType::tcx_ingress);
  EXPECT_EQ(spec.program("a_program_with_a_long_name")->attach_target, "do_unlinkat");
  for (const ProgramDef& p : spec.programs) {
    std::vector<u32> starts;
    for (u32 i = 0; i < p.func_info.count(); ++i)
      starts.push_back(load<u32>(p.func_info.bytes.data() + u64{i} * p.func_info.record_size));
    EXPECT_TRUE(std::is_sorted(starts.begin(), starts.end())) << p.name;
    for (u32 i = 0; i < p.insns.size(); ++i) {
      const isa::Insn& insn = p.insns[i];
      bool to_code = (insn.code == 0x85 && insn.src == uapi::PSEUDO_CALL) ||
                     (isa::is_ld_imm64(insn) && insn.src == uapi::PSEUDO_FUNC);
      if (to_code) {
        EXPECT_TRUE(std::binary_search(starts.begin(), starts.end(), i + static_cast<u32>(insn.imm) + 1))
            << p.name << " insn " << i;
      }
      if (isa::is_ld_imm64(insn)) ++i;
    }
  }
  // A hidden global function is verified like a static one.
  EXPECT_EQ(spec.btf->type(spec.btf->find(btf::Kind::func, "hidden_sum")).linkage, btf::linkage_static);
  EXPECT_EQ(spec.btf->type(spec.btf->find(btf::Kind::func, "global_sum")).linkage, btf::linkage_global);
}

TEST(ReadObject, AppendsTheExceptionCallbackThatNoCallReaches) {
  ObjectSpec spec = object("exceptions.bpf.o");
  EXPECT_EQ(spec.program("throws")->func_info.count(), 2u);
  EXPECT_EQ(spec.program("plain")->func_info.count(), 1u);
}

TEST(ReadObject, DescribesExterns) {
  ObjectSpec spec = object("externs.bpf.o");
  ASSERT_TRUE(spec.kconfig_map.has_value());
  const MapDef& kconfig = spec.maps[*spec.kconfig_map];
  EXPECT_EQ(kconfig.spec.name, "externs.kconfig");
  EXPECT_EQ(kconfig.spec.flags & uapi::F_RDONLY_PROG, uapi::F_RDONLY_PROG);
  for (const Extern& e : spec.externs) {
    EXPECT_EQ(e.weak, e.name == "CONFIG_SKEP_NOT_THERE" || e.name.starts_with("skep_")) << e.name;
    if (e.kind == ExternKind::kconfig) {
      EXPECT_EQ(e.offset % e.align, 0u);
    }
  }
  EXPECT_EQ(spec.externs.size(), 8u);
}

TEST(ReadObject, TakesLegacyMapsAndRefusesWhatTheyAddBeyond) {
  ObjectSpec spec = object("legacy.bpf.o");
  ASSERT_EQ(spec.maps.size(), 2u);
  EXPECT_EQ(spec.map("first_map")->spec.value_size, 8u);
  EXPECT_EQ(spec.map("second_map")->spec.flags, 0x400u);
  ASSERT_EQ(spec.programs[0].references.size(), 2u);
  EXPECT_EQ(spec.maps[spec.programs[0].references[1].target].name, "second_map");
  std::string text = test::object_bytes("legacy_pinned.bpf.o");
  Result<ObjectSpec> pinned = read_object(bytes_of(text), "legacy_pinned.bpf.o");
  ASSERT_FALSE(pinned.has_value());
  EXPECT_EQ(pinned.error().code, ENOTSUP);
  EXPECT_EQ(pinned.error().what,
            "map 'second_map' (legacy): has unrecognized, non-zero options after its first 20 bytes");
}

TEST(ReadObject, NamesWhatIsNoObject) {
  auto refusal = [](std::string_view text) { return read_object(bytes_of(text), "x.o").error().what; };
  EXPECT_EQ(refusal(""), "elf: 'x.o' is not a proper ELF object");
  EXPECT_EQ(refusal("hello\n"), "elf: 'x.o' is not a proper ELF object");
  EXPECT_EQ(open_object("/nonexistent/x.o").error().what, "elf: failed to open /nonexistent/x.o: -ENOENT");
  test::Messages messages;
  EXPECT_FALSE(open_object("/etc/hostname", &messages).has_value());
  EXPECT_EQ(messages.warnings, "elf: '/etc/hostname' is not a proper ELF object\n");  // golden 111
  std::string self = read_file("/proc/self/exe").value();
  EXPECT_EQ(refusal(self), "elf: x.o is not a valid eBPF object file");
}

TEST(ReadObject, SaysWithDebugWhatLibbpfSays) {
  test::Messages messages;
  (void)object("hello.bpf.o", &messages);
  for (const char* line :
       {"loading object from hello.bpf.o\n", "elf: section(3) xdp, size 96, link 0, flags 6, type=1\n",
        "sec 'xdp': found program 'hello' at insn offset 0 (0 bytes), code size 12 insns (96 bytes)\n",
        "license of hello.bpf.o is Dual BSD/GPL\n", "collected 0 externs total\n",
        "map 'hello.bss' (global data): at sec_idx 5, offset 0, flags 400.\n", "map 1 is \"hello.rodata\"\n",
        "sec '.relxdp': collecting relocation for section(3) 'xdp'\n",
        "sec '.relxdp': relo #1: insn #3 against '.rodata'\n",
        "prog 'hello': found data map 1 (hello.rodata, sec 6, off 0) for insn 3\n"})
    EXPECT_NE(messages.debug.find(line), std::string::npos) << line << "\n" << messages.debug;
  EXPECT_EQ(messages.warnings, "");
}

TEST(DataMapName, CutsAsLibbpfDoes) {
  EXPECT_EQ(data_map_name("hello", ".bss"), "hello.bss");
  EXPECT_EQ(data_map_name("averylongname", ".bss"), "averylon.bss");
  EXPECT_EQ(data_map_name("averylongname", ".rodata"), "averylon.rodata");
  EXPECT_EQ(data_map_name("my_object_name", ".kconfig"), "my_obje.kconfig");
  EXPECT_EQ(data_map_name("hello-func", ".rodata"), "hello_fu.rodata");
  EXPECT_EQ(data_map_name("hello", ".rodata.abracadabra"), ".rodata.abracad");
}

TEST(Sections, MatchesNamesAsLibbpfDoes) {
  auto type = [](std::string_view name) {
    return find_section_type(name) == nullptr ? ProgType::unspec : find_section_type(name)->type;
  };
  EXPECT_EQ(type("xdp"), ProgType::xdp);
  EXPECT_EQ(type("xdp/whatever"), ProgType::unspec);
  EXPECT_EQ(type("xdp.frags/devmap"), ProgType::xdp);
  EXPECT_EQ(find_section_type("xdp.frags")->prog_flags, uapi::F_XDP_HAS_FRAGS);
  EXPECT_EQ(type("kprobe"), ProgType::kprobe);
  EXPECT_EQ(type("kprobe/x"), ProgType::kprobe);
  EXPECT_EQ(type("kprobes"), ProgType::unspec);
  EXPECT_EQ(type("raw_tp/sys_enter"), ProgType::raw_tracepoint);
  EXPECT_EQ(type("nosuch/"), ProgType::unspec);
}

TEST(Sections, ListsTheGoldensNames) {
  std::string golden =
      read_file(std::string(SKEP_GOLDEN_DIR) + "/bpftool-v7.7.0/117-load-bad-type.stderr").value();
  EXPECT_NE(golden.find("supported section(type) names are:" + supported_section_names() + "\n"),
            std::string::npos);
}

}  // namespace
}  // namespace skep::loader
