// The contract's part about objects: descriptors, ids, references, BTF, pins, links.
#include "kernel_contract/contract.hpp"

namespace skep::contract {
namespace {

/// A BTF of three types: int, an array's index type likewise, and `struct counters { int a; int b; }`.
std::vector<std::byte> small_btf() {
  const std::string strings = std::string("\0int\0counters\0a\0b\0", 18);
  const std::vector<u32> types = {
      1, 0x01000000, 4, 0x01000020,                   // [1] INT 'int' 32 bits signed
      5, 0x04000002, 8, 14,         1, 0, 16, 1, 32,  // [2] STRUCT 'counters'
  };
  struct Header {
    u16 magic = 0xeb9f;
    u8 version = 1, flags = 0;
    u32 hdr_len = 24, type_off = 0, type_len = 0, str_off = 0, str_len = 0;
  } header;
  header.type_len = header.str_off = static_cast<u32>(types.size() * 4);
  header.str_len = static_cast<u32>(strings.size());
  std::vector<std::byte> bytes;
  const auto put = [&](ByteView part) { bytes.insert(bytes.end(), part.begin(), part.end()); };
  put(bytes_of(header));
  put(std::as_bytes(std::span(types)));
  put(bytes_of(std::string_view(strings)));
  return bytes;
}

TEST_P(KernelContract, DescriptorsAreChecked) {
  EXPECT_EQ(error_of(kernel().map_info(12345)), EBADFD);
  EXPECT_EQ(error_of(kernel().prog_info(-1)), EBADFD);
  EXPECT_EQ(error_of(kernel().prog_test_run(12345, {})), EBADF);
  const Handle array = map(map_spec(MapType::array, 4, 8, 1));
  EXPECT_EQ(error_of(kernel().prog_test_run(array.fd(), {})), EINVAL) << "a map is not a program";
  u64 value = 0;
  const int lookup = error_of(kernel().map_lookup_elem(12345, bytes_of(value), mut_bytes_of(value)));
  EXPECT_TRUE(lookup == EBADF || lookup == EBADFD) << "a client may ask for the map's sizes first";
}

TEST_P(KernelContract, ObjectsGoWithTheirLastReference) {
  Handle first = map(map_spec(MapType::array, 4, 8, 1));
  const u32 id = kernel().map_info(first.fd())->id;
  auto second = kernel().get_fd_by_id(ObjectKind::map, id);
  ASSERT_TRUE(second.has_value());
  first.reset();
  EXPECT_EQ(kernel().map_info(second->fd())->id, id);
  second->reset();
  EXPECT_EQ(error_of(kernel().get_fd_by_id(ObjectKind::map, id)), ENOENT);
}

TEST_P(KernelContract, IdsGrowAndAreIterated) {
  const Handle a = map(map_spec(MapType::array, 4, 8, 1)), b = map(map_spec(MapType::array, 4, 8, 1));
  const u32 first = kernel().map_info(a.fd())->id, second = kernel().map_info(b.fd())->id;
  EXPECT_LT(first, second);
  EXPECT_EQ(*kernel().get_next_id(ObjectKind::map, first - 1), first);
  EXPECT_EQ(*kernel().get_next_id(ObjectKind::map, first), second);
  EXPECT_EQ(error_of(kernel().get_next_id(ObjectKind::map, second + 1000000)), ENOENT);
  EXPECT_EQ(error_of(kernel().get_fd_by_id(ObjectKind::map, second + 1000000)), ENOENT);
  EXPECT_EQ(error_of(kernel().get_next_id(ObjectKind::prog, 0x7fffffff)), EINVAL);
}

TEST_P(KernelContract, BtfIsLoadedAndDescribesMaps) {
  const auto bytes = small_btf();
  auto btf = kernel().btf_load(bytes);
  ASSERT_TRUE(btf.has_value()) << btf.error().what;
  const auto info = kernel().btf_info(btf->fd());
  ASSERT_TRUE(info.has_value());
  EXPECT_EQ(info->data, bytes);
  EXPECT_EQ(info->size, bytes.size());
  EXPECT_FALSE(info->kernel_btf);
  MapSpec spec = map_spec(MapType::hash, 4, 8, 1);
  spec.btf_fd = btf->fd();
  spec.btf_key_type_id = 1;
  spec.btf_value_type_id = 2;
  const Handle described = map(spec);
  const auto map_info = kernel().map_info(described.fd());
  EXPECT_EQ(map_info->btf_id, info->id);
  EXPECT_EQ(map_info->btf_key_type_id, 1u);
  EXPECT_EQ(map_info->btf_value_type_id, 2u);
  btf->reset();
  EXPECT_TRUE(kernel().get_fd_by_id(ObjectKind::btf, info->id).has_value()) << "the map needs it";
  spec.btf_fd = 12345;
  EXPECT_EQ(error_of(kernel().map_create(spec)), EBADF);
}

TEST_P(KernelContract, WrongBtfIsRefused) {
  auto bytes = small_btf();
  EXPECT_EQ(error_of(kernel().btf_load({})), EINVAL);
  EXPECT_EQ(error_of(kernel().btf_load(std::span(bytes).first(20))), EINVAL);
  bytes[0] = std::byte{0};
  EXPECT_EQ(error_of(kernel().btf_load(bytes)), EINVAL);
  auto btf = kernel().btf_load(small_btf());
  ASSERT_TRUE(btf.has_value());
  MapSpec spec = map_spec(MapType::hash, 4, 4, 1);  // the struct has 8 bytes
  spec.btf_fd = btf->fd();
  spec.btf_key_type_id = 1;
  spec.btf_value_type_id = 2;
  EXPECT_EQ(error_of(kernel().map_create(spec)), EINVAL);
  spec.btf_value_type_id = 0;
  EXPECT_EQ(error_of(kernel().map_create(spec)), EINVAL);
}

TEST_P(KernelContract, TheTypesOfTheKernelAreListedAndNobodyElses) {
  const auto id = kernel().get_next_id(ObjectKind::btf, 0);
  ASSERT_TRUE(id.has_value()) << id.error().what;
  const auto btf = kernel().get_fd_by_id(ObjectKind::btf, *id);
  ASSERT_TRUE(btf.has_value()) << btf.error().what;
  const auto info = kernel().btf_info(btf->fd());
  ASSERT_TRUE(info.has_value()) << info.error().what;
  EXPECT_EQ(*id, 1u);
  EXPECT_EQ(info->name, "vmlinux");
  EXPECT_TRUE(info->kernel_btf);
  EXPECT_EQ(info->size, info->data.size());
  ASSERT_GE(info->data.size(), 24u);
  EXPECT_EQ(info->data[0], std::byte{0x9f});
  MapSpec spec = map_spec(MapType::hash, 4, 4, 1);
  spec.btf_fd = btf->fd();
  spec.btf_key_type_id = 1;
  spec.btf_value_type_id = 1;
  EXPECT_EQ(error_of(kernel().map_create(spec)), EACCES);
}

TEST_P(KernelContract, PinsHoldObjectsUntilTheyAreRemoved) {
  using namespace code;
  const auto directory = pins();
  if (!directory) GTEST_SKIP() << directory.error().what;
  const std::string path = *directory + "/pinned";
  Handle prog = load(xdp(program(mov(0, 2), exit()), "pinned"));
  const u32 id = kernel().prog_info(prog.fd())->id;
  ASSERT_EQ(error_of(kernel().obj_pin(prog.fd(), ObjectKind::prog, path)), 0);
  EXPECT_EQ(error_of(kernel().obj_pin(prog.fd(), ObjectKind::prog, path)), EEXIST);
  prog.reset();
  auto again = kernel().obj_get(path);
  ASSERT_TRUE(again.has_value()) << again.error().what;
  EXPECT_EQ(again->kind(), ObjectKind::prog);
  EXPECT_EQ(kernel().prog_info(again->fd())->id, id);
  again->reset();
  std::filesystem::remove(path);
  EXPECT_EQ(error_of(kernel().get_fd_by_id(ObjectKind::prog, id)), ENOENT) << "at once";
  EXPECT_EQ(error_of(kernel().obj_get(path)), ENOENT);
}

TEST_P(KernelContract, PinsOfOneMapAreTheSameMap) {
  const auto directory = pins();
  if (!directory) GTEST_SKIP() << directory.error().what;
  const Handle array = map(map_spec(MapType::array, 4, 8, 1));
  ASSERT_EQ(error_of(kernel().obj_pin(array.fd(), ObjectKind::map, *directory + "/map")), 0);
  const auto pinned = kernel().obj_get(*directory + "/map");
  ASSERT_TRUE(pinned.has_value());
  EXPECT_EQ(pinned->kind(), ObjectKind::map);
  const u32 key = 0;
  u64 value = 42;
  ASSERT_EQ(error_of(kernel().map_update_elem(pinned->fd(), bytes_of(key), bytes_of(value), 0)), 0);
  value = 0;
  ASSERT_EQ(error_of(kernel().map_lookup_elem(array.fd(), bytes_of(key), mut_bytes_of(value))), 0);
  EXPECT_EQ(value, 42u);
  EXPECT_EQ(error_of(kernel().obj_pin(array.fd(), ObjectKind::map, *directory + "/none/map")), ENOENT);
}

TEST_P(KernelContract, LinksNeedAnInterfaceAndAnXdpProgram) {
  using namespace code;
  const Handle prog = load(xdp(program(mov(0, 2), exit())));
  LinkSpec spec;
  spec.prog_fd = prog.fd();
  spec.target_ifindex = 999999;
  spec.attach_type = AttachType::xdp;
  EXPECT_EQ(error_of(kernel().link_create(spec)), EINVAL);
  spec.prog_fd = 12345;
  EXPECT_EQ(error_of(kernel().link_create(spec)), EBADF);
  XdpAttach attach;
  attach.ifindex = 999999;
  attach.prog_fd = prog.fd();
  EXPECT_EQ(error_of(kernel().xdp_attach(attach)), ENODEV);
}

}  // namespace
}  // namespace skep::contract
