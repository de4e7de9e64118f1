// Runs a multiboot image on v86 (32 bits) until it has said a line on its serial port, as `npm run bench:emulators` wants.
// Usage: node test/bench/v86.mjs IMAGE
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { V86 } from 'v86';

const wasm = join(dirname(createRequire(import.meta.url).resolve('v86')), 'v86.wasm');
const image = readFileSync(process.argv[2]);
const emulator = new V86({
  wasm_path: wasm,
  multiboot: { buffer: image.buffer.slice(image.byteOffset, image.byteOffset + image.length) },
  memory_size: 64 << 20,
  vga_memory_size: 1 << 20,
  autostart: true,
  disable_keyboard: true,
  disable_mouse: true,
  disable_speaker: true,
});
emulator.add_listener('serial0-output-byte', (byte) => {
  process.stdout.write(String.fromCharCode(byte));
  if (byte === 10) process.exit(0); // v86 takes nothing for the end of a guest
});
