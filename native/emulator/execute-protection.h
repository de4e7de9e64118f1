// Instructions of protection features, for the groups that they stand in.
#pragma once

#include "emulator/micro-op.h"

namespace vtkit::emulator {

bool clac(Cpu& cpu);
bool stac(Cpu& cpu);
bool rdpkru(Cpu& cpu);
bool wrpkru(Cpu& cpu);
bool monitor(Cpu& cpu, const MicroOp& op);
bool mwait(Cpu& cpu);
/** Where several processors take turns, it is the next one's. */
void pause(Cpu& cpu);

}  // namespace vtkit::emulator
