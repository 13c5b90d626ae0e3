// What load() asks of a kernel, and what it leaves behind.
#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>

#include "loader/fake_kernel.hpp"
#include "loader/loader.hpp"
#include "loader/objects.hpp"

namespace skep::loader {
namespace {

using test::FakeKernel;
using test::object;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class Load : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = std::filesystem::temp_directory_path() / "skep_load_XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    kernel.pin_dir = directory = pattern;
    options.diagnostics = &messages;
    options.environment = Environment{.kernel_version = 0x061200};
  }
  void TearDown() override { std::filesystem::remove_all(directory); }

  Result<LoadedObject> run(const std::string& name) {
    spec = object(name);
    return load(spec, kernel, options);
  }
  std::vector<std::string> files() const {
    std::vector<std::string> out;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory))
      out.push_back(entry.path().string().substr(directory.size()));
    std::sort(out.begin(), out.end());
    return out;
  }
  void expect_nothing_left() {
    EXPECT_THAT(kernel.open, IsEmpty());
    EXPECT_THAT(files(), IsEmpty());
  }

  FakeKernel kernel;
  test::Messages messages;
  LoadOptions options;
  ObjectSpec spec;
  std::string directory;
};

TEST_F(Load, CreatesMapsThenTheProgramInLibbpfsOrder) {
  Result<LoadedObject> loaded = run("hello.bpf.o");
  ASSERT_TRUE(loaded.has_value()) << loaded.error().what << messages.warnings;
  EXPECT_THAT(kernel.calls,
              ElementsAre("btf_load", "map_create hello.bss", "map_update_elem hello.bss",
                          "map_create hello.rodata", "map_update_elem hello.rodata",
                          "map_freeze hello.rodata", "prog_load hello", "prog_bind_map hello.rodata"));
  const FakeKernel::Map& rodata = *kernel.map("hello.rodata");
  EXPECT_TRUE(rodata.frozen);
  EXPECT_FALSE(kernel.map("hello.bss")->frozen);
  EXPECT_EQ(rodata.elements.at(std::string(4, '\0')), std::string("Hello World %d\0", 15));
  EXPECT_EQ(rodata.spec.btf_fd, loaded->btf.fd());
  EXPECT_NE(rodata.spec.btf_value_type_id, 0u);
  const ProgramSpec& program = kernel.programs.at(0);
  EXPECT_EQ(program.type, ProgType::xdp);
  EXPECT_EQ(program.expected_attach_type, AttachType::xdp);
  EXPECT_EQ(program.license, "Dual BSD/GPL");
  EXPECT_EQ(program.kern_version, 0x061200u);
  EXPECT_EQ(program.insns[0].src, uapi::PSEUDO_MAP_VALUE);
  EXPECT_EQ(program.insns[0].imm, kernel.fd_of("hello.bss"));
  EXPECT_EQ(program.insns[3].imm, kernel.fd_of("hello.rodata"));
  EXPECT_EQ(program.insns[4].imm, 0);
  EXPECT_EQ(program.func_info.record_size, 8u);
  EXPECT_EQ(program.line_info.record_size, 16u);
  EXPECT_EQ(kernel.log_requests.at(0).level, 0u);
  ASSERT_EQ(loaded->programs.size(), 1u);
  EXPECT_EQ(loaded->programs[0].name, "hello");
  EXPECT_EQ(messages.warnings, "");
  loaded->programs.clear();
  loaded->maps.clear();
  loaded->btf.reset();
  EXPECT_THAT(kernel.open, IsEmpty());
}

