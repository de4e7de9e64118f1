/** The text of one instruction. The disassembler behind it is heavy, and loaded by the first call. */

/** The size of code: EFER.LMA with CS.L, else CS.D (SDM Vol. 3A, 3.4.5 and 5.2.1). */
export type CodeBits = 16 | 32 | 64;

/** The instruction at the begin of `bytes` in Intel syntax, or undefined if they hold none, or only a part of one. */
export async function disassemble(bytes: Uint8Array, rip: bigint, bits: CodeBits): Promise<string | undefined> {
  if (bytes.length === 0) return undefined;
  const { Decoder, DecoderOptions, Formatter, FormatterSyntax } = await import('iced-x86');
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
}
