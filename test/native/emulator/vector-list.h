// The instructions that are compared with the host's, as the assembler writes them.
#pragma once

// Each entry: which flags the manual defines behind it ('a' all, 'b' all but AF and PF, 'c' CF and ZF), its length, its
// bytes, its text.
#define ENTRY_WITH(FLAGS, TEXT) \
  ".ascii \"" FLAGS "\"\n.byte 2f-1f\n1:\n.intel_syntax noprefix\n" TEXT "\n.att_syntax\n2:\n.asciz \"" TEXT "\"\n"
#define ENTRY(TEXT) ENTRY_WITH("a", TEXT)

#define LEGACY(NAME) ENTRY(NAME " xmm1, xmm2") ENTRY(NAME " xmm9, xmmword ptr [rdi+16]")
#define VEX(NAME)                                     \
  ENTRY("v" NAME " xmm1, xmm2, xmm3")                 \
  ENTRY("v" NAME " xmm9, xmm12, xmmword ptr [rdi+5]") \
  ENTRY("v" NAME " ymm1, ymm2, ymm3")                 \
  ENTRY("v" NAME " ymm11, ymm1, ymmword ptr [rdi+3]")
#define VEX128(NAME) ENTRY("v" NAME " xmm1, xmm2, xmm3") ENTRY("v" NAME " xmm9, xmm12, xmmword ptr [rdi+5]")
#define MMX(NAME) ENTRY(NAME " mm1, mm2") ENTRY(NAME " mm3, qword ptr [rdi+7]")
#define ALL(NAME) LEGACY(NAME) VEX(NAME)
#define INTEGER(NAME) MMX(NAME) ALL(NAME)
#define UNARY(NAME)             \
  LEGACY(NAME)                  \
  ENTRY("v" NAME " xmm1, xmm2") \
  ENTRY("v" NAME " ymm1, ymm2") \
  ENTRY("v" NAME " ymm11, ymmword ptr [rdi+3]")
#define IMMEDIATE(NAME, VALUE)                      \
  ENTRY(NAME " xmm1, xmm2, " VALUE)                 \
  ENTRY(NAME " xmm9, xmmword ptr [rdi+16], " VALUE) \
  ENTRY("v" NAME " xmm1, xmm2, xmm3, " VALUE)       \
  ENTRY("v" NAME " ymm1, ymm2, ymm3, " VALUE)
#define IMMEDIATES(NAME) IMMEDIATE(NAME, "0x1b") IMMEDIATE(NAME, "0xe4") IMMEDIATE(NAME, "0x75")

// A list, one family a row:
// clang-format off
#define IMMEDIATES128(NAME)                       \
  ENTRY(NAME " xmm1, xmm2, 0x1b")                 \
  ENTRY(NAME " xmm1, xmm2, 0xe1")                 \
  ENTRY(NAME " xmm9, xmmword ptr [rdi+16], 0x71") \
  ENTRY("v" NAME " xmm1, xmm2, xmm3, 0xff")
#define UNARY_IMMEDIATE(NAME, VALUE)                \
  ENTRY(NAME " xmm1, xmm2, " VALUE)                 \
  ENTRY(NAME " xmm9, xmmword ptr [rdi+16], " VALUE) \
  ENTRY("v" NAME " xmm1, xmm2, " VALUE)             \
  ENTRY("v" NAME " ymm1, ymm2, " VALUE)
#define SCALAR(NAME, SIZE)                  \
  ENTRY(NAME " xmm1, xmm2")                 \
  ENTRY(NAME " xmm9, " SIZE " ptr [rdi+1]") \
  ENTRY("v" NAME " xmm1, xmm2, xmm3")       \
  ENTRY("v" NAME " xmm1, xmm2, " SIZE " ptr [rdi+1]")
#define ARITHMETIC(NAME) ALL(NAME "ps") ALL(NAME "pd") SCALAR(NAME "ss", "dword") SCALAR(NAME "sd", "qword")
#define SHIFT(NAME)                                \
  MMX(NAME)                                        \
  LEGACY(NAME)                                     \
  ENTRY("v" NAME " ymm1, ymm2, xmm3")              \
  ENTRY("v" NAME " ymm1, ymm2, xmmword ptr [rdi]") \
  ENTRY(NAME " mm1, 3")                            \
  ENTRY(NAME " xmm1, 7")                           \
  ENTRY(NAME " xmm1, 77")                          \
  ENTRY("v" NAME " xmm1, xmm2, 9")                 \
  ENTRY("v" NAME " ymm1, ymm2, 13")
#define EXTEND(NAME)            \
  ENTRY(NAME " xmm1, xmm2")     \
  ENTRY(NAME " xmm1, [rdi+3]")  \
  ENTRY("v" NAME " xmm1, xmm2") \
  ENTRY("v" NAME " ymm1, xmm2") \
  ENTRY("v" NAME " ymm1, [rdi+3]")

