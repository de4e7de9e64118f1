/** Names instructions. The disassembler behind it is heavy (1.7 MB, 80 ms), and loaded by the first call. */
import type { CodeBits } from './disassemble.ts';

/** The instruction at the begin of `bytes` in Intel syntax, or undefined if they hold none, or only a part of one. */
export type Disassembler = (bytes: Uint8Array, rip: bigint, bits: CodeBits) => string | undefined;

export async function loadDisassembler(): Promise<Disassembler> {
  const { Decoder, DecoderOptions, Formatter, FormatterSyntax } = await import('iced-x86');
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
      return instruction.isInvalid ? undefined : formatter.format(instruction);
    } finally {
      // LIFETIME: they lie in the memory of a WebAssembly module, which nobody collects.
      for (const object of [formatter, instruction, decoder]) object.free();
    }
  };
}