TEST_F(Load, ShowsTheLogOfARefusedProgramAsTheGoldenDoes) {
  kernel.refuse.insert("prog_load bad");
  std::string golden =
      read_file(std::string(SKEP_GOLDEN_DIR) + "/bpftool-v7.7.0/118-load-rejected.stderr").value();
  std::string begin = "-- BEGIN PROG LOAD LOG --\n", end = "-- END PROG LOAD LOG --";
  std::size_t from = golden.find(begin) + begin.size();
  kernel.log_text = golden.substr(from, golden.find(end) - from);
  Result<LoadedObject> loaded = run("rejected.bpf.o");
  ASSERT_FALSE(loaded.has_value());
  EXPECT_EQ(loaded.error().code, EACCES);
  std::string shown;
  std::size_t at = 0;
  while (at < messages.warnings.size()) {  // "libbpf: " stands before each message, not each line of a log
    std::size_t newline = messages.warnings.find('\n', at);
    std::string line = messages.warnings.substr(at, newline - at);
    bool inside = shown.rfind(begin) != std::string::npos && shown.find(end) == std::string::npos;
    shown += (inside ? "" : "libbpf: ") + line + "\n";
    at = newline + 1;
  }
  EXPECT_EQ(shown + "Error: " + loaded.error().what + "\n", golden);
  ASSERT_EQ(kernel.log_requests.size(), 2u);
  EXPECT_EQ(kernel.log_requests[1].level, 1u);
  EXPECT_EQ(kernel.log_requests[1].size, UINT32_MAX >> 8);
  expect_nothing_left();
}

TEST_F(Load, AsksForALogAtOnceWithDebug) {
  options.log_level = 7;
  ASSERT_TRUE(run("hello.bpf.o").has_value());
  EXPECT_EQ(kernel.log_requests.at(0).level, 7u);
  EXPECT_NE(messages.debug.find("prog 'hello': -- BEGIN PROG LOAD LOG --\n0: R1=ctx() R10=fp0\n"),
            std::string::npos);
}

TEST_F(Load, LeavesNothingWhateverFails) {
  for (const char* step : {"map_create hello.bss", "map_create hello.rodata", "map_update_elem hello.bss",
                           "map_freeze hello.rodata", "prog_load hello", "obj_pin /sys/fs/bpf/p/hello",
                           "obj_pin /sys/fs/bpf/m/hello_rodata"}) {
    kernel.refuse = {step};
    options.pin_first_program = "/sys/fs/bpf/p/hello";
    options.pin_maps_dir = "/sys/fs/bpf/m";
    Result<LoadedObject> loaded = run("hello.bpf.o");
    ASSERT_FALSE(loaded.has_value()) << step;
    EXPECT_FALSE(loaded.error().what.empty());
    EXPECT_EQ(loaded.error().what.find('\n'), std::string::npos);
    expect_nothing_left();
  }
}

TEST_F(Load, RefusesTablesOfKernelFunctionsButNotTheProgramsBesideThem) {
  Result<LoadedObject> whole = run("struct_ops.bpf.o");
  ASSERT_FALSE(whole.has_value());
  EXPECT_EQ(whole.error().code, ENOTSUP);
  EXPECT_NE(messages.warnings.find("struct_ops maps are not supported"), std::string::npos)
      << messages.warnings;
  expect_nothing_left();
  options.only_program = static_cast<u32>(spec.program("pass") - spec.programs.data());
  Result<LoadedObject> one = load(spec, kernel, options);
  ASSERT_TRUE(one.has_value()) << one.error().what << messages.warnings;
  ASSERT_EQ(one->programs.size(), 1u);
  EXPECT_EQ(one->programs[0].name, "pass");
}

TEST_F(Load, PinsTheFirstProgramAndAllMaps) {
  options.pin_first_program = "/sys/fs/bpf/first";
  options.pin_maps_dir = "/sys/fs/bpf/maps";
  Result<LoadedObject> loaded = run("hello.bpf.o");
  ASSERT_TRUE(loaded.has_value()) << loaded.error().what;
  EXPECT_THAT(files(), ElementsAre("/first", "/maps", "/maps/hello_bss", "/maps/hello_rodata"));
  EXPECT_EQ(kernel.pins.at("/sys/fs/bpf/first"), loaded->programs[0].handle.fd());
}

TEST_F(Load, PinsEveryProgramByItsName) {
  options.pin_programs_dir = "/sys/fs/bpf/all";
  ASSERT_TRUE(run("subprogs.bpf.o").has_value());
  EXPECT_THAT(files(), ElementsAre("/all", "/all/a_program_with_a_long_name", "/all/classify", "/all/first",
                                   "/all/loops", "/all/second"));
}

