// What a processor keeps beside the structures that KVM has too, as a part of a machine's state.
#include "emulator/breakpoints.h"
#include "emulator/emulator.h"
#include "emulator/mmu.h"

namespace vtkit::emulator {

namespace {

/** Cpu::initSignals as emulator.h says: INIT, startup, its vector. */
constexpr uint32_t kInitBits = 0xff03;
constexpr uint64_t kPageOffset = 0xfff;

void visitVmx(state::Archive& archive, Cpu& cpu) {
  using vmx::kNoVmcs;
  vmx::Vmx& vmx = cpu.vmx;
  archive.section("VMX ", 1);
  archive.value(vmx.on);
  for (uint64_t* pointer : {&vmx.vmxonPointer, &vmx.current}) {
    uint64_t found = *pointer;
    archive.value(found);
    archive.check(found == kNoVmcs || (found & kPageOffset) == 0, "a VMCS is not aligned to a page");
    if (!archive.failed()) *pointer = found;
  }
  vmx.vmcs.visit(archive);
  archive.value(vmx.outside);
  archive.value(vmx.entryAsked);
  archive.value(vmx.vectoring.information);
  archive.value(vmx.vectoring.error);
  archive.atMost(vmx.vectoring.length, uint32_t{15});
  archive.atMost(vmx.instructionBytes, uint8_t{15});
  archive.within(vmx.activity, vmx::Activity::active, vmx::Activity::waitForSipi);
  for (bool* field : {&vmx.blockedByMovSs, &vmx.virtualNmiMasked, &vmx.monitorTrap, &vmx.monitorTrapDue, &vmx.trapDue,
                      &vmx.virtualInterrupt}) {
    archive.value(*field);
  }
  archive.within(vmx.trapReason, vmx::ExitReason::tprBelowThreshold, vmx::ExitReason::apicWrite);
  for (uint64_t* field :
       {&vmx.trapQualification, &vmx.pendingDebug, &vmx.debugConditions, &vmx.dr6Before, &vmx.cr2Before,
        &vmx.preemptionTick, &vmx.preemptionStart, &vmx.firstPause, &vmx.lastPause, &vmx.accessPage}) {
    archive.value(*field);
  }
  uint16_t written = vmx.apicWrite;
  archive.value(written);
  archive.check(written == vmx::kNoRegister || written <= kPageOffset, "a register lies outside of the virtual APIC");
  if (!archive.failed()) vmx.apicWrite = written;
}

}  // namespace

void Emulator::visit(state::Archive& archive) {
  Cpu& cpu = *cpu_;
  archive.section("CPU ", 2);
  archive.atMost(cpu.cpl, uint8_t{3});
  for (bool* field :
       {&cpu.shadow, &cpu.trapBlocked, &cpu.taskTraps, &cpu.nmiMasked, &cpu.waits, &cpu.pauses, &cpu.guest, &cpu.ept}) {
    archive.value(*field);
  }
  archive.atMost(cpu.dataHits, uint8_t{15});  // MOV SS holds a debug exception back
  archive.check(cpu.guest || !cpu.ept, "extended page tables are in use outside of VMX non-root operation");
  archive.value(cpu.pauseCount);
  archive.moment(cpu.timeBase);
  archive.moment(cpu.instructions);
  for (uint64_t* field : {&cpu.tscOffset, &cpu.tscAdjust, &cpu.star, &cpu.lstar, &cpu.cstar, &cpu.sfmask,
                          &cpu.kernelGsBase, &cpu.tscAux, &cpu.sysenterCs, &cpu.sysenterEsp, &cpu.sysenterEip, &cpu.pat,
                          &cpu.miscEnable, &cpu.debugControl, &cpu.randomState}) {
    archive.value(*field);
  }
  archive.value(cpu.msrs);
  archive.value(cpu.pointers);
  archive.value(cpu.pkru);
  uint8_t nmis = cpu.nmis.load();
  archive.atMost(nmis, uint8_t{2});
  uint32_t signals = cpu.initSignals.load();
  archive.bits(signals, kInitBits);
  archive.within(cpu.queuedVector, -1, 255);
  visitVmx(archive, cpu);
  apic_.visit(archive);
  if (!archive.reads()) return;
  if (archive.failed()) cpu.ept = false;
  cpu.nmis = nmis;
  cpu.initSignals = signals;
  // All else is kept of these, or found again when somebody looks.
  cpu.fault = {};
  cpu.shadowNext = cpu.stepNow = cpu.taskSwitched = false;
  updateBreakpoints(cpu);
  flushTlb(cpu);
  updateMode(cpu);
  attention(kInterrupt | kNmi | kInit);
}

}  // namespace vtkit::emulator
