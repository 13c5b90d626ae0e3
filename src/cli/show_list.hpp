// What `prog show` and `map show` begin with: one object by its words, or all of their kind.
#pragma once
#include "cli/objects.hpp"
#include "cli/pins.hpp"

namespace skep::cli {

template <class Ref>
struct ShowList {
  std::vector<Ref> objects;
  bool as_list = false;  ///< JSON has an array: all were asked for, or several match
  PinTable pins;         ///< with -f
};

/// `take(Cli&, Args&)` finds what two words mean; `about(Kernel&, const Handle&)` asks for an object's info.
/// `what` is the kind in messages.
template <class Ref, class Take, class About>
Outcome<ShowList<Ref>> gather_shown(Cli& cli, Args args, ObjectKind kind, std::string_view what, Take take,
                                    About about) {
  ShowList<Ref> list;
  const bool all = args.left() != 2;
  if (all) {
    TRY(args.finished());
  } else {
    list.objects = TRY(take(cli, args));
  }
  Kernel& kernel = *TRY(cli.kernel());
  if (cli.options().bpffs) list.pins = TRY(pinned_objects(cli, kind));
  if (all)
    TRY(each_object(kernel, kind, what, [&](u32, Handle handle) -> Outcome<void> {
      auto info = TRY(about(kernel, handle));
      list.objects.push_back({std::move(handle), std::move(info)});
      return {};
    }));
  list.as_list = all || list.objects.size() > 1;
  return list;
}

}  // namespace skep::cli
