// The handlers of vector and extended instructions, declared by family.
#pragma once

#include "emulator/opcode-table.h"

namespace vtkit::emulator {

// execute-packed.cc
struct PackedShift {
  Handlers byRm, byImmediate;
};
extern const PackedShift kPsllw, kPslld, kPsllq, kPsrlw, kPsrld, kPsrlq, kPsraw, kPsrad;
extern const Handlers kPaddb, kPaddw, kPaddd, kPaddq, kPsubb, kPsubw, kPsubd, kPsubq, kPaddusb, kPaddusw, kPaddsb,
    kPaddsw, kPsubusb, kPsubusw, kPsubsb, kPsubsw, kPavgb, kPavgw, kPminub, kPminuw, kPminud, kPminsb, kPminsw, kPminsd,
    kPmaxub, kPmaxuw, kPmaxud, kPmaxsb, kPmaxsw, kPmaxsd, kPcmpeqb, kPcmpeqw, kPcmpeqd, kPcmpeqq, kPcmpgtb, kPcmpgtw,
    kPcmpgtd, kPcmpgtq, kPabsb, kPabsw, kPabsd, kPsignb, kPsignw, kPsignd, kPand, kPandn, kPor, kPxor, kPmullw, kPmulld,
    kPmulhw, kPmulhuw, kPmulhrsw, kPmuludq, kPmuldq, kPmaddwd, kPmaddubsw, kPsadbw, kPhaddw, kPhaddd, kPhaddsw, kPhsubw,
    kPhsubd, kPhsubsw, kPhminposuw, kPsllvd, kPsllvq, kPsrlvd, kPsrlvq, kPsravd, kPslldq, kPsrldq, kPtest, kVtestps,
    kVtestpd;

// execute-shuffle.cc
extern const Handlers kPacksswb, kPackssdw, kPackuswb, kPackusdw, kPunpcklbw, kPunpcklwd, kPunpckldq, kPunpckhbw,
    kPunpckhwd, kPunpckhdq, kPshufb, kPalignr, kPshufw, kPshufd, kPshuflw, kPshufhw, kShufps, kMovsldup, kMovshdup,
    kShufpd, kBlendps, kBlendpd, kPblendw, kPblendvb, kBlendvps, kBlendvpd, kPmovsxbw, kPmovsxbd, kPmovsxbq, kPmovsxwd,
    kPmovsxwq, kPmovsxdq, kPmovzxbw, kPmovzxbd, kPmovzxbq, kPmovzxwd, kPmovzxwq, kPmovzxdq, kMpsadbw, kPunpcklqdq,
    kPunpckhqdq, kMovddup;

// execute-vector-move.cc
extern const Handlers kLoadAligned, kLoadUnaligned, kStoreAligned, kStoreUnaligned, kMovssLoad, kMovsdLoad, kMovssStore,
    kMovsdStore, kMovlpsLoad, kMovhpsLoad, kMovlpsStore, kMovhpsStore, kPmovmskb, kMovmskps, kMovmskpd, kPinsrb,
    kPinsrw, kPinsrd, kPextrb, kPextrw, kPextrd, kExtractps, kMovdLoad, kMovdStore, kMovqLoad, kMovqStore, kMovdq2q,
    kMovq2dq, kMaskmov, kPextrwReg, kInsertps, kClearVectors;

// execute-float.cc
extern const Handlers kAddps, kAddpd, kAddss, kAddsd, kSubps, kSubpd, kSubss, kSubsd, kMulps, kMulpd, kMulss, kMulsd,
    kDivps, kDivpd, kDivss, kDivsd, kSqrtps, kSqrtpd, kSqrtss, kSqrtsd, kMinps, kMinpd, kMinss, kMinsd, kMaxps, kMaxpd,
    kMaxss, kMaxsd, kRoundps, kRoundpd, kRoundss, kRoundsd, kCmpps, kCmppd, kCmpss, kCmpsd, kComiss, kComisd, kUcomiss,
    kUcomisd, kAddsubps, kAddsubpd, kHaddps, kHaddpd, kHsubps, kHsubpd, kDpps, kDppd, kRcpps, kRsqrtps, kRcpss,
    kRsqrtss;

// execute-convert.cc
extern const Handlers kCvtdq2ps, kCvtps2dq, kCvttps2dq, kCvtdq2pd, kCvtps2pd, kCvtpd2dq, kCvttpd2dq, kCvtpd2ps,
    kCvtss2sd, kCvtpi2ps, kCvtpi2pd, kCvtps2pi, kCvttps2pi, kCvtpd2pi, kCvttpd2pi, kCvtsi2ss, kCvtsi2sd, kCvtss2si,
    kCvttss2si, kCvtsd2si, kCvttsd2si, kCvtsd2ss;

// execute-fma.cc
struct FmaForms {
  Handlers ps, pd, ss, sd;
};
struct FmaHandlers {
  FmaForms of132, of213, of231;
};
extern const FmaHandlers kFmadd, kFmsub, kFnmadd, kFnmsub, kFmaddsub, kFmsubadd;
extern const Handlers kVcvtph2ps, kVcvtps2ph;

// execute-avx.cc
extern const Handlers kBroadcast8, kBroadcast16, kBroadcast32, kBroadcast64, kMaskedLoad32, kMaskedLoad64,
    kMaskedStore32, kMaskedStore64, kGatherDd, kGatherDq, kGatherQd, kGatherQq, kBroadcast128, kInsert128, kExtract128,
    kPerm2x128, kVpermilps, kVpermilpd, kVpermilpsBy, kVpermilpdBy, kVpermd, kVpermq;

// execute-crypto.cc
extern const Handlers kAesenc, kAesenclast, kAesdec, kAesdeclast, kAesimc, kAeskeygen, kPclmulqdq, kSha1rnds4,
    kSha1nexte, kSha1msg1, kSha1msg2, kSha256msg1, kSha256msg2, kSha256rnds2;

// execute-text.cc
extern const Handlers kPcmpestrm, kPcmpestri, kPcmpistrm, kPcmpistri;

// execute-bmi.cc
extern const Handlers kAndn, kBextr, kBzhi, kPdep, kPext, kShlx, kShrx, kSarx, kBlsr, kBlsmsk, kBlsi, kRorx, kMulx,
    kAdcx, kAdox, kLzcnt, kTzcnt, kMovbeLoad, kMovbeStore, kCrc32, kRandom, kRdpid, kLineFlush;

// execute-xsave.cc
extern const Handlers kLdmxcsr, kStmxcsr, kFxsave, kFxrstor, kXsave, kXsaveopt, kXsavec, kXsaves, kXrstor, kXrstors;

}  // namespace vtkit::emulator
