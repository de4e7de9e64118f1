/** Linux kernels as they lie in /boot: bzImages, entered by the 32-bit boot protocol (Documentation/arch/x86/boot.rst). */
import { CorruptInputError } from '../../errors.ts';
import type { Machine } from '../machine.ts';
import type { BootOptions } from './image.ts';
import { availableMemory } from './memory-map.ts';
import { enterProtectedMode } from './protected-mode.ts';

/** Fields of the setup header, by offset in the image and in the boot parameters alike. */
const header = {
  from: 0x1f1,
  setupSectors: 0x1f1,
  jump: 0x200,
  magic: 0x202,
  version: 0x206,
  loaderType: 0x210,
  loadFlags: 0x211,
  entry: 0x214,
  initrdAddress: 0x218,
  initrdBytes: 0x21c,
  commandLine: 0x228,
  initrdMaximum: 0x22c,
  commandLineMaximum: 0x238,
  preferredAddress: 0x258,
  initBytes: 0x260,
} as const;
/** Fields of the boot parameters beside it (Documentation/arch/x86/zero-page.rst). */
const parameters = { mapEntries: 0x1e8, map: 0x2d0, bytes: 4096 } as const;

const magic = 0x5372_6448; // "HdrS"
/** Protocol 2.10 tells where the kernel wants to be, and how much memory it needs there. */
const oldestVersion = 0x020a;
const loadedHigh = 0x01;
const unknownLoader = 0xff;

const place = { parameters: 0x1_0000, commandLine: 0x2_0000, kernel: 0x10_0000 } as const;

export function isLinux(image: Uint8Array): boolean {
  return image.length > 0x264 && viewOf(image).getUint32(header.magic, true) === magic;
}

/** Loads the kernel, its command line and its initial RAM disk, and enters it in 32-bit protected mode. */
export function loadLinux(machine: Machine, image: Uint8Array, options: BootOptions): void {
  const view = viewOf(image);
  const refuse = (offset: number, message: string, expected: string): CorruptInputError =>
    new CorruptInputError(`${options.name}: ${message} at offset 0x${offset.toString(16)}; expected ${expected}`, {
      file: options.name,
      offset,
      expected,
    });
  const version = view.getUint16(header.version, true);
  if (version < oldestVersion) {
    throw refuse(header.version, `boot protocol ${version >> 8}.${version & 0xff}`, 'at least 2.10 (Linux 2.6.31)');
  }
  if ((view.getUint8(header.loadFlags) & loadedHigh) === 0) {
    throw refuse(header.loadFlags, 'a zImage, which loads below 1 MiB', 'a bzImage');
  }
  const codeAt = (1 + (view.getUint8(header.setupSectors) || 4)) * 512;
  if (codeAt >= image.length)
    throw refuse(header.setupSectors, 'setup code that leaves no kernel', 'a kernel behind it');

  const map = availableMemory(machine);
  const top = Math.min(2 ** 32, ...map.filter(({ base }) => base === BigInt(place.kernel)).map((part) => end(part)));
  const wanted = Number(view.getBigUint64(header.preferredAddress, true)) + view.getUint32(header.initBytes, true);
  if (!Number.isFinite(top) || map.every((part) => end(part) < wanted)) {
    throw refuse(
      header.initBytes,
      `a kernel that needs memory up to 0x${wanted.toString(16)}`,
      'more memory (--memory)',
    );
  }
  machine.memory.write(place.kernel, image.subarray(codeAt));

  const zeroPage = new Uint8Array(parameters.bytes);
  const headerEnd = Math.min(header.magic + view.getUint8(header.jump + 1), parameters.map);
  zeroPage.set(image.subarray(header.from, headerEnd), header.from);
  const fields = viewOf(zeroPage);
  fields.setUint8(header.loaderType, unknownLoader);

  const text = new TextEncoder().encode(`${options.append ?? ''}\0`);
  const longest = view.getUint32(header.commandLineMaximum, true);
  if (text.length - 1 > longest) {
    throw refuse(header.commandLineMaximum, `a command line of ${text.length - 1} bytes`, `at most ${longest}`);
  }
  machine.memory.write(place.commandLine, text);
  fields.setUint32(header.commandLine, place.commandLine, true);

  if (options.initrd !== undefined) {
    const { bytes } = options.initrd;
    const highest = Math.min(top, view.getUint32(header.initrdMaximum, true) + 1);
    const at = Math.floor((highest - bytes.length) / 4096) * 4096;
    if (at < wanted) {
      throw refuse(header.initrdMaximum, `an initrd of ${bytes.length} bytes does not fit`, 'more memory (--memory)');
    }
    machine.memory.write(at, bytes);
    fields.setUint32(header.initrdAddress, at, true);
    fields.setUint32(header.initrdBytes, bytes.length, true);
  }

  fields.setUint8(parameters.mapEntries, map.length);
  for (const [i, { base, length }] of map.entries()) {
    const at = parameters.map + 20 * i;
    fields.setBigUint64(at, base, true);
    fields.setBigUint64(at + 8, length, true);
    fields.setUint32(at + 16, 1, true);
  }
  machine.memory.write(place.parameters, zeroPage);

  const vcpu = machine.vcpus[0];
  if (vcpu === undefined) return;
  enterProtectedMode(vcpu, fields.getUint32(header.entry, true), { code: 0x10, data: 0x18 });
  vcpu.regs.rsi = BigInt(place.parameters);
}

const end = ({ base, length }: { base: bigint; length: bigint }): number => Number(base + length);

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