#define PACKED_INTEGERS                                                                                                \
  INTEGER("paddb")                                                                                                     \
  INTEGER("paddw")                                                                                                     \
  INTEGER("paddd") INTEGER("paddq") INTEGER("psubb") INTEGER("psubw") INTEGER("psubd") INTEGER("psubq") INTEGER(       \
      "paddusb") INTEGER("paddusw") INTEGER("paddsb") INTEGER("paddsw") INTEGER("psubusb") INTEGER("psubusw")          \
      INTEGER("psubsb") INTEGER("psubsw") INTEGER("pavgb") INTEGER("pavgw") INTEGER("pminub") INTEGER(                 \
          "pmaxub") INTEGER("pminsw") INTEGER("pmaxsw") INTEGER("pcmpeqb") INTEGER("pcmpeqw") INTEGER("pcmpeqd")       \
          INTEGER("pcmpgtb") INTEGER("pcmpgtw") INTEGER("pcmpgtd") INTEGER("pand") INTEGER("pandn") INTEGER(           \
              "por") INTEGER("pxor") INTEGER("pmullw") INTEGER("pmulhw") INTEGER("pmulhuw") INTEGER("pmuludq")         \
              INTEGER("pmaddwd") INTEGER("psadbw") INTEGER("packsswb") INTEGER("packssdw") INTEGER("packuswb") ALL(    \
                  "punpcklbw") ALL("punpcklwd") ALL("punpckldq") INTEGER("punpckhbw") INTEGER("punpckhwd")             \
                  INTEGER("punpckhdq") ENTRY("punpcklbw mm1, mm2") ENTRY("punpcklwd mm1, mm2") ENTRY(                  \
                      "punpckldq mm1, mm2") ALL("punpcklqdq") ALL("punpckhqdq") INTEGER("pshufb") INTEGER("phaddw")    \
                      INTEGER("phaddd") INTEGER("phaddsw") INTEGER("phsubw") INTEGER("phsubd") INTEGER("phsubsw")      \
                          INTEGER("pmaddubsw") INTEGER("psignb") INTEGER("psignw") INTEGER("psignd")                   \
                              INTEGER("pmulhrsw") MMX("pabsb") MMX("pabsw") MMX("pabsd") UNARY("pabsb") UNARY("pabsw") \
                                  UNARY("pabsd") ALL("pmulld") ALL("pmuldq") ALL("pminsb") ALL("pminsd") ALL("pminuw") \
                                      ALL("pminud") ALL("pmaxsb") ALL("pmaxsd") ALL("pmaxuw") ALL("pmaxud")            \
                                          ALL("pcmpeqq") ALL("pcmpgtq") ALL("packusdw") SHIFT("psllw") SHIFT(          \
                                              "pslld") SHIFT("psllq") SHIFT("psrlw") SHIFT("psrld")                    \
                                              SHIFT("psrlq") SHIFT("psraw") SHIFT("psrad") VEX("psllvd") VEX(          \
                                                  "psllvq") VEX("psrlvd") VEX("psrlvq")                                \
                                                  VEX("psravd") LEGACY("phminposuw") ENTRY("vphminposuw xmm1, xmm2")   \
                                                      ENTRY("pslldq xmm1, 3")                                          \
                                                          ENTRY("pslldq xmm1, 16") ENTRY("vpslldq ymm1, ymm2, 5")      \
                                                              ENTRY("psrldq xmm1, 3")                                  \
                                                                  ENTRY("psrldq xmm1, 99")                             \
                                                                      ENTRY("vpsrldq ymm1, ymm2, 5") UNARY("ptest")    \
                                                                          ENTRY("vtestps xmm1, xmm2")                  \
                                                                              ENTRY("vtestps ymm1, ymm2")              \
                                                                                  ENTRY("vtestpd xmm1, xmm2")          \
                                                                                      ENTRY("vtestpd ymm1, [rdi]")

