// x87 instructions (SDM Vol. 1, chapter 8): operands and faults are the emulator's, arithmetic is the host's.
#include "emulator/families.h"
#include "emulator/host-x87.h"
#include "emulator/save-area.h"

namespace vtkit::emulator {

namespace {

enum class Memory : uint8_t { none, load, store, control };

/** What the memory forms of D8 to DF do, by ModRM.reg: bytes of the operand, and which way they go. */
struct MemoryForm {
  Memory kind;
  uint8_t bytes;
};
constexpr MemoryForm kNone = {Memory::none, 0}, kLoad16 = {Memory::load, 2}, kLoad32 = {Memory::load, 4},
                     kLoad64 = {Memory::load, 8}, kLoad80 = {Memory::load, 10}, kStore16 = {Memory::store, 2},
                     kStore32 = {Memory::store, 4}, kStore64 = {Memory::store, 8}, kStore80 = {Memory::store, 10},
                     kControl = {Memory::control, 0};
constexpr MemoryForm kMemoryForms[8][8] = {
    {kLoad32, kLoad32, kLoad32, kLoad32, kLoad32, kLoad32, kLoad32, kLoad32},       // D8: arithmetic, single
    {kLoad32, kNone, kStore32, kStore32, kControl, kControl, kControl, kControl},   // D9: FLD, FST, FLDENV ...
    {kLoad32, kLoad32, kLoad32, kLoad32, kLoad32, kLoad32, kLoad32, kLoad32},       // DA: arithmetic, 32-bit integer
    {kLoad32, kStore32, kStore32, kStore32, kNone, kLoad80, kNone, kStore80},       // DB: FILD, FISTTP, FIST, FLD, FSTP
    {kLoad64, kLoad64, kLoad64, kLoad64, kLoad64, kLoad64, kLoad64, kLoad64},       // DC: arithmetic, double
    {kLoad64, kStore64, kStore64, kStore64, kControl, kNone, kControl, kControl},   // DD: FLD, FISTTP, FST, FRSTOR ...
    {kLoad16, kLoad16, kLoad16, kLoad16, kLoad16, kLoad16, kLoad16, kLoad16},       // DE: arithmetic, 16-bit integer
    {kLoad16, kStore16, kStore16, kStore16, kLoad80, kLoad64, kStore80, kStore64},  // DF: FILD, FIST, FBLD, FBSTP
};

/** Which of the 64 register forms D8 to DF have (SDM Vol. 2D, tables ): a bit for each ModRM from C0 on. */
constexpr uint64_t kAll = ~uint64_t{0};
constexpr uint64_t row(unsigned reg, uint8_t forms = 0xff) { return uint64_t{forms} << 8 * reg; }
constexpr uint64_t kRegisterForms[8] = {
    kAll,
    row(0) | row(1) | row(2, 0x01) | row(3) | row(4, 0x33) | row(5, 0x7f) | row(6) | row(7),
    row(0) | row(1) | row(2) | row(3) | row(5, 0x02),
    row(0) | row(1) | row(2) | row(3) | row(4, 0x1f) | row(5) | row(6),
    kAll,
    row(0) | row(1) | row(2) | row(3) | row(4) | row(5),
    row(0) | row(1) | row(2) | row(3, 0x02) | row(4) | row(5) | row(6) | row(7),
    row(0) | row(1) | row(2) | row(3) | row(4, 0x01) | row(5) | row(6),
};

/** Keeps where a data instruction stands, for handlers (SDM Vol. 1, 8.1.8). The model announces no FCS and FDS. */
void keepPointers(Cpu& cpu, const MicroOp& op, uint16_t before) {
  X87& x87 = cpu.x87;
  x87.ip = (cpu.rip() + op.end - op.length) & cpu.ipMask;
  if (op.memory) x87.dp = addressOf(cpu, op);
  const bool raised = (x87.status & kX87Summary) != 0 && (before & kX87Summary) == 0;
  if (raised) x87.opcode = static_cast<uint16_t>((op.opcode & 7) << 8 | op.immediate);
}

/** An exception that is not masked waits for the next instruction that looks: here it is looked for. */
bool noPending(Cpu& cpu) {
  if ((cpu.x87.status & kX87Summary) == 0) return true;
  return raise(cpu, kMf);
}

// Control -------------------------------------------------------------------------------------------------------------

bool control(Cpu& cpu, const MicroOp& op) {
  X87& x87 = cpu.x87;
  const unsigned function = (op.opcode & 7u) << 3 | (op.regIndex & 7u);
  const uint64_t offset = addressOf(cpu, op);
  switch (function) {
    case 1 << 3 | 5: {  // FLDCW
      uint16_t word;
      if (!noPending(cpu) || !load(cpu, op.segment, offset, word)) return false;
      x87.control = static_cast<uint16_t>((word & 0x1f3f) | 0x40);
      summariseX87(x87);
      return true;
    }
    case 1 << 3 | 7:  // FNSTCW
      return store(cpu, op.segment, offset, x87.control);
    case 5 << 3 | 7:  // FNSTSW
      return store(cpu, op.segment, offset, x87.status);
    case 1 << 3 | 4:  // FLDENV
      return noPending(cpu) && loadEnvironment(cpu, op, offset);
    case 5 << 3 | 4:  // FRSTOR
      return noPending(cpu) && loadAll(cpu, op, offset);
    case 1 << 3 | 6:  // FNSTENV
      if (!storeEnvironment(cpu, op, offset)) return false;
      x87.control |= kX87Exceptions;
      summariseX87(x87);
      return true;
    default:  // FNSAVE
      if (!storeAll(cpu, op, offset)) return false;
      resetX87(x87);
      return true;
  }
}

/** Register forms that are about control: none of them waits, and none of them faults. False if it is another one. */
bool controlRegister(Cpu& cpu, unsigned unit, unsigned modrm) {
  X87& x87 = cpu.x87;
  switch (unit << 8 | modrm) {
    case 0x3e0:  // FNENI, FNDISI and FNSETPM do nothing since the 80387
    case 0x3e1:
    case 0x3e4:
      return true;
    case 0x3e2:  // FNCLEX
      x87.status &= 0x7f00;
      return true;
    case 0x3e3:
      resetX87(x87);
      return true;
    case 0x7e0:  // FNSTSW AX
      writeGpr<uint16_t>(cpu, RAX, x87.status);
      return true;
    default:
      return false;
  }
}

// Data ----------------------------------------------------------------------------------------------------------------

bool execute(Cpu& cpu, const MicroOp& op) {
  const auto unit = static_cast<unsigned>(op.opcode & 7);
  const auto modrm = static_cast<uint8_t>(op.immediate);
  if (!has(cpu.features, Feature::fpu)) return raise(cpu, (cpu.cr0 & (kCr0Em | kCr0Ts)) != 0 ? kNm : kUd);
  const MemoryForm form = op.memory ? kMemoryForms[unit][op.regIndex & 7] : kNone;
  const bool exists = op.memory ? form.kind != Memory::none : (kRegisterForms[unit] >> (modrm & 63) & 1) != 0;
  if (!exists) return raise(cpu, kUd);
  if ((cpu.usable & kUsableX87) == 0) return raise(cpu, kNm);
  if (form.kind == Memory::control) return control(cpu, op);
  if (!op.memory && controlRegister(cpu, unit, modrm)) return true;
  if (!noPending(cpu)) return false;

  alignas(16) uint8_t operand[16] = {};
  if (form.kind == Memory::load && !readBytes(cpu, op, addressOf(cpu, op), operand, form.bytes)) return false;
  uint64_t arithmetic = 0;
  const bool movesOnFlags = (unit == 2 || unit == 3) && modrm >= 0xc0 && modrm < 0xe0;
  const bool compares = (unit == 3 || unit == 7) && modrm >= 0xe8;
  if (movesOnFlags) arithmetic = flags(cpu) & kArithmetic;
  if (form.kind != Memory::store) {
    const uint16_t before = cpu.x87.status;
    runX87(cpu.x87, op.opcode, modrm, operand, arithmetic);
    if (compares && !op.memory) setFlags(cpu, kArithmetic, arithmetic & (kZf | kPf | kCf));
    keepPointers(cpu, op, before);
    return true;
  }
  // A store may still fault, and the stack is popped only if it does not.
  X87 after = cpu.x87;
  runX87(after, op.opcode, modrm, operand, arithmetic);
  const bool refused = (after.status & ~after.control & (kX87Exceptions & ~kFloatInexact)) != 0;
  const uint64_t offset = addressOf(cpu, op);
  const bool reached = refused ? probeWrite(cpu, op.segment, offset, form.bytes)  // nothing is stored, but might be
                               : writeBytes(cpu, op, offset, operand, form.bytes);
  if (!reached) return false;
  const uint16_t before = cpu.x87.status;
  cpu.x87 = after;
  keepPointers(cpu, op, before);
  return true;
}

bool fwait(Cpu& cpu, const MicroOp&) {
  if ((cpu.cr0 & kCr0Mp) != 0 && (cpu.cr0 & kCr0Ts) != 0) return raise(cpu, kNm);
  return noPending(cpu);
}

}  // namespace

const Handlers kFpu = kPlain<execute>, kFwait = kPlain<fwait>;

}  // namespace vtkit::emulator
