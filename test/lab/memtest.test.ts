/**
 * Debian's memtest86+ on the emulated processor: a kernel that finds processor, caches, timers and memory by itself, and
 * paints its screen on COM1. MEMTEST names the folder of its images where the package is unpacked, not installed.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import '../../src/backends.ts';
import { Pc } from '../../src/machine/pc.ts';

const folder = process.env.MEMTEST ?? '/boot';

/** What stands on COM1 once the image has come so far, or at the end of the time for it. */
async function runUntil(image: string, text: string, milliseconds: number): Promise<string> {
  let screen = '';
  const pc = await Pc.create({
    backend: 'emulated',
    memoryBytes: 8 << 20,
    onSerial: (byte) => {
      screen += String.fromCharCode(byte);
      if (screen.endsWith(text)) pc.stop();
    },
  });
  const late = setTimeout(() => pc.stop(), milliseconds);
  try {
    pc.load(readFileSync(image), { name: 'memtest', append: 'console=ttyS0,115200 nosmp nobench' });
    await pc.run();
    return screen;
  } finally {
    clearTimeout(late);
    pc.machine.close();
  }
}

describe('on the emulated processor memtest86+', () => {
  it.for(['x64', 'ia32'])(
    'of %s finds the machine and tests its memory',
    { timeout: 240_000 },
    async (kind, context) => {
      const image = join(folder, `memtest86+${kind}.bin`);
      if (!existsSync(image)) context.skip(`${image} is not there (the Debian package memtest86+; or set MEMTEST)`);
      const screen = await runUntil(image, 'walking ones, no cache', 200_000);
      expect(screen).toContain('vtkit emulated processor');
      expect(screen).toMatch(/Memory {2}:\s+8MB/);
      expect(screen).toContain('Address test, walking ones, no cache');
      expect(screen).toMatch(/Errors: 0/);
    },
  );
});
