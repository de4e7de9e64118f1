import { describe, expect, it } from 'vitest';
import { disassemble } from '../../../src/machine/disassemble.ts';

describe('the text of an instruction', () => {
  // Encodings of SDM Vol. 2: what a byte means depends on the size of code.
  it.each([
    [16, [0xb8, 0x34, 0x12, 0, 0], 'mov ax, 0x1234'],
    [32, [0xb8, 0x34, 0x12, 0, 0], 'mov eax, 0x1234'],
    [32, [0x48, 0x89, 0xd8], 'dec eax'],
    [64, [0x48, 0x89, 0xd8], 'mov rax, rbx'],
    [16, [0x0f, 0x01, 0x1e, 0x00, 0x7e], 'lidt [0x7e00]'],
    [64, [0x0f, 0x01, 0xc2], 'vmlaunch'],
    [64, [0xdb, 0xe3], 'fninit'],
  ] as const)('in %i-bit code: %j', async (bits, bytes, text) => {
    expect(await disassemble(Uint8Array.from(bytes), 0x7c00n, bits)).toBe(text);
  });

  it('names the targets of branches and of RIP-relative operands by their addresses', async () => {
    expect(await disassemble(Uint8Array.of(0xeb, 0xfe), 0x7c00n, 16)).toMatch(/^jmp .*0x7c00$/);
    expect(await disassemble(Uint8Array.of(0x8b, 0x05, 0x10, 0, 0, 0), 0x1000n, 64)).toBe('mov eax, [0x1016]');
  });

  it.each([
    ['no bytes', []],
    ['a part of an instruction', [0x48, 0xb8, 1, 2]],
    ['an opcode that 64-bit code lacks', [0x06, 0x90, 0x90]],
  ])('is absent for %s', async (_, bytes) => {
    expect(await disassemble(Uint8Array.from(bytes), 0n, 64)).toBeUndefined();
  });
});