#define SHUFFLES                                                                                                       \
  ENTRY("pshufw mm1, mm2, 0x1b")                                                                                       \
  ENTRY("pshufw mm1, [rdi], 0xc6")                                                                                     \
  UNARY_IMMEDIATE("pshufd", "0x1b") UNARY_IMMEDIATE("pshufhw", "0x72") UNARY_IMMEDIATE("pshuflw", "0x93") IMMEDIATES(  \
      "shufps") IMMEDIATES("shufpd") IMMEDIATES("blendps") IMMEDIATES("blendpd") IMMEDIATES("pblendw")                 \
      IMMEDIATE("palignr", "5") IMMEDIATE("palignr", "20") IMMEDIATE("palignr", "40") ENTRY("palignr mm1, mm2, 3")     \
          ENTRY("palignr mm1, mm2, 11") IMMEDIATES("mpsadbw") LEGACY("pblendvb") LEGACY("blendvps") LEGACY(            \
              "blendvpd") ENTRY("vpblendvb xmm1, xmm2, xmm3, xmm4") ENTRY("vpblendvb ymm1, ymm2, ymm3, ymm14")         \
              ENTRY("vblendvps ymm1, ymm2, [rdi], ymm4") ENTRY("vblendvpd xmm1, xmm2, xmm3, xmm4") ENTRY(              \
                  "vpblendd xmm1, xmm2, xmm3, 0xa5") ENTRY("vpblendd ymm1, ymm2, ymm3, 0xa5") ALL("unpcklps")          \
                  ALL("unpcklpd") ALL("unpckhps") ALL("unpckhpd") UNARY("movsldup") UNARY("movshdup") ENTRY(           \
                      "movddup xmm1, xmm2") ENTRY("movddup xmm1, [rdi+1]") ENTRY("vmovddup xmm1, xmm2")                \
                      ENTRY("vmovddup ymm1, ymm2") ENTRY("vmovddup ymm1, [rdi+1]") EXTEND("pmovsxbw") EXTEND(          \
                          "pmovsxbd") EXTEND("pmovsxbq") EXTEND("pmovsxwd") EXTEND("pmovsxwq") EXTEND("pmovsxdq")      \
                          EXTEND("pmovzxbw") EXTEND("pmovzxbd") EXTEND("pmovzxbq") EXTEND("pmovzxwd") EXTEND(          \
                              "pmovzxwq") EXTEND("pmovzxdq") ENTRY("vpermilps ymm1, ymm2, ymm3")                       \
                              ENTRY("vpermilps xmm1, xmm2, [rdi]") ENTRY("vpermilpd ymm1, ymm2, ymm3") ENTRY(          \
                                  "vpermilpd xmm1, xmm2, xmm3") ENTRY("vpermilps ymm1, ymm2, 0x36")                    \
                                  ENTRY("vpermilpd ymm1, ymm2, 0x36") ENTRY("vpermilpd xmm1, xmm2, 0x1") ENTRY(        \
                                      "vperm2f128 ymm1, ymm2, ymm3, 0x20") ENTRY("vperm2i128 ymm1, ymm2, ymm3, 0x13")  \
                                      ENTRY("vperm2i128 ymm1, ymm2, [rdi], 0x82") ENTRY("vpermd ymm1, ymm2, ymm3")     \
                                          ENTRY("vpermps ymm1, ymm2, [rdi]") ENTRY("vpermq ymm1, ymm2, 0x1b") ENTRY(   \
                                              "vpermpd ymm1, [rdi], 0xe1") ENTRY("vinsertf128 ymm1, ymm2, xmm3, 1")    \
                                              ENTRY("vinserti128 ymm1, ymm2, [rdi+1], 0") ENTRY(                       \
                                                  "vextractf128 xmm1, ymm2, 1") ENTRY("vextracti128 [rdi+1], ymm2, 1") \
                                                  ENTRY("vbroadcastss xmm1, xmm2") ENTRY("vbroadcastss ymm1, [rdi+1]") \
                                                      ENTRY("vbroadcastsd ymm1, xmm2")                                 \
                                                          ENTRY("vbroadcastsd ymm1, [rdi]")                            \
                                                              ENTRY("vbroadcastf128 ymm1, [rdi+1]")                    \
                                                                  ENTRY("vbroadcasti128 ymm1, [rdi+1]")                \
                                                                      ENTRY("vpbroadcastb xmm1, xmm2")                 \
                                                                          ENTRY("vpbroadcastb ymm1, [rdi+3]")          \
                                                                              ENTRY("vpbroadcastw ymm1, xmm2")         \
                                                                                  ENTRY("vpbroadcastd xmm1, [rdi+3]")  \
                                                                                      ENTRY("vpbroadcastq ymm1, xmm2")

