/** Kernels and test programs of Debian packages, run on the emulated processor until they have printed something. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { TestContext } from 'vitest';
import '../../src/backends.ts';
import type { BootOptions } from '../../src/machine/boot/image.ts';
import { type Outcome, Pc } from '../../src/machine/pc.ts';

/** Where installed packages have them; BOOT_IMAGES names another folder, of packages that are only unpacked. */
const folder = process.env.BOOT_IMAGES ?? '/boot';

/** The image of a name, unpacked; skips the test where its package is not there. */
export function bootImage(context: TestContext, name: RegExp, debianPackage: string): Uint8Array {
  const found = existsSync(folder) ? readdirSync(folder).find((file) => name.test(file)) : undefined;
  if (found === undefined) {
    context.skip(`${folder} has no ${name.source} (the Debian package ${debianPackage}; or set BOOT_IMAGES)`);
    throw new Error('a skipped test goes no further');
  }
  const bytes = readFileSync(join(folder, found));
  return found.endsWith('.gz') ? gunzipSync(bytes) : bytes;
}

export interface Run extends BootOptions {
  readonly memoryBytes: number;
  readonly cpus?: number;
  /** Text that ends the run; without it the guest does. */
  readonly until?: string;
  readonly milliseconds: number;
}

/** What an image sends to COM1, and how its run ended. */
export async function runImage(image: Uint8Array, run: Run): Promise<{ text: string; outcome: Outcome['kind'] }> {
  const { memoryBytes, cpus, until, milliseconds, ...options } = run;
  let text = '';
  const pc = await Pc.create({
    backend: 'emulated',
    memoryBytes,
    ...(cpus === undefined ? {} : { cpus }),
    onSerial: (byte) => {
      text += String.fromCharCode(byte);
      if (until !== undefined && text.endsWith(until)) pc.stop();
    },
  });
  const late = setTimeout(() => pc.stop(), milliseconds);
  try {
    pc.load(image, options);
    const { kind } = await pc.run();
    return { text, outcome: kind };
  } finally {
    clearTimeout(late);
    pc.machine.close();
  }
}
