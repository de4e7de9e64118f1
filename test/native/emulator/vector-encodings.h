// Encodings that stand in no list of vector-list.h: the other widths of its instructions, and scalars with VEX.L set,
// which no assembler writes unasked.
#pragma once

#include "test/native/emulator/vector-list.h"

// A list:
// clang-format off
#define BYTES_OF(TEXT) ENTRY(".byte " TEXT)
/** xmm1, xmm2, xmm3 with VEX.256 of map 0F: F3 and F2. */
#define WIDE_SINGLE(OPCODE) BYTES_OF("0xc5, 0xee, " OPCODE ", 0xcb")
#define WIDE_DOUBLE(OPCODE) BYTES_OF("0xc5, 0xef, " OPCODE ", 0xcb")
#define WIDE_SCALARS(OPCODE) WIDE_SINGLE(OPCODE) WIDE_DOUBLE(OPCODE)
#define WIDE_FMA(OPCODE) BYTES_OF("0xc4, 0xe2, 0x6d, " OPCODE ", 0xcb") BYTES_OF("0xc4, 0xe2, 0xed, " OPCODE ", 0xcb")

#define LOADS_AND_STORES \
  ENTRY("vmovups xmm1, [rdi+1]") ENTRY("vmovups ymm1, [rdi+1]") ENTRY("vmovups [rdi+1], xmm1") \
  ENTRY("movupd xmm1, [rdi+1]") ENTRY("vmovupd xmm1, [rdi+1]") ENTRY("vmovupd ymm1, [rdi+1]") \
  ENTRY("vmovupd [rdi+1], xmm1") ENTRY("vmovupd [rdi+1], ymm1") ENTRY("vmovsd xmm1, qword ptr [rdi]") \
  ENTRY("vmovss dword ptr [rdi], xmm1") BYTES_OF("0xf2, 0x0f, 0x11, 0xca") BYTES_OF("0xc5, 0xeb, 0x11, 0xcb") \
  WIDE_SCALARS("0x10") WIDE_SCALARS("0x11") BYTES_OF("0xc5, 0xfe, 0x10, 0x0f") BYTES_OF("0xc5, 0xff, 0x10, 0x0f") \
  BYTES_OF("0xc5, 0xfe, 0x11, 0x0f") BYTES_OF("0xc5, 0xff, 0x11, 0x0f") ENTRY("movlpd xmm1, [rdi]") \
  ENTRY("movlpd [rdi], xmm1") ENTRY("vmovlps [rdi], xmm1") ENTRY("vmovlpd [rdi], xmm1") \
  ENTRY("movhpd xmm1, [rdi]") ENTRY("movhpd [rdi], xmm1") ENTRY("vmovhpd [rdi], xmm1") \
  ENTRY("vmovaps xmm1, xmm2") ENTRY("vmovapd xmm1, xmm2") ENTRY("vmovapd ymm1, ymm2") \
  ENTRY("vmovaps [rdi], xmm1") ENTRY("vmovaps [rdi], ymm1") ENTRY("movapd [rdi], xmm1") \
  ENTRY("vmovapd [rdi], xmm1") ENTRY("vmovapd [rdi], ymm1") ENTRY("vmovntps [rdi], xmm1") \
  ENTRY("vmovntps [rdi], ymm1") ENTRY("movntpd [rdi], xmm1") ENTRY("vmovntpd [rdi], xmm1") \
  ENTRY("vmovntpd [rdi], ymm1") ENTRY("movdqa xmm1, xmm2") ENTRY("vmovdqa ymm1, ymm2") \
  ENTRY("vmovdqu ymm1, [rdi+1]") ENTRY("vmovdqa [rdi], xmm1") ENTRY("vmovdqa [rdi], ymm1") \
  ENTRY("movdqu [rdi+1], xmm1") ENTRY("vmovdqu [rdi+1], xmm1") ENTRY("vmovdqu [rdi+1], ymm1") \
  ENTRY("movntdq [rdi], xmm1") ENTRY("vmovntdq [rdi], xmm1") ENTRY("vlddqu xmm1, [rdi+3]") \
  ENTRY("vmovntdqa xmm1, [rdi]") ENTRY("vmovntdqa ymm1, [rdi]") ENTRY("movnti [rdi], eax") \
  ENTRY("vmovmskps eax, xmm1") ENTRY("vmovmskpd eax, xmm1") ENTRY("vpmovmskb eax, xmm1") \
  ENTRY("vpinsrw xmm1, xmm2, eax, 3") ENTRY("vpextrw eax, xmm1, 3") ENTRY("vpextrb eax, xmm1, 3") \
  ENTRY("vpextrw [rdi], xmm1, 3") ENTRY("vextractps eax, xmm1, 2") ENTRY("vbroadcastss xmm1, xmm2") \
  ENTRY("vbroadcastss xmm1, [rdi+1]") ENTRY("vbroadcastss ymm1, xmm2") ENTRY("vbroadcastss ymm1, [rdi+1]") \
  ENTRY("vpbroadcastd ymm1, xmm2") ENTRY("vpbroadcastq xmm1, xmm2") ENTRY("vpbroadcastw xmm1, xmm2") \
  MASKED("vmaskmovps") MASKED("vmaskmovpd") MASKED("vpmaskmovd") MASKED("vpmaskmovq") ENTRY("vldmxcsr [rsi]") \
  ENTRY("mfence") ENTRY("sfence")
