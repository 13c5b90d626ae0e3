// The contract's part about programs: loading, refusals, logs, info, test runs, tracing, statistics.
#include "kernel_contract/contract.hpp"

namespace skep::contract {
namespace {

TEST_P(KernelContract, LoadedProgramsAreDescribed) {
  using namespace code;
  const Handle prog = load(xdp(program(mov(0, 2), exit()), "described"));
  const auto info = kernel().prog_info(prog.fd());
  ASSERT_TRUE(info.has_value()) << info.error().what;
  EXPECT_EQ(info->type, ProgType::xdp);
  EXPECT_EQ(info->name, "described");
  EXPECT_TRUE(info->gpl_compatible);
  EXPECT_EQ(info->xlated_len, 16u);
  EXPECT_EQ(info->xlated, program(mov(0, 2), exit()));
  EXPECT_EQ(info->bytes_memlock, 4096u);
  EXPECT_EQ(info->created_by_uid, ::getuid());
  EXPECT_EQ(info->verified_insns, 2u);
  EXPECT_EQ(info->btf_id, 0u);
  EXPECT_TRUE(info->map_ids.empty());
  EXPECT_GT(info->load_time_ns, 0u);
  EXPECT_NE(info->tag, 0u);
}

TEST_P(KernelContract, TagsAreOfTheInstructionsAlone) {
  using namespace code;
  const auto tag = [&](const ProgramSpec& spec) { return kernel().prog_info(load(spec).fd())->tag; };
  const Handle one = map(map_spec(MapType::array, 4, 8, 1)), two = map(map_spec(MapType::array, 4, 8, 1));
  const auto with = [&](int fd) { return program(map_fd(1, fd), mov(0, 1), exit()); };
  EXPECT_EQ(tag(xdp(program(mov(0, 2), exit()), "a")), tag(xdp(program(mov(0, 2), exit()), "b")));
  EXPECT_NE(tag(xdp(program(mov(0, 2), exit()))), tag(xdp(program(mov(0, 1), exit()))));
  EXPECT_EQ(tag(xdp(with(one.fd()))), tag(xdp(with(two.fd())))) << "descriptors do not count";
}

TEST_P(KernelContract, RewrittenProgramsNameMapsByIdAndHelpersByDistance) {
  using namespace code;
  const Handle array = map(map_spec(MapType::array, 4, 8, 1));
  const u32 id = kernel().map_info(array.fd())->id;
  const Handle prog =
      load(xdp(program(map_value(6, array.fd()), call(5), store_dw(6, 0, 0), mov(0, 2), exit())));
  const auto info = kernel().prog_info(prog.fd());
  ASSERT_TRUE(info.has_value());
  EXPECT_EQ(info->map_ids, std::vector<u32>{id});
  ASSERT_GE(info->xlated.size(), 6u);
  EXPECT_EQ(info->xlated[0].src, 2);
  EXPECT_EQ(info->xlated[0].imm, static_cast<s32>(id));
  EXPECT_EQ(info->xlated[2].code, 0x85);
  const auto symbols = kernel().symbols();
  ASSERT_TRUE(symbols.has_value());
  const u64 address = symbols->call_base + static_cast<u64>(s64{info->xlated[2].imm});
  const auto found = std::ranges::find(symbols->symbols, address, &Symbol::address);
  ASSERT_NE(found, symbols->symbols.end());
  EXPECT_EQ(found->name, "bpf_ktime_get_ns");
}

TEST_P(KernelContract, MapsLiveAsLongAsProgramsUseThem) {
  using namespace code;
  Handle array = map(map_spec(MapType::array, 4, 8, 1));
  const u32 id = kernel().map_info(array.fd())->id;
  Handle prog = load(xdp(program(map_fd(1, array.fd()), mov(0, 2), exit())));
  array.reset();
  EXPECT_TRUE(kernel().get_fd_by_id(ObjectKind::map, id).has_value());
  prog.reset();
  EXPECT_TRUE(gone(ObjectKind::map, id));
}

TEST_P(KernelContract, WrongProgramAttributesAreRefused) {
  using namespace code;
  const auto load_error = [&](auto change) {
    ProgramSpec spec = xdp(program(mov(0, 2), exit()));
    change(spec);
    return error_of(kernel().prog_load(spec));
  };
  EXPECT_EQ(load_error([](ProgramSpec& s) { s.type = ProgType::unspec; }), EINVAL);
  EXPECT_EQ(load_error([](ProgramSpec& s) { s.type = static_cast<ProgType>(99); }), EINVAL);
  EXPECT_EQ(load_error([](ProgramSpec& s) { s.insns.clear(); }), E2BIG);
  EXPECT_EQ(load_error([](ProgramSpec& s) { s.license.reset(); }), EFAULT);
  EXPECT_EQ(load_error([](ProgramSpec& s) { s.license = ""; }), 0);
  EXPECT_EQ(load_error([](ProgramSpec& s) { s.name = "a b"; }), EINVAL);
  EXPECT_EQ(load_error([](ProgramSpec& s) { s.name = "a.b_c"; }), 0);
  for (const u32 flag : {0x1u, 0x2u, 0x4u, 0x8u, 0x20u, 0x80u})
    EXPECT_EQ(load_error([&](ProgramSpec& s) { s.flags = flag; }), 0) << flag;
  for (const u32 flag : {0x10u, 0x100u, 0x200u, 0x400u})
    EXPECT_EQ(load_error([&](ProgramSpec& s) { s.flags = flag; }), EINVAL) << flag;
}

TEST_P(KernelContract, RefusedProgramsHaveAnErrnoAndALog) {
  using namespace code;
  Log log;
  const auto refused = kernel().prog_load(xdp(program(exit())), {1, 65536}, &log);
  EXPECT_EQ(error_of(refused), EACCES);
  EXPECT_NE(log.text.find("R0 !read_ok"), std::string::npos) << log.text;
  EXPECT_NE(log.text.find("processed 1 insns"), std::string::npos);
  EXPECT_EQ(error_of(kernel().prog_load(xdp(program(map_fd(1, 12345), mov(0, 2), exit())))), EBADF);
  EXPECT_EQ(error_of(kernel().prog_load(xdp(program(mov(0, 2), exit())), {16, 65536}, &log)), EINVAL);
  EXPECT_EQ(error_of(kernel().prog_load(xdp(program(mov(0, 2), exit())), {1, 8}, &log)), ENOSPC);
}

TEST_P(KernelContract, TestRunsReturnWhatTheProgramDidToThePacket) {
  using namespace code;
  const Handle pass = load(xdp(program(mov(0, 2), exit())));
  const auto plain = run(pass);
  ASSERT_TRUE(plain.has_value()) << plain.error().what;
  EXPECT_EQ(plain->retval, 2u);
  EXPECT_EQ(plain->data_out, std::vector<std::byte>(64, std::byte{0xaa}));
  EXPECT_EQ(plain->data_size_out, 64u);
  for (const auto& [size, code] : std::vector<std::pair<std::size_t, int>>{
           {1, EINVAL}, {13, EINVAL}, {14, 0}, {3520, 0}, {3521, 0}, {70000, 0}, {131072, ENOMEM}}) {
    const auto result = run(pass, size, 200000);
    EXPECT_EQ(error_of(result), code) << size;
    EXPECT_EQ(result ? result->data_out.size() : 0, code == 0 ? size : 0);
  }
  EXPECT_EQ(error_of(run(pass, 64, 10)), ENOSPC);
  const Handle grow = load(xdp(program(mov(2, -16), call(44), exit())));
  const auto grown = run(grow, 64, 4096, 3);
  ASSERT_TRUE(grown.has_value());
  EXPECT_EQ(grown->data_size_out, 112u) << "each repeat goes on where the one before stopped";
}

TEST_P(KernelContract, TestRunsTakeAContext) {
  using namespace code;
  const Handle queue = load(xdp(program(load_w(0, 1, 12), exit())));  // ingress_ifindex
  const auto context = [&](std::array<u32, 6> md, u32 out = 24) {
    TestRunSpec spec;
    spec.data_in.assign(64, std::byte{1});
    const ByteView bytes = std::as_bytes(std::span(md));
    spec.ctx_in.assign(bytes.begin(), bytes.end());
    spec.ctx_out_size = out;
    return kernel().prog_test_run(queue.fd(), spec);
  };
  const auto plain = context({0, 64, 0, 0, 0, 0});
  ASSERT_TRUE(plain.has_value()) << plain.error().what;
  EXPECT_EQ(plain->retval, 1u) << "loopback";
  EXPECT_EQ(plain->ctx_size_out, 24u);
  EXPECT_EQ(error_of(context({4, 64, 0, 0, 0, 0})), 0) << "four bytes of metadata";
  EXPECT_EQ(error_of(context({3, 64, 0, 0, 0, 0})), EINVAL);
  EXPECT_EQ(error_of(context({60, 64, 0, 0, 0, 0})), EINVAL);
  EXPECT_EQ(error_of(context({0, 65, 0, 0, 0, 0})), EINVAL);
  EXPECT_EQ(error_of(context({0, 64, 4, 0, 0, 0})), EINVAL);
  EXPECT_EQ(error_of(context({0, 64, 0, 999999, 0, 0})), ENODEV);
  EXPECT_EQ(error_of(context({0, 64, 0, 0, 1, 0})), EINVAL);
  EXPECT_EQ(error_of(context({0, 64, 0, 0, 0, 1})), EINVAL);
  EXPECT_EQ(error_of(context({0, 64, 0, 0, 0, 0}, 10)), ENOSPC);
}

TEST_P(KernelContract, ProgramsCountInMaps) {
  using namespace code;
  const Handle array = map(map_spec(MapType::array, 4, 8, 1)), hash = map(map_spec(MapType::hash, 4, 8, 4));
  const u32 key = 0;
  u64 value = 5;
  ASSERT_EQ(error_of(kernel().map_update_elem(hash.fd(), bytes_of(key), bytes_of(value), 0)), 0);
  const auto count_in = [](int fd) {
    return program(store_w_imm(10, -4, 0), mov_reg(2, 10), add(2, -4), map_fd(1, fd), call(1), jeq(0, 0, 3),
                   load_dw(1, 0, 0), add(1, 1), store_dw(0, 0, 1), mov(0, 2), exit());
  };
  ASSERT_EQ(error_of(run(load(xdp(count_in(array.fd()))), 64, 0, 7)), 0);
  ASSERT_EQ(error_of(run(load(xdp(count_in(hash.fd()))), 64, 0, 7)), 0);
  EXPECT_EQ(error_of(kernel().map_lookup_elem(array.fd(), bytes_of(key), mut_bytes_of(value))), 0);
  EXPECT_EQ(value, 7u);
  EXPECT_EQ(error_of(kernel().map_lookup_elem(hash.fd(), bytes_of(key), mut_bytes_of(value))), 0);
  EXPECT_EQ(value, 12u);
}

TEST_P(KernelContract, StatisticsCountRunsWhenSwitchedOn) {
  using namespace code;
  const Handle prog = load(xdp(program(mov(0, 2), exit())));
  const auto on = kernel().set_stats_enabled(true);
  if (!on) GTEST_SKIP() << on.error().what;
  EXPECT_EQ(error_of(run(prog, 64, 0, 5)), 0);
  EXPECT_EQ(error_of(kernel().set_stats_enabled(false)), 0);
  const auto info = kernel().prog_info(prog.fd());
  ASSERT_TRUE(info.has_value());
  EXPECT_EQ(info->run_cnt, 5u);
  EXPECT_EQ(error_of(run(prog, 64, 0, 5)), 0);
  EXPECT_EQ(kernel().prog_info(prog.fd())->run_cnt, 5u);
}

/// bpf_trace_printk() of the text in a map comes out of trace_pipe.
TEST_P(KernelContract, TracesComeOutOfThePipe) {
  using namespace code;
  const auto pipe = kernel().trace_pipe();
  if (!pipe) GTEST_SKIP() << pipe.error().what;
  const std::string marker = "contract " + std::to_string(::getpid());
  const Handle text = map(map_spec(MapType::array, 4, 32, 1));
  std::array<char, 32> value{};
  std::ranges::copy(marker, value.begin());
  const u32 key = 0;
  ASSERT_EQ(error_of(kernel().map_update_elem(text.fd(), bytes_of(key), bytes_of(value), 0)), 0);
  const Handle prog = load(xdp(program(map_value(1, text.fd()), mov(2, 32), call(6), exit())));
  const auto done = run(prog);
  ASSERT_TRUE(done.has_value());
  EXPECT_EQ(done->retval, marker.size());
  std::string seen;
  for (int tries = 0; tries < 50 && seen.find(marker) == std::string::npos; ++tries) {
    pollfd ready{pipe->get(), POLLIN, 0};
    if (::poll(&ready, 1, 100) <= 0) continue;
    std::array<char, 4096> buffer{};
    const ssize_t got = ::read(pipe->get(), buffer.data(), buffer.size());
    if (got > 0) seen.append(buffer.data(), static_cast<std::size_t>(got));
  }
  EXPECT_NE(seen.find("bpf_trace_printk: " + marker), std::string::npos) << seen;
}

}  // namespace
}  // namespace skep::contract