#define MOVES                                                                                                                                                                                                                             \
  ENTRY("movaps xmm1, xmm2")                                                                                                                                                                                                              \
  ENTRY("movaps xmm1, [rdi]")                                                                                                                                                                                                             \
  ENTRY("movaps [rdi], xmm1") ENTRY("movups xmm1, [rdi+1]") ENTRY("movups [rdi+1], xmm1") ENTRY("movapd xmm1, [rdi]")                                                                                                                     \
      ENTRY("movdqa [rdi], xmm1") ENTRY("movdqu xmm1, [rdi+3]") ENTRY("lddqu xmm1, [rdi+3]") ENTRY(                                                                                                                                       \
          "vmovaps ymm1, ymm2") ENTRY("vmovaps ymm1, [rdi]") ENTRY("vmovups [rdi+1], ymm9")                                                                                                                                               \
          ENTRY("vmovdqa xmm1, xmm2") ENTRY("vmovdqu xmm1, [rdi+1]") ENTRY("vlddqu ymm1, [rdi+3]") ENTRY(                                                                                                                                 \
              "movntps [rdi], xmm1") ENTRY("vmovntdq [rdi], ymm1") ENTRY("movntdqa xmm1, [rdi]")                                                                                                                                          \
              ENTRY("movntq [rdi], mm1") ENTRY("movss xmm1, xmm2") ENTRY("movss xmm1, dword ptr [rdi+1]") ENTRY(                                                                                                                          \
                  "movss dword ptr [rdi+1], xmm1") ENTRY("movsd xmm1, xmm2") ENTRY("movsd xmm1, qword ptr [rdi]")                                                                                                                         \
                  ENTRY("movsd qword ptr [rdi], xmm1") ENTRY("vmovss xmm1, xmm2, xmm3") ENTRY(                                                                                                                                            \
                      "vmovss xmm1, dword ptr "                                                                                                                                                                                           \
                      "[rdi]") ENTRY("vmovsd xmm1, xmm2, xmm3") ENTRY("vmovsd qword ptr [rdi], xmm1")                                                                                                                                     \
                      ENTRY(".byte 0xf3, 0x0f, 0x11, 0xca") ENTRY(".byte 0xc5, 0xea, 0x11, 0xcb") ENTRY(                                                                                                                                  \
                          "movlps xmm1, "                                                                                                                                                                                                 \
                          "[rdi]") ENTRY("movlps [rdi], xmm1") ENTRY("movhps xmm1, [rdi]") ENTRY("movhps [rdi], xmm1")                                                                                                                    \
                          ENTRY("movhlps xmm1, xmm2") ENTRY("movlhps xmm1, xmm2") ENTRY("vmovlpd xmm1, xmm2, [rdi]")                                                                                                                      \
                              ENTRY("vmovhpd xmm1, xmm2, [rdi]") ENTRY("vmovhlps xmm1, xmm2, xmm3") ENTRY(                                                                                                                                \
                                  "vmovlhps xmm1, xmm2, xmm3") ENTRY("vmovhps [rdi], xmm2") ENTRY("movd xmm1, eax")                                                                                                                       \
                                  ENTRY("movd eax, xmm1") ENTRY("movq xmm1, rax") ENTRY("movq rax, xmm1") ENTRY(                                                                                                                          \
                                      "movd mm1, eax") ENTRY("movd eax, mm1") ENTRY("movq mm1, rax")                                                                                                                                      \
                                      ENTRY("movq rax, mm1") ENTRY("movd mm1, [rdi]") ENTRY("movd [rdi], mm1") ENTRY(                                                                                                                     \
                                          "movq mm1, [rdi]") ENTRY("movq [rdi], mm1") ENTRY("movq mm1, mm5")                                                                                                                              \
                                          ENTRY("movq xmm1, xmm2") ENTRY("movq xmm1, [rdi]") ENTRY(                                                                                                                                       \
                                              "movq [rdi], xmm1") ENTRY("vmovd xmm1, eax") ENTRY("vmovq xmm1, rax")                                                                                                                       \
                                              ENTRY("vmovq rax, xmm1") ENTRY("vmovq xmm1, xmm2") ENTRY(                                                                                                                                   \
                                                  "vmovq [rdi], "                                                                                                                                                                         \
                                                  "xmm2") ENTRY("movq2dq xmm1, mm2") ENTRY("movdq2q mm1, xmm2")                                                                                                                           \
                                                  ENTRY(                                                                                                                                                                                  \
                                                      "pmovmskb eax, "                                                                                                                                                                    \
                                                      "mm1") ENTRY("pmovmskb eax, xmm1") ENTRY("vpmovmskb eax, ymm1")                                                                                                                     \
                                                      ENTRY("movmskps eax, xmm1") ENTRY("vmovmskps eax, ymm1") ENTRY(                                                                                                                     \
                                                          "movmskpd eax, xmm1") ENTRY("vmovmskpd eax, ymm1")                                                                                                                              \
                                                          ENTRY("maskmovq mm1, mm2") ENTRY("maskmovdqu xmm1, xmm2") ENTRY(                                                                                                                \
                                                              "vmaskmovdqu xmm1, xmm2") ENTRY("pinsrb xmm1, eax, 5")                                                                                                                      \
                                                              ENTRY("pinsrb xmm1, [rdi], 21") ENTRY(                                                                                                                                      \
                                                                  "pinsrw xmm1, eax, 5") ENTRY("pinsrw mm1, eax, 3")                                                                                                                      \
                                                                  ENTRY("pinsrw mm1, [rdi], 1") ENTRY(                                                                                                                                    \
                                                                      "pinsrd xmm1, eax, 2")                                                                                                                                              \
                                                                      ENTRY("pinsrq xmm1, rax, 1") ENTRY(                                                                                                                                 \
                                                                          "vpinsrb xmm1, xmm2, eax, 3")                                                                                                                                   \
                                                                          ENTRY("vpinsrd xmm1, xmm2, [rdi], 3") ENTRY(                                                                                                                    \
                                                                              "vpinsrq xmm1, xmm2, rax, 0")                                                                                                                               \
                                                                              ENTRY("pextrb eax, xmm1, 5") ENTRY(                                                                                                                         \
                                                                                  "pextrb [rdi], xmm1, 5")                                                                                                                                \
                                                                                  ENTRY("pextrw eax, xmm1, 5") ENTRY(                                                                                                                     \
                                                                                      "pextrw eax, mm1, 2")                                                                                                                               \
                                                                                      ENTRY("pextrw [rdi], xmm1, 5") ENTRY(                                                                                                               \
                                                                                          "pextrd eax, xmm1, 3")                                                                                                                          \
                                                                                          ENTRY("pextrq rax, xmm1, 1") ENTRY(                                                                                                             \
                                                                                              "vpextrq [rdi], xmm1, "                                                                                                                     \
                                                                                              "1")                                                                                                                                        \
                                                                                              ENTRY(                                                                                                                                      \
                                                                                                  "extractps eax, "                                                                                                                       \
                                                                                                  "xmm1, 2")                                                                                                                              \
                                                                                                  ENTRY(                                                                                                                                  \
                                                                                                      "extractps "                                                                                                                        \
                                                                                                      "[rdi], xmm1, "                                                                                                                     \
                                                                                                      "2")                                                                                                                                \
                                                                                                      ENTRY(                                                                                                                              \
                                                                                                          "insertps "                                                                                                                     \
                                                                                                          "xmm1, "                                                                                                                        \
                                                                                                          "xmm2, "                                                                                                                        \
                                                                                                          "0x9a")                                                                                                                         \
                                                                                                          ENTRY(                                                                                                                          \
                                                                                                              "insert"                                                                                                                    \
                                                                                                              "ps "                                                                                                                       \
                                                                                                              "xmm1, "                                                                                                                    \
                                                                                                              "[rdi],"                                                                                                                    \
                                                                                                              " "                                                                                                                         \
                                                                                                              "0xe1")                                                                                                                     \
                                                                                                              ENTRY(                                                                                                                      \
                                                                                                                  "vi"                                                                                                                    \
                                                                                                                  "ns"                                                                                                                    \
                                                                                                                  "er"                                                                                                                    \
                                                                                                                  "tp"                                                                                                                    \
                                                                                                                  "s "                                                                                                                    \
                                                                                                                  "xm"                                                                                                                    \
                                                                                                                  "m1"                                                                                                                    \
                                                                                                                  ", "                                                                                                                    \
                                                                                                                  "xm"                                                                                                                    \
                                                                                                                  "m2"                                                                                                                    \
                                                                                                                  ", "                                                                                                                    \
                                                                                                                  "xm"                                                                                                                    \
                                                                                                                  "m3"                                                                                                                    \
                                                                                                                  ", "                                                                                                                    \
                                                                                                                  "0x"                                                                                                                    \
                                                                                                                  "6"                                                                                                                     \
                                                                                                                  "4")                                                                                                                    \
                                                                                                                  ENTRY(                                                                                                                  \
                                                                                                                      "emms")                                                                                                             \
                                                                                                                      ENTRY(                                                                                                              \
                                                                                                                          "vzeroupper")                                                                                                   \
                                                                                                                          ENTRY(                                                                                                          \
                                                                                                                              "vzeroal"                                                                                                   \
                                                                                                                              "l")                                                                                                        \
                                                                                                                              ENTRY(                                                                                                      \
                                                                                                                                  "vmaskmovps"                                                                                            \
                                                                                                                                  " xmm1, "                                                                                               \
                                                                                                                                  "xmm2, "                                                                                                \
                                                                                                                                  "[rdi]")                                                                                                \
                                                                                                                                  ENTRY(                                                                                                  \
                                                                                                                                      "vmaskm"                                                                                            \
                                                                                                                                      "ovps "                                                                                             \
                                                                                                                                      "ymm1, "                                                                                            \
                                                                                                                                      "ymm2, "                                                                                            \
                                                                                                                                      "[rdi]")                                                                                            \
                                                                                                                                      ENTRY(                                                                                              \
                                                                                                                                          "vm"                                                                                            \
                                                                                                                                          "as"                                                                                            \
                                                                                                                                          "km"                                                                                            \
                                                                                                                                          "ov"                                                                                            \
                                                                                                                                          "pd"                                                                                            \
                                                                                                                                          " ["                                                                                            \
                                                                                                                                          "rd"                                                                                            \
                                                                                                                                          "i]"                                                                                            \
                                                                                                                                          ", "                                                                                            \
                                                                                                                                          "ym"                                                                                            \
                                                                                                                                          "m1"                                                                                            \
                                                                                                                                          ", "                                                                                            \
                                                                                                                                          "ym"                                                                                            \
                                                                                                                                          "m"                                                                                             \
                                                                                                                                          "2")                                                                                            \
                                                                                                                                          ENTRY(                                                                                          \
                                                                                                                                              "vpmaskmovd [rdi], xmm1, xmm2")                                                             \
                                                                                                                                              ENTRY(                                                                                      \
                                                                                                                                                  "vpmaskmovq ymm1, ymm2, [rdi]")                                                         \
                                                                                                                                                  ENTRY(                                                                                  \
                                                                                                                                                      "vpmaskmovq [rdi], xmm1, xmm2")                                                     \
                                                                                                                                                      ENTRY(                                                                              \
                                                                                                                                                          "pandn xmm2, xmm3; vpsrld ymm4, ymm4, 26; vpgatherdd ymm1, [rdi+ymm4*1], ymm2") \
                                                                                                                                                          ENTRY(                                                                          \
                                                                                                                                                              "vpsrld xmm4, xmm4, 27; vpgatherdq ymm1, [rdi+xmm4*1], ymm2")               \
                                                                                                                                                              ENTRY(                                                                      \
                                                                                                                                                                  "vpsrlq ymm4, ymm4, 59; vpgatherqd xmm1, [rdi+ymm4*2], xmm2")           \
                                                                                                                                                                  ENTRY(                                                                  \
                                                                                                                                                                      "vpsrlq xmm4, xmm4, 60; vgatherqpd xmm1, [rdi+xmm4*4], xmm2")       \
                                                                                                                                                                      ENTRY(                                                              \
                                                                                                                                                                          "vpsrld xmm4, xmm4, 28; vgatherdps xmm1, [rdi+xmm4*4], xmm2")   \
                                                                                                                                                                          ENTRY(                                                          \
                                                                                                                                                                              "ldmxcsr [rsi]")                                            \
                                                                                                                                                                              ENTRY(                                                      \
                                                                                                                                                                                  "stmxcsr [rdi]")                                        \
                                                                                                                                                                                  ENTRY(                                                  \
                                                                                                                                                                                      "vstmxcsr [rdi]")

