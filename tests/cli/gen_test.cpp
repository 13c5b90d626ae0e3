// `gen skeleton`: the header compiles, in C and in C++, and has what libbpf's users refer to.
#include "cli/fixture.hpp"

namespace skep::cli::test {
namespace {

class Gen : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = std::filesystem::temp_directory_path().string() + "/skep-gen-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  void write(const std::string& name, const std::string& text) {
    std::ofstream(directory_ + "/" + name) << text;
  }
  [[nodiscard]] int shell(const std::string& command) const {
    return std::system(fmt::format("cd {} && {} 2>errors", directory_, command).c_str());
  }
  std::string directory_;
};

TEST_F(Gen, ASkeletonCompilesAndHoldsTheObject) {
  const std::string object = SKEP_BUILD_DIR "/tests/system/events.bpf.o";
  if (!std::filesystem::exists(object)) GTEST_SKIP() << "the system tests' objects are not built";
  if (shell("echo '#include <bpf/libbpf.h>' | cc -x c -fsyntax-only -") != 0)
    GTEST_SKIP() << "libbpf's headers are not installed";
  const Ran ran = run_without_kernel("bpftool gen skeleton " + object + " name my_events");
  ASSERT_EQ(ran.status, 0) << ran.err;
  write("events.skel.h", ran.out);
  // Nothing of libbpf is called: its functions are only named.
  write(
      "use.c",
      "#include \"events.skel.h\"\n#include <stdio.h>\n"
      "int bpf_object__load_skeleton(struct bpf_object_skeleton *s) { return s != 0; }\n"
      "int bpf_object__attach_skeleton(struct bpf_object_skeleton *s) { return s != 0; }\n"
      "void bpf_object__detach_skeleton(struct bpf_object_skeleton *s) { (void)s; }\n"
      "void bpf_object__destroy_skeleton(struct bpf_object_skeleton *s) { (void)s; }\n"
      "int bpf_object__open_skeleton(struct bpf_object_skeleton *s, const struct bpf_object_open_opts *o) {\n"
      "  (void)o;\n"
      "  for (int i = 0; i < s->map_cnt; i++) fprintf(stderr, \"map %s\\n\",\n"
      "    ((struct bpf_map_skeleton *)((char *)s->maps + i * s->map_skel_sz))->name);\n"
      "  for (int i = 0; i < s->prog_cnt; i++) fprintf(stderr, \"prog %s\\n\", s->progs[i].name);\n"
      "  return 0; }\n"
      "int main(void) { size_t size; struct my_events *e = my_events__open();\n"
      "  const void *data = my_events__elf_bytes(&size);\n"
      "  return !e || fwrite(data, 1, size, stdout) != size; }\n");
  ASSERT_EQ(shell("cc -Wall -Werror use.c -o use"), 0) << std::ifstream(directory_ + "/errors").rdbuf();
  ASSERT_EQ(shell("./use >bytes"), 0);
  EXPECT_EQ(shell("cmp bytes " + object), 0);
  ASSERT_EQ(shell("./use >bytes"), 0);
  std::ostringstream names;
  names << std::ifstream(directory_ + "/errors").rdbuf();
  EXPECT_EQ(names.str(), "map events\nmap ring\nmap my_event.bss\nprog output\n");
  ASSERT_EQ(shell("c++ -x c++ -fsyntax-only -Wall use.c"), 0)
      << std::ifstream(directory_ + "/errors").rdbuf();
}

TEST_F(Gen, WhatIsNoObjectIsRefused) {
  EXPECT_EQ(run_without_kernel("bpftool gen skeleton /nosuch.o").err,
            "Error: failed to stat() /nosuch.o: No such file or directory\n");
  const Ran ran = run_without_kernel("bpftool gen skeleton /etc/passwd");
  EXPECT_EQ(ran.status, 95);
  EXPECT_EQ(ran.err,
            "libbpf: elf: 'passwd' is not a proper ELF object\n"
            "Error: failed to open BPF object file: BPF object format invalid\n");
  for (const char* verb : {"object a.o b.o", "subskeleton a.o", "min_core_btf a b c"})
    EXPECT_NE(run_without_kernel(std::string("skep gen ") + verb).err.find("is not supported by skep"),
              std::string::npos);
}

}  // namespace
}  // namespace skep::cli::test
