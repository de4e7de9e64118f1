/** Random instruction sequences for ring 3 of 64-bit mode, of what both processors have and the manuals define. */
import { CpuidFeature, Decoder, DecoderOptions, FlowControl, Mnemonic, OpKind, Register } from 'iced-x86';
import { type Case, layout } from './world.ts';

/** xorshift128+: the same sequence for a seed on every machine. */
export class Random {
  #a: bigint;
  #b: bigint;
  constructor(seed: bigint) {
    this.#a = BigInt.asUintN(64, seed * 0x9e3779b97f4a7c15n + 1n);
    this.#b = BigInt.asUintN(64, this.#a ^ 0xda942042e4dd58b5n);
    for (let i = 0; i < 8; i++) this.next();
  }
  next(): bigint {
    let x = this.#a;
    const y = this.#b;
    this.#a = y;
    x = BigInt.asUintN(64, x ^ (x << 23n));
    this.#b = x ^ y ^ (x >> 17n) ^ (y >> 26n);
    return BigInt.asUintN(64, this.#b + y);
  }
  below(bound: number): number {
    return Number(this.next() % BigInt(bound));
  }
  byte(): number {
    return Number(this.next() & 0xffn);
  }
  of<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }
}

/** What both the model and any host of the last ten years have; instructions of other sets are left out. */
const features = new Set<CpuidFeature>([
  CpuidFeature.INTEL8086,
  CpuidFeature.INTEL186,
  CpuidFeature.INTEL286,
  CpuidFeature.INTEL386,
  CpuidFeature.INTEL486,
  CpuidFeature.X64,
  CpuidFeature.CMOV,
  CpuidFeature.CX8,
  CpuidFeature.CMPXCHG16B,
  CpuidFeature.FPU,
  CpuidFeature.FPU287,
  CpuidFeature.FPU387,
  CpuidFeature.MMX,
  CpuidFeature.SSE,
  CpuidFeature.SSE2,
  CpuidFeature.SSE3,
  CpuidFeature.SSSE3,
  CpuidFeature.SSE4_1,
  CpuidFeature.SSE4_2,
  CpuidFeature.POPCNT,
  CpuidFeature.LZCNT,
  CpuidFeature.MOVBE,
  CpuidFeature.ADX,
  CpuidFeature.BMI1,
  CpuidFeature.BMI2,
  CpuidFeature.AVX,
  CpuidFeature.AVX2,
  CpuidFeature.FMA,
  CpuidFeature.F16C,
  CpuidFeature.AES,
  CpuidFeature.PCLMULQDQ,
  CpuidFeature.SHA,
  CpuidFeature.MULTIBYTENOP,
]);

/** What depends on the maker, the machine or the moment, each with its reason. */
const leftOut = new Map<Mnemonic, string>([
  [Mnemonic.Cpuid, 'names the processor'],
  [Mnemonic.Syscall, 'EFER.SCE is off; Intel says #UD, and so does AMD, but it goes to ring 0 where a host has it on'],
  [Mnemonic.Sysenter, 'AMD has none in long mode (APM Vol. 3, SYSENTER)'],
  [Mnemonic.Sysexit, 'AMD has none in long mode'],
  [Mnemonic.Int, 'a vector without its own stub error code'],
  [Mnemonic.Int1, 'sets DR6 and traps differently under a hypervisor'],
  [Mnemonic.Lar, 'reads descriptors that a hypervisor may hold elsewhere'],
  [Mnemonic.Lsl, 'the same'],
  [Mnemonic.Verr, 'the same'],
  [Mnemonic.Verw, 'the same'],
  [Mnemonic.Sgdt, 'shows the table of the hypervisor where UMIP is off'],
  [Mnemonic.Sidt, 'the same'],
  [Mnemonic.Sldt, 'the same'],
  [Mnemonic.Str, 'the same'],
  [Mnemonic.Smsw, 'the same'],
  [Mnemonic.Popf, 'may set TF'],
  [Mnemonic.Popfd, 'may set TF'],
  [Mnemonic.Popfq, 'may set TF'],
  [Mnemonic.Iret, 'may set TF, and loads segments'],
  [Mnemonic.Iretd, 'the same'],
  [Mnemonic.Iretq, 'the same'],
  [Mnemonic.Retf, 'loads segments'],
  [Mnemonic.Lss, 'loads segments'],
  [Mnemonic.Lfs, 'loads segments'],
  [Mnemonic.Lgs, 'loads segments'],
  ...[Mnemonic.Fnsave, Mnemonic.Fnstenv, Mnemonic.Fxsave, Mnemonic.Fxsave64].map(
    (mnemonic) => [mnemonic, 'stores FIP and FDP, which AMD keeps only behind an exception'] as const,
  ),
  ...[Mnemonic.Maskmovq, Mnemonic.Maskmovdqu, Mnemonic.Vmaskmovdqu, Mnemonic.Frstor, Mnemonic.Fldenv].map(
    (mnemonic) => [mnemonic, 'which of its bytes CR2 names is up to the processor'] as const,
  ),
  ...[Mnemonic.Insb, Mnemonic.Insw, Mnemonic.Insd, Mnemonic.Outsb, Mnemonic.Outsw, Mnemonic.Outsd].map(
    (mnemonic) => [mnemonic, 'AMD checks the port though RCX is 0; the SDM says that nothing is done'] as const,
  ),
  ...[
    ...[Mnemonic.Vgatherdpd, Mnemonic.Vgatherdps, Mnemonic.Vgatherqpd, Mnemonic.Vgatherqps],
    ...[Mnemonic.Vpgatherdd, Mnemonic.Vpgatherdq, Mnemonic.Vpgatherqd, Mnemonic.Vpgatherqq],
  ].map((mnemonic) => [mnemonic, 'AMD does not widen the masks that a fault leaves; the SDM does'] as const),
  [Mnemonic.Bswap, 'of 16 bits is undefined (SDM Vol. 2A, BSWAP)'],
]);

