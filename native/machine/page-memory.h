// Memory for the pages of snapshots, which come and go.
#pragma once

#include <cstddef>
#include <memory>

#include "os/mapping.h"

namespace vtkit::machine {

/**
 * Memory of at least that size, with anything in it. The last one that was let go is kept for the next (up to 128 MiB):
 * to touch memory of the kernel for the first time costs ten times as much as to copy into it, or more under a
 * hypervisor.
 */
std::shared_ptr<os::Mapping> pageMemory(size_t bytes);

}  // namespace vtkit::machine
