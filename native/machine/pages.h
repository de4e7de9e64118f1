// The pages of a machine's memory that hold something: what a snapshot of a sparse machine is made of.
#pragma once

#include <cstdint>
#include <vector>

namespace vtkit::machine {

/** Numbers, in order, of the pages that are not all zeros. Pages that nobody touched are not looked into. */
std::vector<uint32_t> usedPages(const uint8_t* memory, uint64_t bytes);

/** Fills these pages, given in order, from `contents`, one after the other; all others become zeros. */
void setPages(uint8_t* memory, uint64_t bytes, const std::vector<uint32_t>& pages, const uint8_t* contents);

}  // namespace vtkit::machine