#define COMPARE_ALL(NAME, IMM)                \
  ENTRY("v" NAME "ps ymm1, ymm2, ymm3, " IMM) \
  ENTRY("v" NAME "sd xmm1, xmm2, xmm3, " IMM)
#define COMPARE(IMM)      \
  IMMEDIATE("cmpps", IMM) \
  IMMEDIATE("cmppd", IMM) ENTRY("cmpss xmm1, dword ptr [rdi], " IMM) ENTRY("cmpsd xmm1, xmm2, " IMM)
#define FLOATS                                                                                                        \
  ARITHMETIC("add")                                                                                                   \
  ARITHMETIC("sub")                                                                                                   \
  ARITHMETIC("mul") ARITHMETIC("div") ARITHMETIC("min") ARITHMETIC("max") UNARY("sqrtps") UNARY("sqrtpd") SCALAR(     \
      "sqrtss", "dword") SCALAR("sqrtsd", "qword") UNARY("rcpps") UNARY("rsqrtps") SCALAR("rcpss", "dword")           \
      SCALAR("rsqrtss", "dword") ALL("andps") ALL("andnpd") ALL("orps") ALL("xorpd") ALL("addsubps") ALL("addsubpd")  \
          ALL("haddps") ALL("haddpd") ALL("hsubps") ALL("hsubpd") COMPARE("0") COMPARE("1") COMPARE("2") COMPARE("3") \
              COMPARE("4") COMPARE("5") COMPARE("6") COMPARE("7") COMPARE_ALL("cmp", "8") COMPARE_ALL("cmp", "9")     \
                  COMPARE_ALL("cmp", "10") COMPARE_ALL("cmp", "11") COMPARE_ALL("cmp", "12") COMPARE_ALL("cmp", "13") \
                      COMPARE_ALL("cmp", "14") COMPARE_ALL("cmp", "15") COMPARE_ALL("cmp", "16") COMPARE_ALL(         \
                          "cmp", "17") COMPARE_ALL("cmp", "18") COMPARE_ALL("cmp", "19") COMPARE_ALL("cmp", "20")     \
                          COMPARE_ALL("cmp", "21") COMPARE_ALL("cmp", "22") COMPARE_ALL("cmp", "23") COMPARE_ALL(     \
                              "cmp", "24") COMPARE_ALL("cmp", "25") COMPARE_ALL("cmp", "26") COMPARE_ALL("cmp", "27") \
                              COMPARE_ALL("cmp", "28") COMPARE_ALL("cmp", "29") COMPARE_ALL("cmp", "30")              \
                                  COMPARE_ALL("cmp", "31") ENTRY("comiss xmm1, xmm2")                                 \
                                      ENTRY("comisd xmm1, qword ptr [rdi]") ENTRY("ucomiss xmm1, dword ptr [rdi]")    \
                                          ENTRY("ucomisd xmm1, xmm2") ENTRY("vcomisd xmm1, xmm2")                     \
                                              ENTRY("vucomiss xmm1, xmm2") UNARY_IMMEDIATE("roundps", "0")            \
                                                  UNARY_IMMEDIATE("roundps", "1") UNARY_IMMEDIATE("roundps", "2")     \
                                                      UNARY_IMMEDIATE("roundpd", "3") UNARY_IMMEDIATE("roundpd", "4") \
                                                          UNARY_IMMEDIATE("roundpd", "12")                            \
                                                              UNARY_IMMEDIATE("roundpd", "0")                         \
                                                                  ENTRY("roundss xmm1, xmm2, 9")                      \
                                                                      ENTRY("roundsd xmm1, qword ptr [rdi], 2")       \
                                                                          ENTRY("vroundsd xmm1, xmm2, xmm3, 0")       \
                                                                              ENTRY("vroundss xmm1, xmm2, xmm3, 4")   \
                                                                                  IMMEDIATE("dpps", "0xf1")           \
                                                                                      IMMEDIATE("dpps", "0x7e")       \
                                                                                          IMMEDIATE("dpps", "0xff")   \
                                                                                              IMMEDIATES128("dppd")