TEST_F(Load, CutsNamesAndSkipsOptionalPrograms) {
  Result<LoadedObject> loaded = run("subprogs.bpf.o");
  ASSERT_TRUE(loaded.has_value()) << messages.warnings;
  std::vector<std::string> names;
  for (const ProgramSpec& p : kernel.programs) names.push_back(p.name);
  EXPECT_THAT(names, ElementsAre("first", "second", "loops", "classify", "a_program_with_"));
  EXPECT_EQ(loaded->programs.back().name, "a_program_with_a_long_name");
  EXPECT_EQ(kernel.programs[0].kern_version, 0x60c00u);
}

TEST_F(Load, FillsMapsOfMapsAndProgramArrays) {
  Result<LoadedObject> loaded = run("maps.bpf.o");
  ASSERT_TRUE(loaded.has_value()) << messages.warnings;
  auto word = [](int fd) {
    u32 value = static_cast<u32>(fd);
    return std::string(chars_of(bytes_of(value)));
  };
  const FakeKernel::Map& outer = *kernel.map("outer");
  EXPECT_EQ(outer.elements.at(word(0)), word(kernel.fd_of("inner_a")));
  EXPECT_EQ(outer.elements.at(word(2)), word(kernel.fd_of("inner_b")));
  EXPECT_EQ(outer.spec.inner_map_fd, kernel.fd_of("outer.inner"));
  EXPECT_FALSE(kernel.open.contains(kernel.fd_of("outer.inner")));  // only a template
  EXPECT_EQ(outer.spec.btf_value_type_id, 0u);
  EXPECT_EQ(kernel.map("perf")->spec.max_entries, 3u);  // one for each CPU
  const LoadedProgram& target = *std::find_if(loaded->programs.begin(), loaded->programs.end(),
                                              [](const auto& p) { return p.name == "target"; });
  EXPECT_EQ(kernel.map("jumps")->elements.at(word(1)), word(target.handle.fd()));
  EXPECT_EQ(kernel.pins.at("/sys/fs/bpf/shared"), kernel.fd_of("shared"));
}

TEST_F(Load, NamesASectionThatSaysNothing) {
  Result<LoadedObject> loaded = run("unknown_section.bpf.o");
  ASSERT_FALSE(loaded.has_value());
  EXPECT_EQ(loaded.error().what, "");  // bpftool adds no line of its own
  EXPECT_NE(messages.warnings.find(
                "failed to guess program type from ELF section 'xdp/target'\nsupported section(type) "
                "names are: socket "),
            std::string::npos);
  expect_nothing_left();
  options.type = ProgType::xdp;
  options.attach = AttachType::xdp;
  ASSERT_TRUE(run("unknown_section.bpf.o").has_value()) << messages.warnings;
  EXPECT_EQ(kernel.programs.at(0).type, ProgType::xdp);
}

TEST_F(Load, ReusesAMapPinnedUnderTheSameName) {
  Result<LoadedObject> first = run("maps.bpf.o");
  ASSERT_TRUE(first.has_value()) << messages.warnings;
  int shared = kernel.fd_of("shared");
  kernel.calls.clear();
  Result<LoadedObject> second = run("maps.bpf.o");
  ASSERT_TRUE(second.has_value()) << messages.warnings;
  EXPECT_EQ(std::count(kernel.calls.begin(), kernel.calls.end(), "map_create shared"), 0);
  kernel.maps.at(shared).spec.value_size = 16;  // someone else's map
  Result<LoadedObject> third = run("maps.bpf.o");
  ASSERT_FALSE(third.has_value());
  EXPECT_NE(messages.warnings.find("couldn't reuse pinned map at '/sys/fs/bpf/shared': parameter mismatch\n"),
            std::string::npos);
  EXPECT_THAT(files(), ElementsAre("/shared"));  // not this load's to remove
}

TEST_F(Load, TakesTheCallersMapInPlaceOfOneOfTheObjects) {
  MapSpec other{.type = MapType::array, .key_size = 4, .value_size = 4, .max_entries = 1, .name = "other"};
  Handle mine = std::move(kernel.map_create(other).value());
  options.reuse.push_back({.index = 0, .map_fd = mine.fd()});
  Result<LoadedObject> loaded = run("hello.bpf.o");
  ASSERT_TRUE(loaded.has_value()) << messages.warnings;
  EXPECT_EQ(kernel.map("hello.bss"), nullptr);
  EXPECT_EQ(kernel.programs.at(0).insns[0].imm, mine.fd());
  EXPECT_TRUE(kernel.map("other")->elements.empty());  // its contents are the caller's
}

