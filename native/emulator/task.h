// Hardware task switches (SDM Vol. 3A, chapter 8).
#pragma once

#include "emulator/system.h"

namespace vtkit::emulator {

enum class TaskSource { jump, call, interrupt, iret };

/**
 * Switches to the task whose TSS a GDT selector names. `ext` goes into the error codes of a delivery. Once the new task
 * is loaded, what is wrong with it is its own fault: false with Cpu::taskSwitched set.
 */
bool switchTask(Cpu& cpu, uint16_t selector, TaskSource source, uint32_t ext = 0);
/** The same for the selector in a task gate, which has passed the checks of its kind of use. */
bool switchThroughGate(Cpu& cpu, const Descriptor& gate, TaskSource source, uint32_t ext = 0);
/** Pushes the error code of the exception that switched tasks on the new task's stack. */
bool pushTaskError(Cpu& cpu, uint32_t error);

}  // namespace vtkit::emulator
