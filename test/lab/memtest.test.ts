/**
 * Debian's memtest86+ on the emulated processor: a kernel that finds processor, timers and memory by itself, and paints
 * its screen on COM1.
 */
import { describe, expect, it } from 'vitest';
import { bootImage, runImage } from '../support/boot-images.ts';

describe('on the emulated processor memtest86+', () => {
  it.for(['x64', 'ia32'])(
    'of %s finds the machine and tests its memory',
    { timeout: 240_000 },
    async (kind, context) => {
      const image = bootImage(context, new RegExp(`^memtest86\\+${kind}\\.bin$`), 'memtest86+');
      const { text } = await runImage(image, {
        name: 'memtest',
        append: 'console=ttyS0,115200 nosmp nobench',
        memoryBytes: 8 << 20,
        until: 'walking ones, no cache',
        milliseconds: 200_000,
      });
      expect(text).toContain('vtkit emulated processor');
      expect(text).toMatch(/Memory {2}:\s+7\.\dMB|Memory {2}:\s+8MB/);
      expect(text).toContain('Address test, walking ones, no cache');
      expect(text).toContain('Errors: 0');
    },
  );
});