const legacyPrefixes = new Set([0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3]);
const nullPrefixes = new Set([0x26, 0x2e, 0x36, 0x3e]);
/** With REX where it does not count, as 4x may stand among legacy prefixes. */
for (let rex = 0x40; rex < 0x50; rex++) legacyPrefixes.add(rex);

const integerOpcodes = (random: Random): number[] => (random.below(3) === 0 ? [0x0f, random.byte()] : [random.byte()]);
const vectorOpcodes = (random: Random): number[] =>
  random.of<() => number[]>([
    () => [0x0f, random.byte()],
    () => [0x0f, 0x38, random.byte()],
    () => [0x0f, 0x3a, random.byte()],
    () => [0xd8 + random.below(8)],
    () => [0xc5, random.byte() | 0x78, random.byte()],
    () => [0xc5, random.byte(), random.byte()],
    () => [0xc4, 0xe0 | (1 + random.below(3)), random.byte(), random.byte()],
  ])();

/** Bytes that may be an instruction: prefixes, opcode, ModRM and SIB, small displacement, anything. */
function candidate(random: Random, vector: boolean): Uint8Array {
  const bytes: number[] = [];
  while (random.below(4) === 0) bytes.push(random.of([0x66, 0x66, 0xf2, 0xf3, 0x67, 0xf0, 0x2e]));
  if (random.below(2) === 0) bytes.push(0x40 | random.below(16));
  bytes.push(...(vector && random.below(4) !== 0 ? vectorOpcodes(random) : integerOpcodes(random)));
  bytes.push(random.byte());
  if (random.below(2) === 0) bytes.push(random.byte());
  if (random.below(2) === 0) bytes.push(random.below(64), 0, 0, 0);
  while (bytes.length < 15) bytes.push(random.byte());
  return Uint8Array.from(bytes.slice(0, 15));
}