#define MASKED(NAME) \
  ENTRY(NAME " xmm1, xmm2, [rdi]") ENTRY(NAME " ymm1, ymm2, [rdi]") ENTRY(NAME " [rdi], xmm1, xmm2") \
  ENTRY(NAME " [rdi], ymm1, ymm2")

/** The indices are made small first. */
#define GATHERS \
  ENTRY("vpsrld xmm4, xmm4, 27; vpgatherdd xmm1, [rdi+xmm4*1], xmm2") \
  ENTRY("vpsrld xmm4, xmm4, 27; vpgatherdq xmm1, [rdi+xmm4*1], xmm2") \
  ENTRY("vpsrlq xmm4, xmm4, 60; vpgatherqd xmm1, [rdi+xmm4*2], xmm2") \
  ENTRY("vpsrlq xmm4, xmm4, 60; vpgatherqq xmm1, [rdi+xmm4*4], xmm2") \
  ENTRY("vpsrlq ymm4, ymm4, 60; vpgatherqq ymm1, [rdi+ymm4*4], ymm2") \
  ENTRY("vpsrld ymm4, ymm4, 28; vgatherdps ymm1, [rdi+ymm4*4], ymm2") \
  ENTRY("vpsrld xmm4, xmm4, 28; vgatherdpd xmm1, [rdi+xmm4*4], xmm2") \
  ENTRY("vpsrld xmm4, xmm4, 28; vgatherdpd ymm1, [rdi+xmm4*4], ymm2") \
  ENTRY("vpsrlq xmm4, xmm4, 60; vgatherqps xmm1, [rdi+xmm4*4], xmm2") \
  ENTRY("vpsrlq ymm4, ymm4, 60; vgatherqps xmm1, [rdi+ymm4*4], xmm2") \
  ENTRY("vpsrlq ymm4, ymm4, 60; vgatherqpd ymm1, [rdi+ymm4*4], ymm2")

#define OTHER_WIDTHS \
  ENTRY("vpsrlw xmm1, xmm2, xmm3") ENTRY("vpsrld xmm1, xmm2, xmm3") ENTRY("vpsrlq xmm1, xmm2, xmm3") \
  ENTRY("vpsraw xmm1, xmm2, xmm3") ENTRY("vpsrad xmm1, xmm2, xmm3") ENTRY("vpsllw xmm1, xmm2, xmm3") \
  ENTRY("vpslld xmm1, xmm2, xmm3") ENTRY("vpsllq xmm1, xmm2, xmm3") ENTRY("vpsrldq xmm1, xmm2, 3") \
  ENTRY("vpslldq xmm1, xmm2, 3") ALL("andpd") ALL("andnps") ALL("orpd") VEX("xorps") \
  ENTRY("vpermilps xmm1, xmm2, 0x36") ENTRY("vblendvps xmm1, xmm2, xmm3, xmm4") \
  ENTRY("vblendvpd ymm1, ymm2, ymm3, ymm4") ENTRY("vaesenclast xmm1, xmm2, xmm3") \
  ENTRY("vaesdec xmm1, xmm2, xmm3") ENTRY("vpcmpestrm xmm1, xmm2, 0x0c") ENTRY("vpcmpestri xmm1, xmm2, 0x0c") \
  ENTRY("vpcmpistrm xmm1, xmm2, 0x0c") ENTRY("vpcmpistri xmm1, xmm2, 0x0c")