#define CONVERSIONS                                                                                                    \
  UNARY("cvtdq2ps")                                                                                                    \
  UNARY("cvtps2dq")                                                                                                    \
  UNARY("cvttps2dq") ENTRY("cvtdq2pd xmm1, xmm2") ENTRY("cvtdq2pd xmm1, [rdi+1]") ENTRY("vcvtdq2pd ymm1, xmm2")        \
      ENTRY("cvtps2pd xmm1, xmm2") ENTRY("cvtps2pd xmm1, [rdi+1]") ENTRY("vcvtps2pd ymm1, xmm2")                       \
          ENTRY("vcvtps2pd xmm1, xmm2") ENTRY("cvtpd2ps xmm1, xmm2") ENTRY("vcvtpd2ps xmm1, ymm2")                     \
              ENTRY("vcvtpd2ps xmm1, xmm2") ENTRY("cvtpd2dq xmm1, xmm2") ENTRY("vcvtpd2dq xmm1, ymm2")                 \
                  ENTRY("cvttpd2dq xmm1, [rdi]") ENTRY("vcvttpd2dq xmm1, ymm2") ENTRY("cvtss2sd xmm1, xmm2")           \
                      ENTRY("cvtss2sd xmm1, dword ptr [rdi+1]") ENTRY("vcvtss2sd xmm1, xmm2, xmm3")                    \
                          ENTRY("cvtsd2ss xmm1, xmm2") ENTRY("vcvtsd2ss xmm1, xmm2, xmm3") ENTRY("cvtsi2ss xmm1, eax") \
                              ENTRY("cvtsi2ss xmm1, rax") ENTRY("cvtsi2sd xmm1, eax") ENTRY("cvtsi2sd xmm1, rax")      \
                                  ENTRY("cvtsi2sd xmm1, dword ptr [rdi+1]") ENTRY("vcvtsi2ss xmm1, xmm2, rax") ENTRY(  \
                                      "cvtss2si eax, xmm1") ENTRY("cvtss2si rax, xmm1") ENTRY("cvttss2si eax, xmm1")   \
                                      ENTRY("cvttss2si rax, dword ptr [rdi]") ENTRY("cvtsd2si eax, xmm1")              \
                                          ENTRY("cvtsd2si rax, xmm1") ENTRY("cvttsd2si eax, qword ptr [rdi]")          \
                                              ENTRY("vcvttsd2si rax, xmm1") ENTRY("cvtpi2ps xmm1, mm2")                \
                                                  ENTRY("cvtpi2ps xmm1, [rdi]") ENTRY("cvtpi2pd xmm1, mm2")            \
                                                      ENTRY("cvtpi2pd xmm1, [rdi]") ENTRY("cvtps2pi mm1, xmm2") ENTRY( \
                                                          "cvttps2pi mm1, [rdi]") ENTRY("cvtpd2pi mm1, xmm2")          \
                                                          ENTRY("cvttpd2pi mm1, [rdi]") ENTRY("vcvtph2ps xmm1, xmm2")  \
                                                              ENTRY("vcvtph2ps ymm1, [rdi+1]")                         \
                                                                  ENTRY("vcvtps2ph xmm1, xmm2, 0")                     \
                                                                      ENTRY("vcvtps2ph xmm1, ymm2, 1")                 \
                                                                          ENTRY("vcvtps2ph xmm1, ymm2, 2")             \
                                                                              ENTRY("vcvtps2ph [rdi], ymm2, 3")        \
                                                                                  ENTRY("vcvtps2ph [rdi+1], xmm2, 4")