/** One instruction, or undefined where the bytes are none that can be compared. `settles` behind it: CMP AL, imm8. */
function instruction(random: Random, vector: boolean): Uint8Array | undefined {
  const bytes = candidate(random, vector);
  const decoder = new Decoder(64, bytes, DecoderOptions.None);
  const decoded = decoder.decode();
  try {
    if (decoded.isInvalid) return undefined;
    if (leftOut.has(decoded.mnemonic)) return undefined;
    if (![...decoded.cpuidFeatures()].every((feature) => features.has(feature))) return undefined;
    // AMD's SHA takes operands at any address, Intel's only aligned ones (SDM Vol. 2A, table 2-21).
    const memory = Array.from({ length: decoded.opCount }, (_, i) => decoded.opKind(i)).includes(OpKind.Memory);
    if (memory && [...decoded.cpuidFeatures()].includes(CpuidFeature.SHA)) return undefined;
    const { flowControl } = decoded;
    if (flowControl === FlowControl.Exception) return undefined;
    if (flowControl !== FlowControl.Next) {
      // Over a NOP, so that every sequence ends. AMD cuts RIP where 66 stands before a branch (APM Vol. 3, Jcc).
      if (decoded.op0Kind !== OpKind.NearBranch64 || decoded.length > 3 || bytes[0] === 0x66) return undefined;
      return Uint8Array.from([...bytes.subarray(0, decoded.length - 1), 1, 0x90]);
    }
    // Where they mean nothing, AMD lets them choose between #SS and #GP for addresses that are not canonical.
    const opcodeAt = bytes.findIndex((byte) => !legacyPrefixes.has(byte));
    if (bytes.subarray(0, opcodeAt).some((byte) => nullPrefixes.has(byte))) return undefined;
    // A count above 16 leaves 16-bit results undefined (SDM Vol. 2B, SHLD).
    const shifts = decoded.mnemonic === Mnemonic.Shld || decoded.mnemonic === Mnemonic.Shrd;
    if (shifts && bytes.subarray(0, opcodeAt).includes(0x66)) return undefined;
    // A segment register of this list could name another descriptor.
    for (let i = 0; i < decoded.opCount; i++) {
      const register = decoded.opKind(i) === OpKind.Register ? decoded.opRegister(i) : Register.None;
      if (register >= Register.ES && register <= Register.GS) return undefined;
    }
    const text = bytes.slice(0, decoded.length);
    if (decoded.rflagsUndefined === 0) return text;
    return Uint8Array.from([...text, 0x3c, random.byte()]);
  } finally {
    decoded.free();
    decoder.free();
  }
}

const names = ['rax', 'rcx', 'rdx', 'rbx', 'rbp', 'rsi', 'rdi', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'];

const special = [
  0n,
  1n,
  0x7fn,
  0x80n,
  0xffn,
  0x7fffn,
  0x8000n,
  0xffffn,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
  (1n << 63n) - 1n,
  1n << 63n,
  (1n << 64n) - 1n,
];

function register(random: Random): bigint {
  switch (random.below(6)) {
    case 0:
      return random.next();
    case 1:
      return random.of(special);
    case 2:
      return BigInt(random.below(40));
    default:
      return BigInt(layout.data + random.below(layout.dataBytes));
  }
}

/** Doubles and floats of all kinds among random bits. */
function vectorState(random: Random): Uint8Array {
  const area = new Uint8Array(832);
  const view = new DataView(area.buffer);
  view.setUint16(0, random.below(4) === 0 ? 0x37f & ~random.below(64) : 0x37f | (random.below(4) << 10), true);
  view.setUint32(
    24,
    random.below(4) === 0 ? 0x1f80 & ~(random.below(64) << 7) : 0x1f80 | (random.below(4) << 13),
    true,
  );
  view.setUint8(4, random.byte());
  const number = () => random.of([() => random.next(), () => random.of(doubles), () => random.of(doubles)])();
  for (let st = 0; st < 8; st++) {
    view.setBigUint64(32 + 16 * st, random.next() | (1n << 63n), true);
    view.setUint16(40 + 16 * st, 0x3ff0 + random.below(32), true);
  }
  for (let i = 0; i < 32; i++) view.setBigUint64(160 + 8 * i, number(), true);
  for (let i = 0; i < 32; i++) view.setBigUint64(576 + 8 * i, number(), true);
  view.setBigUint64(512, 7n, true);
  return area;
}
const doubles = [
  0x3ff0000000000000n,
  0x4000000000000000n,
  0xbff8000000000000n,
  0n,
  1n << 63n,
  0x7ff0000000000000n,
  0x7ff8000000000001n,
  0x7ff4000000000000n,
  1n,
  0x3f8000003f800000n,
  0x7f800000ff800001n,
  0x43e0000000000000n,
  0x41dfffffffc00000n,
];

export function sequence(seed: bigint): Case {
  const random = new Random(seed);
  const vector = random.below(2) === 0;
  const code: number[] = [];
  const wanted = 1 + random.below(6);
  for (let done = 0, tries = 0; done < wanted && tries < 200; tries++) {
    const bytes = instruction(random, vector);
    if (bytes === undefined) continue;
    code.push(...bytes);
    done++;
  }
  const registers: Record<string, bigint> = {};
  for (const name of names) registers[name] = register(random);
  const data = new Uint8Array(layout.dataBytes);
  const words = new BigUint64Array(data.buffer);
  for (let i = 0; i < words.length; i++) words[i] = random.next();
  return {
    code: Uint8Array.from(code),
    registers,
    rflags: 0x202n | (random.next() & 0x8d5n) | (random.below(8) === 0 ? 0x400n : 0n),
    data,
    xsave: vectorState(random),
  };
}
