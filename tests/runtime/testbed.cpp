#include "net/testbed_impl.hpp"
