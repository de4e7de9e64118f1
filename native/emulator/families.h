// The handlers that the opcode table names, declared by family.
#pragma once

#include "emulator/opcode-table.h"

namespace vtkit::emulator {

// execute-alu.cc
struct AluHandlers {
  Handlers rmReg, regRm, rmImm, accImm;
};
extern const AluHandlers kAdd, kOr, kAdc, kSbb, kAnd, kSub, kXor, kCmp, kTest;
extern const Handlers kInc, kDec, kNot, kNeg, kXadd, kCmpxchg, kCmpxchg8b, kDaa, kDas, kAaa, kAas, kAam, kAad;

// execute-bits.cc
struct ShiftHandlers {
  Handlers byOne, byImm, byCl;
};
extern const ShiftHandlers kRol, kRor, kRcl, kRcr, kShl, kShr, kSar;
struct BitHandlers {
  Handlers byReg, byImm;
};
extern const BitHandlers kBt, kBts, kBtr, kBtc;
extern const Handlers kShldImm, kShldCl, kShrdImm, kShrdCl, kMul, kImul1, kImul2, kImul3, kDiv, kIdiv, kBsf, kBsr,
    kPopcnt;

// execute-move.cc
extern const Handlers kMovRmReg, kMovRegRm, kMovRmImm, kMovAccMoffs, kMovMoffsAcc, kLea, kXchgRm, kXchgAcc, kBswap,
    kMovzx8, kMovzx16, kMovsx8, kMovsx16, kMovsxd, kCbw, kCwd, kXlat, kMovSegment, kStoreSegment, kLes, kLds, kLss,
    kLfs, kLgs, kNop, kPushReg, kPopReg, kPushRm, kPopRm, kPushImm, kPushSegment, kPopSegment, kPusha, kPopa, kPushf,
    kPopf, kEnter, kLeave, kLahf, kSahf, kClc, kStc, kCmc, kCld, kStd, kSalc, kMovnti;

// by condition
extern const Handlers kCmov[16], kSetcc[16];

// execute-string.cc
extern const Handlers kMovs, kCmps, kStos, kLods, kScas, kIns, kOuts, kInImm, kInDx, kOutImm, kOutDx;

// execute-jcc.cc
extern const Handlers kJcc;

// execute-branch.cc
extern const Handlers kJmpRel, kJmpRm, kCallRel, kCallRm, kRet, kLoop, kLoope, kLoopne, kJcxz, kJmpFar, kCallFar,
    kJmpFarRm, kCallFarRm, kRetFar, kIret, kInt, kInt3, kInt1, kInto, kBound, kHlt, kCli, kSti, kUd2;

// execute-protection.cc
extern const Handlers kInvpcid, kSegmentBase;

// execute-system.cc
extern const Handlers kGroup7;

// execute-descriptors.cc
extern const Handlers kGroup6, kLar, kLsl, kArpl;

// execute-syscall.cc
extern const Handlers kSyscall, kSysret, kSysenter, kSysexit;

// execute-registers.cc
extern const Handlers kClts, kInvd, kMovFromCr, kMovToCr, kMovFromDr, kMovToDr, kRdmsr, kWrmsr, kRdtsc, kRdpmc, kCpuid;

// vmx/instructions.cc
extern const Handlers kVmxon, kVmclear, kVmptrld, kVmptrst, kVmread, kVmwrite, kInvept, kInvvpid, kVmxGroup;

// execute-x87.cc
extern const Handlers kFpu, kFwait;

}  // namespace vtkit::emulator
