// libskep.a consists of the rooms' objects; this file gives the archive's target a source of its own.
#include <skep/skep.h>

static_assert(sizeof(skep_packet) % sizeof(void*) == 0);
