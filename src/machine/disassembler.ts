/** Decodes instructions. The decoder behind it is heavy (1.7 MB, 80 ms), and loaded by the first call. */
import type { CodeBits } from './disassemble.ts';

export interface Instruction {
  /** In Intel syntax. */
  readonly text: string;
  readonly mnemonic: string;
  readonly bytes: number;
  /** A jump, call or return: the next instruction may be elsewhere without an exception. */
  readonly branches: boolean;
  /** Status flags that it leaves undefined, as bits of RFLAGS. */
  readonly undefinedFlags: bigint;
}

/** The instruction at the begin of `bytes`, or undefined if they hold none, or only a part of one. */
export type Disassembler = (bytes: Uint8Array, rip: bigint, bits: CodeBits) => Instruction | undefined;

export async function loadDisassembler(): Promise<Disassembler> {
  const { Decoder, DecoderOptions, FlowControl, Formatter, FormatterSyntax, RflagsBits } = await import('iced-x86');
  const flags = [
    [RflagsBits.CF, 0x001n],
    [RflagsBits.PF, 0x004n],
    [RflagsBits.AF, 0x010n],
    [RflagsBits.ZF, 0x040n],
    [RflagsBits.SF, 0x080n],
    [RflagsBits.OF, 0x800n],
  ] as const;
  const straight = [FlowControl.Next, FlowControl.Interrupt, FlowControl.Exception] as const;
  return (bytes, rip, bits) => {
    if (bytes.length === 0) return undefined;
    const decoder = new Decoder(bits, bytes, DecoderOptions.None);
    decoder.ip = rip;
    const instruction = decoder.decode();
    const formatter = new Formatter(FormatterSyntax.Intel);
    try {
      formatter.hexPrefix = '0x';
      formatter.hexSuffix = '';
      formatter.uppercaseHex = false;
      formatter.spaceAfterOperandSeparator = true;
      if (instruction.isInvalid) return undefined;
      const undefinedHere = instruction.rflagsUndefined;
      return {
        text: formatter.format(instruction),
        mnemonic: formatter.formatMnemonic(instruction),
        bytes: instruction.length,
        branches: !straight.some((kind) => kind === instruction.flowControl),
        undefinedFlags: flags.reduce((all, [name, bit]) => ((undefinedHere & name) !== 0 ? all | bit : all), 0n),
      };
    } finally {
      // LIFETIME: they lie in the memory of a WebAssembly module, which nobody collects.
      for (const object of [formatter, instruction, decoder]) object.free();
    }
  };
}
