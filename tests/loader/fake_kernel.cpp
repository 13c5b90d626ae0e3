// The recording kernel's few behaviours.
#include "loader/fake_kernel.hpp"

#include <unistd.h>

#include <fstream>

namespace skep::loader::test {

Result<Handle> FakeKernel::map_create(const MapSpec& spec) {
  if (refused("map_create " + spec.name)) return fail(refuse_code);
  int fd = next_fd_;
  maps[fd].spec = spec;
  return hand_out(ObjectKind::map);
}

Result<void> FakeKernel::map_update_elem(int map, ByteView key, ByteView value, u64) {
  if (refused("map_update_elem " + maps.at(map).spec.name)) return fail(refuse_code);
  maps.at(map).elements[std::string(chars_of(key))] = chars_of(value);
  return {};
}

Result<void> FakeKernel::map_freeze(int map) {
  if (refused("map_freeze " + maps.at(map).spec.name)) return fail(refuse_code);
  maps.at(map).frozen = true;
  return {};
}

Result<Handle> FakeKernel::prog_load(const ProgramSpec& spec, const LogRequest& want, Log* log) {
  programs.push_back(spec);
  log_requests.push_back(want);
  bool no = refused("prog_load " + spec.name);
  if (log != nullptr && want.level != 0) log->text = log_text;
  if (no) return fail(refuse_code);
  return hand_out(ObjectKind::prog);
}

Result<void> FakeKernel::prog_bind_map(int, int map) {
  calls.push_back("prog_bind_map " + maps.at(map).spec.name);
  return {};
}

Result<Handle> FakeKernel::btf_load(ByteView bytes, const LogRequest&, Log*) {
  if (refused("btf_load")) return fail(refuse_code);
  btf.assign(bytes.begin(), bytes.end());
  return hand_out(ObjectKind::btf);
}

Result<MapInfo> FakeKernel::map_info(int map) {
  const MapSpec& spec = maps.at(map).spec;
  MapInfo info;
  info.type = spec.type;
  info.key_size = spec.key_size;
  info.value_size = spec.value_size;
  info.max_entries = spec.max_entries;
  info.flags = spec.flags;
  info.map_extra = spec.map_extra;
  return info;
}

Result<void> FakeKernel::obj_pin(int object, ObjectKind, const std::string& path) {
  if (refused("obj_pin " + path)) return fail(refuse_code);
  std::string real = pin_dir + path.substr(std::string("/sys/fs/bpf").size());
  if (access(real.c_str(), F_OK) == 0) return fail(EEXIST);
  std::ofstream file(real);
  if (!file) return fail(ENOENT);
  pins[path] = object;
  return {};
}

Result<Handle> FakeKernel::obj_get(const std::string& path) {
  auto found = pins.find(path);
  if (found == pins.end()) return fail(ENOENT);
  return Handle(*this, ObjectKind::map, found->second);
}

}  // namespace skep::loader::test
