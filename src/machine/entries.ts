/** Lists that cross as arrays of kernel structures: MSRs (kvm_msr_entry) and CPUID (kvm_cpuid_entry2). */
import { type Decoded, struct } from './struct.ts';

const msr = struct({ index: 'u32', _reserved: 'u32', value: 'u64' });
const cpuid = struct({
  leaf: 'u32',
  subleaf: 'u32',
  /** Bit 0: the subleaf counts (KVM_CPUID_FLAG_SIGNIFCANT_INDEX). */
  flags: 'u32',
  eax: 'u32',
  ebx: 'u32',
  ecx: 'u32',
  edx: 'u32',
  _0: 'u32',
  _1: 'u32',
  _2: 'u32',
});

export type CpuidEntry = ReturnType<typeof cpuid.decode>;

export function encodeMsrs(rows: readonly (readonly [number, bigint])[]): Uint8Array {
  const bytes = new Uint8Array(rows.length * msr.bytes);
  const view = new DataView(bytes.buffer);
  for (const [i, [index, value]] of rows.entries()) msr.encode(view, { index, value }, i * msr.bytes);
  return bytes;
}

export function decodeMsrs(bytes: Uint8Array): [number, bigint][] {
  return decodeAll(msr, bytes).map(({ index, value }) => [index, value]);
}

export function encodeCpuid(entries: readonly CpuidEntry[]): Uint8Array {
  const bytes = new Uint8Array(entries.length * cpuid.bytes);
  const view = new DataView(bytes.buffer);
  for (const [i, entry] of entries.entries()) cpuid.encode(view, entry as Decoded<never>, i * cpuid.bytes);
  return bytes;
}

export function decodeCpuid(bytes: Uint8Array): CpuidEntry[] {
  return decodeAll(cpuid, bytes);
}

function decodeAll<T>(layout: { bytes: number; decode(view: DataView, at: number): T }, bytes: Uint8Array): T[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.byteLength / layout.bytes }, (_, i) => layout.decode(view, i * layout.bytes));
}