TEST_F(Load, GoesOnWithoutBtfThatTheKernelRefuses) {
  kernel.refuse = {"btf_load"};
  ASSERT_TRUE(run("hello.bpf.o").has_value());
  EXPECT_EQ(messages.warnings, "Error loading .BTF into kernel: -EACCES. BTF is optional, ignoring.\n");
  EXPECT_EQ(kernel.map("hello.bss")->spec.btf_value_type_id, 0u);
  EXPECT_EQ(kernel.programs.at(0).btf_fd, -1);
  EXPECT_EQ(kernel.programs.at(0).func_info.count(), 0u);
}

TEST_F(Load, ResolvesExternsAgainstTheGivenMachine) {
  options.environment->kconfig =
      "# "
      "comment\nCONFIG_BPF=y\nCONFIG_BPF_SYSCALL=y\nCONFIG_HZ=250\nCONFIG_DEFAULT_HOSTNAME=\"(none)-too-"
      "long\"\n";
  Result<LoadedObject> loaded = run("externs.bpf.o");
  ASSERT_TRUE(loaded.has_value()) << messages.warnings;
  std::string value = kernel.map("externs.kconfig")->elements.at(std::string(4, '\0'));
  auto at = [&](const char* name) {
    for (const Extern& e : spec.externs) {
      if (e.name == name) return value.substr(e.offset, e.size);
    }
    return std::string("none");
  };
  EXPECT_EQ(skep::load<int>(at("CONFIG_HZ").data()), 250);
  EXPECT_EQ(skep::load<int>(at("LINUX_KERNEL_VERSION").data()), 0x061200);
  EXPECT_EQ(at("CONFIG_BPF"), std::string(1, '\1'));
  EXPECT_EQ(skep::load<int>(at("CONFIG_BPF_SYSCALL").data()), 1);
  EXPECT_EQ(at("CONFIG_DEFAULT_HOSTNAME"), std::string("(none)-\0", 8));
  EXPECT_EQ(skep::load<int>(at("CONFIG_SKEP_NOT_THERE").data()), 0);
  EXPECT_TRUE(kernel.map("externs.kconfig")->frozen);
  for (const Reference& ref : spec.programs[0].references) {
    if (ref.kind != RefKind::extern_call) continue;
    EXPECT_EQ(kernel.programs.at(0).insns[ref.insn].imm, 2002000000 + static_cast<int>(ref.target));
  }
}

TEST_F(Load, RefusesConfigurationThatDoesNotFitItsVariable) {
  options.environment->kconfig =
      "CONFIG_BPF=m\nCONFIG_BPF_SYSCALL=y\nCONFIG_HZ=250\nCONFIG_DEFAULT_HOSTNAME=\"x\"\n";
  EXPECT_FALSE(run("externs.bpf.o").has_value());
  EXPECT_NE(messages.warnings.find("extern (kcfg) 'CONFIG_BPF': value 'm' does not fit its type\n"),
            std::string::npos);
  messages.warnings.clear();
  options.environment->kconfig =
      "CONFIG_BPF=y\nCONFIG_BPF_SYSCALL=y\nCONFIG_HZ=99999999999\nCONFIG_DEFAULT_HOSTNAME=\"x\"\n";
  EXPECT_FALSE(run("externs.bpf.o").has_value());
  EXPECT_NE(messages.warnings.find("extern (kcfg) 'CONFIG_HZ': value '99999999999' doesn't fit in 4 bytes\n"),
            std::string::npos);
}

TEST_F(Load, RefusesAStrongExternByItsName) {
  options.environment->kconfig = "";
  Result<LoadedObject> loaded = run("strong_extern.bpf.o");
  ASSERT_FALSE(loaded.has_value());
  EXPECT_NE(messages.warnings.find("extern 'CONFIG_SKEP_NOT_THERE' (strong): not resolved\n"),
            std::string::npos);
  EXPECT_EQ(loaded.error().what, "failed to load object file");
  expect_nothing_left();
}

