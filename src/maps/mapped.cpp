// See mapped.hpp.
#include "maps/mapped.hpp"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

namespace skep::maps {
namespace {

template <class T, int (*close)(T*)>
struct Closer {
  void operator()(T* what) const { close(what); }
};
using File = std::unique_ptr<FILE, Closer<FILE, std::fclose>>;
using Directory = std::unique_ptr<DIR, Closer<DIR, ::closedir>>;

/// One process's mappings: "START-END rw-s OFFSET MAJOR:MINOR INODE NAME", numbers hexadecimal but the inode.
bool maps_it(const char* pid, const struct stat& file, const std::byte* ours) {
  const File list(std::fopen((std::string("/proc/") + pid + "/maps").c_str(), "re"));
  std::array<char, 512> line{};
  while (list != nullptr && std::fgets(line.data(), line.size(), list.get()) != nullptr) {
    unsigned long start = 0, end = 0, offset = 0, inode = 0;
    unsigned int major = 0, minor = 0;
    std::array<char, 5> access{};
    if (std::sscanf(line.data(), "%lx-%lx %4s %lx %x:%x %lu", &start, &end, access.data(), &offset, &major,
                    &minor, &inode) != 7)
      continue;
    if (inode == file.st_ino && makedev(major, minor) == file.st_dev && access[1] == 'w' &&
        access[3] == 's' && start != reinterpret_cast<unsigned long>(ours))
      return true;
  }
  return false;
}

}  // namespace

bool mapped_for_writing(int memfd, const std::byte* ours) {
  struct stat file{};
  if (::fstat(memfd, &file) != 0) return false;
  const std::string self = std::to_string(::getpid());
  const Directory processes(::opendir("/proc"));
  if (processes == nullptr) return maps_it("self", file, ours);
  while (const dirent* entry = ::readdir(processes.get())) {
    const char* name = static_cast<const char*>(entry->d_name);
    if (name[0] < '0' || name[0] > '9') continue;
    if (maps_it(name, file, self == name ? ours : nullptr)) return true;
  }
  return false;
}

}  // namespace skep::maps
