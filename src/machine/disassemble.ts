/** One instruction, where only one is asked for. */
import { type Instruction, loadDisassembler } from './disassembler.ts';

/** The size of code: EFER.LMA with CS.L, else CS.D (SDM Vol. 3A, 3.4.5 and 5.2.1). */
export type CodeBits = 16 | 32 | 64;

/** The instruction at the begin of `bytes`, or undefined if they hold none, or only a part of one. */
export async function instructionAt(bytes: Uint8Array, rip: bigint, bits: CodeBits): Promise<Instruction | undefined> {
  return bytes.length === 0 ? undefined : (await loadDisassembler())(bytes, rip, bits);
}

/** Its text alone. */
export async function disassemble(bytes: Uint8Array, rip: bigint, bits: CodeBits): Promise<string | undefined> {
  return (await instructionAt(bytes, rip, bits))?.text;
}