TEST_F(Load, RelocatesForTheGivenKernelsTypes) {
  ObjectSpec target = object("core_target.bpf.o");
  options.core_btf = &*target.btf;
  Result<LoadedObject> loaded = run("core.bpf.o");
  ASSERT_TRUE(loaded.has_value()) << messages.warnings;
  // Each relocated value is stored into a variable of .bss; run the few instructions that do so.
  std::map<std::string, u64> got;
  const std::vector<isa::Insn>& insns = kernel.programs.at(0).insns;
  u64 regs[11] = {};
  std::map<u32, std::string> variables;
  u32 datasec = spec.map("core.bss")->spec.btf_value_type_id;
  for (const btf::Entry& v : spec.btf->entries(spec.btf->type(datasec)))
    variables[v.offset] = spec.btf->name(v.type);
  std::map<int, u32> pointer;  // register -> offset into .bss
  bool poisoned = false;
  for (u32 i = 0; i < insns.size(); ++i) {
    const isa::Insn& insn = insns[i];
    if (isa::is_ld_imm64(insn)) {
      if (insn.src == uapi::PSEUDO_MAP_VALUE)
        pointer[insn.dst] = static_cast<u32>(insns[i + 1].imm);
      else
        regs[insn.dst] = static_cast<u32>(insn.imm) | u64{static_cast<u32>(insns[i + 1].imm)} << 32,
        pointer.erase(insn.dst);
      ++i;
    } else if (insn.code == 0xb7 || insn.code == 0xb4) {
      regs[insn.dst] = static_cast<u64>(s64{insn.imm});
    } else if (isa::class_of(insn.code) == isa::op::STX && pointer.contains(insn.dst)) {
      got.emplace(variables[pointer[insn.dst] + static_cast<u32>(insn.off)], regs[insn.src]);
    } else if (insn.code == 0x85) {
      poisoned = poisoned || insn.imm == 195896080;
    }
  }
  EXPECT_EQ(got["offset_b"], 24u);
  EXPECT_EQ(got["size_flags"], 4u);
  EXPECT_EQ(got["exists_missing"], 0u);
  EXPECT_EQ(got["exists_first"], 1u);
  EXPECT_EQ(got["exists_absent"], 0u);
  EXPECT_EQ(got["size_thing"], 72u);
  EXPECT_EQ(got["id_thing"], target.btf->find(btf::Kind::struct_, "thing"));
  EXPECT_EQ(got["kind_b"], 20u);
  EXPECT_EQ(got["kind_gone_exists"], 0u);
  EXPECT_EQ(got["right"], 58u);
  EXPECT_EQ(got["left"], 51u);
  EXPECT_EQ(got["is_signed"], 1u);
  EXPECT_EQ(got["third"], 52u);
  EXPECT_TRUE(poisoned);  // what only runs if `missing` existed
}

TEST_F(Load, ExplainsARefusalAtAPoisonedRelocation) {
  ObjectSpec target = object("core_target.bpf.o");
  options.core_btf = &*target.btf;
  ObjectSpec core = object("core.bpf.o");
  u32 insn = 0;
  for (const CoreRelocation& r : core.programs[0].core_relocations) {
    if (r.kind == 0 && r.access == "0:5") insn = r.insn;
  }
  kernel.refuse = {"prog_load relocate"};
  kernel.log_text = std::to_string(insn) +
                    ": (85) call unknown#195896080\ninvalid func unknown#195896080\nprocessed 3 insns\n";
  ASSERT_FALSE(run("core.bpf.o").has_value());
  EXPECT_NE(
      messages.warnings.find(": <invalid CO-RE relocation>\nfailed to resolve CO-RE relocation <byte_off> ["),
      std::string::npos)
      << messages.warnings;
  EXPECT_NE(messages.warnings.find("struct thing.missing (0:5 @ offset 32)\nprocessed 3 insns\n"),
            std::string::npos)
      << messages.warnings;
}

TEST_F(Load, NeedsTheKernelsBtfForCoRe) {
  ASSERT_FALSE(run("core.bpf.o").has_value());
  EXPECT_NE(
      messages.warnings.find("CO-RE relocations need the kernel's BTF, and there is none on this machine"),
      std::string::npos);
}

}  // namespace
}  // namespace skep::loader