#define FMA_ONE(NAME) \
  ENTRY(NAME "ps xmm1, xmm2, xmm3") ENTRY(NAME "pd ymm1, ymm2, ymm3") ENTRY(NAME "ps ymm1, ymm2, [rdi]")
#define FMA_SCALAR(NAME) ENTRY(NAME "ss xmm1, xmm2, xmm3") ENTRY(NAME "sd xmm1, xmm2, qword ptr [rdi]")
#define FMA(NAME) FMA_ONE(NAME "132") FMA_ONE(NAME "213") FMA_ONE(NAME "231")
#define FUSED                                                                                                     \
  FMA("vfmadd")                                                                                                   \
  FMA("vfmsub")                                                                                                   \
  FMA("vfnmadd") FMA("vfnmsub") FMA("vfmaddsub") FMA("vfmsubadd") FMA_SCALAR("vfmadd132") FMA_SCALAR("vfmadd213") \
      FMA_SCALAR("vfmadd231") FMA_SCALAR("vfmsub132") FMA_SCALAR("vfnmadd213") FMA_SCALAR("vfnmsub231")

#define TEXT(NAME, IMM)           \
  ENTRY(NAME " xmm1, xmm2, " IMM) \
  ENTRY("mov eax, 5; mov edx, 9; " NAME " xmm1, [rdi+1], " IMM)
#define TEXTS(IMM) TEXT("pcmpestri", IMM) TEXT("pcmpestrm", IMM) TEXT("pcmpistri", IMM) TEXT("pcmpistrm", IMM)
#define CRYPTO                                                                                                         \
  LEGACY("aesenc")                                                                                                     \
  LEGACY("aesenclast")                                                                                                 \
  LEGACY("aesdec") LEGACY("aesdeclast") LEGACY("aesimc") VEX128("aesenc") VEX128("aesdeclast")                         \
      ENTRY("vaesimc xmm1, xmm2") ENTRY("aeskeygenassist xmm1, xmm2, 0x1b") ENTRY("vaeskeygenassist xmm1, xmm2, 0x36") \
          ENTRY("pclmulqdq xmm1, xmm2, 0") ENTRY("pclmulqdq xmm1, xmm2, 1") ENTRY("pclmulqdq xmm1, xmm2, 0x10")        \
              ENTRY("vpclmulqdq xmm1, xmm2, xmm3, 0x11") LEGACY("sha1nexte") LEGACY("sha1msg1") LEGACY("sha1msg2")     \
                  ENTRY("sha1rnds4 xmm1, xmm2, 0") ENTRY("sha1rnds4 xmm1, xmm2, 1") ENTRY("sha1rnds4 xmm1, xmm2, 2")   \
                      ENTRY("sha1rnds4 xmm1, [rdi], 3") LEGACY("sha256msg1") LEGACY("sha256msg2")                      \
                          LEGACY("sha256rnds2") TEXTS("0x00") TEXTS("0x01") TEXTS("0x06") TEXTS("0x07") TEXTS("0x08")  \
                              TEXTS("0x0b") TEXTS("0x0c") TEXTS("0x0d") TEXTS("0x1a") TEXTS("0x34") TEXTS("0x44")      \
                                  TEXTS("0x4d") TEXTS("0x58") TEXTS("0x72") ENTRY("rex.w pcmpestri xmm1, xmm2, 0")

#define GENERAL                                                                                                        \
  ENTRY_WITH("b", "andn eax, ecx, edx")                                                                                \
  ENTRY_WITH("b", "andn rax, rcx, [rdi]")                                                                              \
  ENTRY_WITH("c", "bextr eax, ecx, edx") ENTRY_WITH("c", "bextr rax, [rdi], rdx") ENTRY_WITH("b", "blsr eax, ecx")     \
      ENTRY_WITH("b", "blsr rax, [rdi]") ENTRY_WITH("b", "blsmsk rax, rcx") ENTRY_WITH("b", "blsi eax, ecx")           \
          ENTRY_WITH("b", "blsi rax, rcx") ENTRY_WITH("b", "bzhi eax, ecx, edx") ENTRY_WITH("b", "bzhi rax, rcx, rdx") \
              ENTRY("pdep eax, ecx, edx") ENTRY("pdep rax, rcx, [rdi]") ENTRY("pext eax, ecx, edx")                    \
                  ENTRY("pext rax, rcx, rdx") ENTRY("mulx eax, ebx, ecx") ENTRY("mulx rax, rbx, [rdi]")                \
                      ENTRY("mulx rax, rax, rcx") ENTRY("rorx eax, ecx, 7") ENTRY("rorx rax, rcx, 43")                 \
                          ENTRY("sarx eax, ecx, edx") ENTRY("shlx rax, [rdi], rdx") ENTRY("shrx rax, rcx, rdx")        \
                              ENTRY("adcx eax, ecx") ENTRY("adcx rax, [rdi]") ENTRY("adox eax, ecx")                   \
                                  ENTRY("adox rax, rcx") ENTRY("popcnt ax, cx") ENTRY("popcnt eax, ecx")               \
                                      ENTRY("popcnt rax, [rdi]") ENTRY_WITH("c", "lzcnt ax, cx")                       \
                                          ENTRY_WITH("c", "lzcnt eax, ecx") ENTRY_WITH("c", "lzcnt rax, [rdi]")        \
                                              ENTRY_WITH("c", "tzcnt ax, cx") ENTRY_WITH("c", "tzcnt eax, ecx")        \
                                                  ENTRY_WITH("c", "tzcnt rax, [rdi]") ENTRY("movbe ax, [rdi]")         \
                                                      ENTRY("movbe eax, [rdi]") ENTRY("movbe rax, [rdi]")              \
                                                          ENTRY("movbe [rdi], cx") ENTRY("movbe [rdi], ecx")           \
                                                              ENTRY("movbe [rdi], rcx") ENTRY("crc32 eax, cl")         \
                                                                  ENTRY("crc32 eax, ch") ENTRY("crc32 eax, cx")        \
                                                                      ENTRY("crc32 eax, ecx") ENTRY("crc32 rax, rcx")  \
                                                                          ENTRY("crc32 rax, byte ptr [rdi]")

