/** Guest images: recognised by content, loaded into a machine's memory. */
import { CorruptInputError } from '../../errors.ts';
import type { Machine } from '../machine.ts';
import { loadFlat } from './flat.ts';
import { isLinux, loadLinux } from './linux.ts';
import { isElf, loadMultiboot } from './multiboot.ts';

export interface BootOptions {
  /** For messages, and the first word of the command line. */
  readonly name: string;
  /** Kernel command line. */
  readonly append?: string | undefined;
  /** Linux' initial RAM disk, or the one module of a multiboot image. */
  readonly initrd?: { readonly name: string; readonly bytes: Uint8Array } | undefined;
}

/**
 * Loads an image and points the first vCPU at its entry.
 *
 * An ELF file needs a multiboot-1 header, a Linux kernel is a bzImage; anything else that fits conventional memory is
 * a flat real-mode image.
 * @throws CorruptInputError saying what was found and what would do
 */
export function boot(machine: Machine, image: Uint8Array, options: BootOptions): void {
  if (image.length === 0) throw new CorruptInputError(`${options.name} is empty`, { file: options.name, offset: 0 });
  if (isElf(image)) {
    loadMultiboot(machine, image, options);
    return;
  }
  if (isLinux(image)) {
    loadLinux(machine, image, options);
    return;
  }
  refuseKnown(image, options.name);
  if (options.append !== undefined || options.initrd !== undefined) {
    throw new CorruptInputError(`${options.name} is a flat image, which takes no command line and no initrd`, {
      file: options.name,
      offset: 0,
      expected: 'an ELF file with a multiboot header',
    });
  }
  loadFlat(machine, image, options.name);
}

/** Files that people give by mistake: a clear word instead of a guest that crashes in their header. */
const known: readonly { readonly what: string; readonly offset: number; readonly magic: readonly number[] }[] = [
  { what: 'gzip-compressed', offset: 0, magic: [0x1f, 0x8b] },
  { what: 'an xz archive', offset: 0, magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a] },
  { what: 'a qcow2 disk', offset: 0, magic: [0x51, 0x46, 0x49, 0xfb] },
  { what: 'an ISO 9660 disc', offset: 0x8001, magic: [0x43, 0x44, 0x30, 0x30, 0x31] },
  { what: 'a DOS or Windows program', offset: 0, magic: [0x4d, 0x5a] },
  { what: 'a script', offset: 0, magic: [0x23, 0x21] },
];

function refuseKnown(image: Uint8Array, file: string): void {
  const found = known.find(({ offset, magic }) => magic.every((byte, i) => image[offset + i] === byte));
  if (found === undefined) return;
  const expected = 'a flat real-mode image, a Linux bzImage, or an ELF file with a multiboot-1 header';
  throw new CorruptInputError(
    `${file} is ${found.what} (at offset 0x${found.offset.toString(16)}); expected ${expected}`,
    {
      file,
      offset: found.offset,
      expected,
    },
  );
}
