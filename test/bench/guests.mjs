/** Guests of the benchmark, as bytes: real mode, loaded at 0x1000. */

/** out 0x10, al; jmp back */
export const pioLoop = [0xe6, 0x10, 0xeb, 0xfc];
/** mov [0], al; jmp back — with DS over a hole in memory */
export const mmioLoop = [0xa2, 0x00, 0x00, 0xeb, 0xfb];

/**
 * A fixed mix for the emulated processor: loads, stores, ALU, shifts, multiplication, calls and branches, in 32-bit
 * protected mode without paging. ECX counts the rounds; each round retires `mixInstructions`.
 */
export const mix = [
  0xba,
  0x00,
  0x20,
  0x00,
  0x00, // mov edx, 0x2000
  // round:
  0x8b,
  0x02, // mov eax, [edx]
  0x01,
  0xc8, // add eax, ecx
  0xc1,
  0xc0,
  0x07, // rol eax, 7
  0x69,
  0xd8,
  0x93,
  0x01,
  0x00,
  0x01, // imul ebx, eax, 0x01000193
  0x89,
  0x1a, // mov [edx], ebx
  0xe8,
  0x06,
  0x00,
  0x00,
  0x00, // call leaf
  0x83,
  0xe9,
  0x01, // sub ecx, 1
  0x75,
  0xe7, // jnz round
  0xf4, // hlt
  // leaf:
  0x31,
  0xd8, // xor eax, ebx
  0x0f,
  0xb6,
  0xf0, // movzx esi, al
  0x85,
  0xf6, // test esi, esi
  0x74,
  0x01, // jz +1
  0x46, // inc esi
  0xc3, // ret
];