#define FMA_OTHERS(NAME) \
  ENTRY(NAME "132pd xmm1, xmm2, xmm3") ENTRY(NAME "213pd xmm1, xmm2, xmm3") ENTRY(NAME "231pd xmm1, xmm2, xmm3")
#define FMA_SCALARS(NAME) FMA_SCALAR(NAME "132") FMA_SCALAR(NAME "213") FMA_SCALAR(NAME "231")
#define OTHER_FLOATS \
  WIDE_SCALARS("0x51") WIDE_SCALARS("0x58") WIDE_SCALARS("0x59") WIDE_SCALARS("0x5c") WIDE_SCALARS("0x5d") \
  WIDE_SCALARS("0x5e") WIDE_SCALARS("0x5f") WIDE_SCALARS("0x5a") WIDE_SINGLE("0x52") WIDE_SINGLE("0x53") \
  BYTES_OF("0xc5, 0xee, 0xc2, 0xcb, 0x01") BYTES_OF("0xc5, 0xef, 0xc2, 0xcb, 0x01") \
  BYTES_OF("0xc4, 0xe3, 0x6d, 0x0a, 0xcb, 0x01") BYTES_OF("0xc4, 0xe3, 0x6d, 0x0b, 0xcb, 0x01") \
  BYTES_OF("0xc5, 0xee, 0x2a, 0xc8") BYTES_OF("0xc5, 0xef, 0x2a, 0xc8") BYTES_OF("0xc5, 0xfe, 0x2c, 0xc1") \
  BYTES_OF("0xc5, 0xff, 0x2c, 0xc1") BYTES_OF("0xc5, 0xfe, 0x2d, 0xc1") BYTES_OF("0xc5, 0xff, 0x2d, 0xc1") \
  BYTES_OF("0xc5, 0xfc, 0x2e, 0xca") BYTES_OF("0xc5, 0xfd, 0x2e, 0xca") BYTES_OF("0xc5, 0xfc, 0x2f, 0xca") \
  BYTES_OF("0xc5, 0xfd, 0x2f, 0xca") ENTRY("vcmpss xmm1, xmm2, xmm3, 1") ENTRY("vcvtsi2sd xmm1, xmm2, rax") \
  ENTRY("vcvttss2si eax, xmm1") ENTRY("vcvtss2si eax, xmm1") ENTRY("vcvtsd2si eax, xmm1") \
  ENTRY("vucomisd xmm1, xmm2") ENTRY("vcomiss xmm1, xmm2") ENTRY("vcvttpd2dq xmm1, xmm2") \
  ENTRY("vcvtdq2pd xmm1, xmm2") ENTRY("vcvtpd2dq xmm1, xmm2") FMA_OTHERS("vfmadd") FMA_OTHERS("vfmsub") \
  FMA_OTHERS("vfnmadd") FMA_OTHERS("vfnmsub") FMA_OTHERS("vfmaddsub") FMA_OTHERS("vfmsubadd") \
  FMA_SCALARS("vfmadd") FMA_SCALARS("vfmsub") FMA_SCALARS("vfnmadd") FMA_SCALARS("vfnmsub") WIDE_FMA("0x99") \
  WIDE_FMA("0xa9") WIDE_FMA("0xb9") WIDE_FMA("0x9b") WIDE_FMA("0xab") WIDE_FMA("0xbb") WIDE_FMA("0x9d") \
  WIDE_FMA("0xad") WIDE_FMA("0xbd") WIDE_FMA("0x9f") WIDE_FMA("0xaf") WIDE_FMA("0xbf")
// clang-format on
