// What Bochs is given to boot Linux: an option ROM, 128 KiB of low memory, and a disk with the kernel and the initial file system.
import { execFileSync } from 'node:child_process';
import { closeSync, ftruncateSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { LabError } from '../error.mjs';

const loader = fileURLToPath(new URL('loader.asm', import.meta.url));

const romBytes = 512;
/** Sectors of 512 bytes that one read command brings. */
const runBytes = 256 * 512;
/** Where things lie in memory. Bochs 2.7 fills no more than one block of 128 KiB from a file. */
export const at = { rom: 0xd0000, low: 0x80000, pageTables: 0x80000, setup: 0x90000, commandLine: 0x9e000 };
/** The BIOS' own data begin at 9FC00h. */
const lowBytes = 0x1f800;
const stack = at.commandLine - at.setup;
const initrdAt = 0x10000000;
export const megabytes = 1024;

/** Fields of the kernel's header (Documentation/arch/x86/boot.rst). */
const header = {
  setupSectors: 0x1f1,
  loader: 0x210,
  flags: 0x211,
  code32: 0x214,
  initrd: 0x218,
  initrdBytes: 0x21c,
  heapEnd: 0x224,
  commandLine: 0x228,
  payload: 0x248,
  payloadBytes: 0x24c,
};

/** The kernel in the kernel: its own code that unpacks it takes longer in Bochs than all the rest of the start. */
function unpacked(kernel, code) {
  const from = code + kernel.readUInt32LE(header.payload);
  const payload = kernel.subarray(from, from + kernel.readUInt32LE(header.payloadBytes));
  // Its length is behind it.
  const xz = ['--decompress', '--stdout', '--single-stream'];
  if (payload.readUIntBE(0, 6) === 0xfd377a585a00)
    return execFileSync('xz', xz, { input: payload, maxBuffer: 1 << 28 });
  if (payload.readUInt16BE() === 0x1f8b) return gunzipSync(payload);
  throw new LabError('the kernel is packed with neither xz nor gzip', 'the Bochs lab needs the kernel of Debian 12');
}

/** The memory that the segments of an ELF64 file make, from the lowest on. */
function flattened(elf) {
  const [table, bytes, count] = [Number(elf.readBigUInt64LE(32)), elf.readUInt16LE(54), elf.readUInt16LE(56)];
  const segments = Array.from({ length: count }, (_, index) => elf.subarray(table + index * bytes))
    .filter((entry) => entry.readUInt32LE(0) === 1)
    .map((entry) => {
      const [offset, to, length] = [8, 24, 32].map((field) => Number(entry.readBigUInt64LE(field)));
      return { to, content: elf.subarray(offset, offset + length) };
    });
  const start = Math.min(...segments.map(({ to }) => to));
  const memory = Buffer.alloc(Math.max(...segments.map(({ to, content }) => to + content.length)) - start);
  for (const { to, content } of segments) content.copy(memory, to - start);
  return { start, entry: Number(elf.readBigUInt64LE(24)), memory };
}

const runs = (bytes) => Math.ceil(bytes / runBytes);

/** Writes a file of several parts, each from the begin of a run on. */
function writeWholeRuns(file, parts) {
  const disk = openSync(file, 'w');
  let offset = 0;
  for (const part of parts) {
    for (const bytes of part) offset += writeSync(disk, bytes, 0, bytes.length, offset);
    offset = runs(offset) * runBytes;
  }
  ftruncateSync(disk, offset);
  closeSync(disk);
}

/** Assembles it into a file. */
function optionRom(file, names) {
  const defined = Object.entries({ ...names, ROM_BYTES: romBytes, SETUP_SEGMENT: at.setup >> 4, STACK: stack });
  const define = defined.map(([name, value]) => `-D${name}=${value}`);
  execFileSync('nasm', ['-f', 'bin', '-o', file, ...define, loader]);
  const rom = readFileSync(file);
  // All bytes of an option ROM together are 0.
  rom[romBytes - 1] = -rom.reduce((sum, byte) => sum + byte, 0);
  writeFileSync(file, rom);
  return rom;
}

/** The kernel's real-mode part with what a boot loader fills in, its command line, and page tables that map 4 GiB as they are. */
function lowMemory(setup, commandLine, code32, initrdBytes) {
  const low = Buffer.alloc(lowBytes);
  low.writeUInt32LE((at.pageTables + 0x1000) | 3, at.pageTables - at.low);
  for (let i = 0; i < 4; i++) low.writeBigUInt64LE((BigInt(i) << 30n) | 0x83n, at.pageTables + 0x1000 + 8 * i - at.low);
  const part = low.subarray(at.setup - at.low);
  setup.copy(part);
  part[header.loader] = 0xff;
  part[header.flags] |= 0x80;
  part.writeUInt32LE(code32, header.code32);
  part.writeUInt32LE(initrdAt, header.initrd);
  part.writeUInt32LE(initrdBytes, header.initrdBytes);
  part.writeUInt16LE(stack - 0x200, header.heapEnd);
  part.writeUInt32LE(at.commandLine, header.commandLine);
  if (Buffer.byteLength(commandLine) >= lowBytes - (at.commandLine - at.low))
    throw new LabError("the kernel's command line is too long");
  low.write(commandLine, at.commandLine - at.low);
  return low;
}

/** Writes the files `rom`, `low` and `disk` into a folder. */
export function writeImages(folder, kernelFile, initrd, commandLine) {
  const kernel = readFileSync(kernelFile);
  const code = (kernel[header.setupSectors] + 1) * 512;
  const { start, entry, memory } = flattened(unpacked(kernel, code));
  const initrdBytes = initrd.reduce((sum, { length }) => sum + length, 0);
  if (initrdAt + initrdBytes > (megabytes << 20) / 2)
    throw new LabError(`${initrdBytes >> 20} MiB of files are too many for the lab's memory`);
  const rom = optionRom(join(folder, 'rom'), {
    PAGE_TABLES: at.pageTables,
    KERNEL: start,
    KERNEL_RUNS: runs(memory.length),
    KERNEL_ENTRY: entry,
    INITRD: initrdAt,
    INITRD_RUNS: runs(initrdBytes),
  });
  const code32 = rom.readUInt32LE(romBytes - 8);
  writeFileSync(join(folder, 'low'), lowMemory(kernel.subarray(0, code), commandLine, code32, initrdBytes));
  writeWholeRuns(join(folder, 'disk'), [[memory], initrd]);
}
