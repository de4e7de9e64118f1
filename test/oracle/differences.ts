/** What of two results has to be equal. */
import { kvmIsSoftware } from '../conformance/software-kvm.ts';
import type { Result } from './world.ts';

/** Of the XSAVE area: what the manuals leave to the maker (offset, bytes). */
const open: readonly (readonly [number, number])[] = [
  [6, 18], // FOP, FIP, FDP: AMD keeps them only behind an exception (APM Vol. 2, 11.4.4), and ours keeps no FCS and FDS
  [28, 4], // MXCSR_MASK
  [416, 96], // reserved
  [520, 56], // header: XCOMP_BV and reserved
];

/**
 * A KVM without VT-x or AMD-V emulates what raised #GP or #SS, and turns the fault into #UD where its emulator does not know the
 * instruction.
 */
function asSoftwareKvmSays(ours: Result): Result {
  const noError = '0000000000000000';
  return { ...ours, vector: 6, frame: ours.frame.slice(noError.length) };
}

/** RSP is the last but one quadword of what an exception pushes. */
const rspOf = ({ frame }: Result): bigint => Buffer.from(frame, 'hex').readBigUInt64LE(frame.length / 2 - 16);
const canonical = (address: bigint): boolean => BigInt.asUintN(64, BigInt.asIntN(48, address)) === address;

export function differences(host: Result, emulated: Result): string[] {
  const found: string[] = [];
  const emulates = kvmIsSoftware && (emulated.vector === 13 || emulated.vector === 12);
  // Nor does it deliver an exception while RSP is no canonical address: it ends as #UD, too.
  if (kvmIsSoftware && host.vector === 6 && !canonical(rspOf(emulated))) return found;
  const ours = emulates && host.vector === 6 ? asSoftwareKvmSays(emulated) : emulated;
  const compare = (what: string, a: unknown, b: unknown) => {
    if (a !== b) found.push(`${what}: the host ${a}, the emulator ${b}`);
  };
  compare('vector', host.vector, ours.vector);
  compare('frame', host.frame, ours.frame);
  compare('cr2', host.cr2.toString(16), ours.cr2.toString(16));
  for (const [name, value] of Object.entries(host.registers))
    compare(name, value.toString(16), ours.registers[name]?.toString(16));
  for (let i = 0; i < host.memory.length; i++) {
    if (host.memory[i] === ours.memory[i]) continue;
    compare(`memory at ${i.toString(16)}`, host.memory[i], ours.memory[i]);
    break;
  }
  // What such a KVM emulates may enter MMX state before it faults.
  if (!emulates) {
    const [a, b] = [settled(host.xsave), settled(ours.xsave)];
    for (let i = 0; i < a.length; i += 4) {
      const [x, y] = [a.subarray(i, i + 4), b.subarray(i, i + 4)].map((part) => Buffer.from(part).toString('hex'));
      compare(`xsave ${i}`, x, y);
    }
  }
  return found;
}

function settled(area: Uint8Array): Uint8Array {
  const copy = area.slice();
  for (const [at, bytes] of open) copy.fill(0, at, at + bytes);
  const xstate = copy[512] ?? 0;
  if ((xstate & 1) === 0) copy.fill(0, 0, 24).fill(0, 32, 160);
  if ((xstate & 2) === 0) copy.fill(0, 160, 416);
  if ((xstate & 4) === 0) copy.fill(0, 576, 832);
  copy[512] = 0; // a component in its initial state may be marked or not
  return copy;
}