#define X87_MEMORY(NAME)               \
  ENTRY("f" NAME " dword ptr [rdi+1]") \
  ENTRY("f" NAME " qword ptr [rdi+1]") ENTRY("fi" NAME " word ptr [rdi+1]") ENTRY("fi" NAME " dword ptr [rdi+1]")
#define X87_ARITHMETIC(NAME) \
  X87_MEMORY(NAME) ENTRY("f" NAME " st, st(3)") ENTRY("f" NAME " st(2), st") ENTRY("f" NAME "p st(1), st")
#define X87                                                                                                            \
  X87_ARITHMETIC("add")                                                                                                \
  X87_ARITHMETIC("sub")                                                                                                \
  X87_ARITHMETIC("subr") X87_ARITHMETIC("mul") X87_ARITHMETIC("div") X87_ARITHMETIC("divr") X87_MEMORY(                \
      "com") X87_MEMORY("comp") ENTRY("fcom st(1)") ENTRY("fcomp st(2)") ENTRY("fcompp") ENTRY("fucom st(1)")          \
      ENTRY("fucomp st(1)") ENTRY("fucompp") ENTRY("fcomi st, st(1)") ENTRY("fcomip st, st(1)") ENTRY(                 \
          "fucomi st, st(2)") ENTRY("fucomip st, st(2)") ENTRY("fcmovb st, st(1)") ENTRY("fcmove st, st(1)")           \
          ENTRY("fcmovbe st, st(1)") ENTRY("fcmovu st, st(1)") ENTRY("fcmovnb st, st(1)") ENTRY("fcmovne st, st(1)")   \
              ENTRY("fcmovnbe st, st(1)") ENTRY("fcmovnu st, st(1)") ENTRY("fchs") ENTRY("fabs") ENTRY("ftst") ENTRY(  \
                  "fxam") ENTRY("fld1") ENTRY("fldl2t") ENTRY("fldl2e") ENTRY("fldpi") ENTRY("fldlg2") ENTRY("fldln2") \
                  ENTRY("fldz") ENTRY("f2xm1") ENTRY("fyl2x") ENTRY("fptan") ENTRY("fpatan") ENTRY("fxtract") ENTRY(   \
                      "fprem1") ENTRY("fdecstp") ENTRY("fincstp") ENTRY("fprem") ENTRY("fyl2xp1") ENTRY("fsqrt")       \
                      ENTRY("fsincos") ENTRY("frndint") ENTRY("fscale") ENTRY("fsin") ENTRY("fcos") ENTRY(             \
                          "fxch st(3)") ENTRY("fld st(2)") ENTRY("fst st(3)") ENTRY("fstp st(1)") ENTRY("ffree st(2)") \
                          ENTRY("fnop") ENTRY("fld dword ptr [rdi+1]") ENTRY("fld qword ptr [rdi+1]") ENTRY(           \
                              "fld tbyte ptr [rdi+1]") ENTRY("fst dword ptr [rdi+1]") ENTRY("fst qword ptr [rdi+1]")   \
                              ENTRY("fstp dword ptr [rdi+1]") ENTRY("fstp qword ptr [rdi+1]")                          \
                                  ENTRY("fstp tbyte ptr [rdi+1]") ENTRY("fild word ptr [rdi+1]")                       \
                                      ENTRY("fild dword ptr [rdi+1]") ENTRY("fild qword ptr [rdi+1]")                  \
                                          ENTRY("fist word ptr [rdi+1]") ENTRY("fist dword ptr [rdi+1]")               \
                                              ENTRY("fistp word ptr [rdi+1]") ENTRY("fistp dword ptr [rdi+1]")         \
                                                  ENTRY("fistp qword ptr [rdi+1]") ENTRY("fisttp word ptr [rdi+1]")    \
                                                      ENTRY("fisttp dword ptr [rdi+1]")                                \
                                                          ENTRY("fisttp qword ptr [rdi+1]") ENTRY("fbld [rdi+1]")      \
                                                              ENTRY("fbstp [rdi+1]") ENTRY("fninit") ENTRY("fnclex")   \
                                                                  ENTRY("fnstcw [rdi]") ENTRY("fnstsw [rdi]")          \
                                                                      ENTRY("fnstsw ax") ENTRY("fldcw [rsi+8]")        \
                                                                          ENTRY("fwait")
// clang-format on
