/** Multiboot 1 (Multiboot Specification 0.6.96): ELF32 images entered in 32-bit protected mode. */
import { CorruptInputError } from '../../errors.ts';
import type { Machine } from '../machine.ts';
import type { BootOptions } from './image.ts';
import { availableMemory } from './memory-map.ts';
import { enterProtectedMode } from './protected-mode.ts';

const headerMagic = 0x1bad_b002;
const bootMagic = 0x2bad_b002;
const searchBytes = 8192;
/** Header flags that ask for something: 0 page-aligned modules, 1 memory information, 2 video mode, 16 a.out kludge. */
const supportedFlags = 0x1_0003;

/** Where the boot information goes: above the real-mode vectors, below what firmware keeps of conventional memory. */
const infoArea = { from: 0x9000, to: 0x9_0000 } as const;
const infoBytes = 0x6000;
const pageBytes = 4096;

interface Range {
  readonly from: number;
  readonly to: number;
}

export function isElf(image: Uint8Array): boolean {
  return image[0] === 0x7f && image[1] === 0x45 && image[2] === 0x4c && image[3] === 0x46;
}

/** Loads the image, writes the boot information, and enters the guest as section 3.2 of the specification says. */
export function loadMultiboot(machine: Machine, image: Uint8Array, options: BootOptions): void {
  const file = new Input(image, options.name);
  const flags = findHeader(file);
  const { entry, loaded } = loadSegments(machine, file);
  const info = writeInformation(machine, options, loaded, (flags & 1) !== 0);

  const vcpu = machine.vcpus[0];
  if (vcpu === undefined) return;
  enterProtectedMode(vcpu, entry, { code: 0x08, data: 0x10 });
  vcpu.regs.rax = BigInt(bootMagic);
  vcpu.regs.rbx = BigInt(info);
}

/** Reads with bounds: whatever the file says, an offset outside it is an error that names the place. */
class Input {
  readonly bytes: Uint8Array;
  readonly name: string;
  readonly #view: DataView;
  constructor(bytes: Uint8Array, name: string) {
    this.bytes = bytes;
    this.name = name;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
  u16(offset: number, what: string): number {
    return this.#view.getUint16(this.#inside(offset, 2, what), true);
  }
  u32(offset: number, what: string): number {
    return this.#view.getUint32(this.#inside(offset, 4, what), true);
  }
  slice(offset: number, bytes: number, what: string): Uint8Array {
    return this.bytes.subarray(this.#inside(offset, bytes, what), offset + bytes);
  }
  fail(offset: number, message: string, expected: string): CorruptInputError {
    return new CorruptInputError(`${this.name}: ${message} at offset 0x${offset.toString(16)}; expected ${expected}`, {
      file: this.name,
      offset,
      expected,
    });
  }
  #inside(offset: number, bytes: number, what: string): number {
    if (offset + bytes <= this.bytes.length) return offset;
    throw this.fail(
      offset,
      `the file ends (at 0x${this.bytes.length.toString(16)}) inside ${what}`,
      `${bytes} bytes of it`,
    );
  }
}

function findHeader(file: Input): number {
  const last = Math.min(file.bytes.length, searchBytes) - 12;
  for (let offset = 0; offset <= last; offset += 4) {
    if (file.u32(offset, 'the header') !== headerMagic) continue;
    const flags = file.u32(offset + 4, 'the multiboot header');
    const checksum = file.u32(offset + 8, 'the multiboot header');
    if ((headerMagic + flags + checksum) >>> 0 !== 0) continue;
    const refused = flags & 0xffff & ~supportedFlags;
    if (refused !== 0) {
      throw file.fail(
        offset + 4,
        `the multiboot header requires features 0x${refused.toString(16)}`,
        'none beyond flags 0 and 1',
      );
    }
    return flags;
  }
  throw file.fail(
    0,
    'an ELF file without a multiboot-1 header',
    `magic 0x1BADB002 and its checksum in the first ${searchBytes} bytes`,
  );
}

function loadSegments(machine: Machine, file: Input): { entry: number; loaded: readonly Range[] } {
  if (file.bytes[4] !== 1)
    throw file.fail(4, 'an ELF file of class 64', 'ELF32 (64-bit code may stand in one: objcopy -O elf32-i386)');
  if (file.bytes[5] !== 1) throw file.fail(5, 'a big-endian ELF file', 'little-endian');
  const machineType = file.u16(18, 'the ELF header');
  if (machineType !== 3) throw file.fail(18, `ELF machine type ${machineType}`, '3 (Intel 80386)');
  const entry = file.u32(24, 'the ELF header');
  const tableAt = file.u32(28, 'the ELF header');
  const entryBytes = file.u16(42, 'the ELF header');
  const entries = file.u16(44, 'the ELF header');
  if (entryBytes < 32) throw file.fail(42, `program headers of ${entryBytes} bytes`, 'at least 32');
  const loaded: Range[] = [];
  for (let i = 0; i < entries; i++) {
    const at = tableAt + i * entryBytes;
    if (file.u32(at, 'a program header') !== 1) continue; // PT_LOAD
    const [offset, address, fileBytes, memoryBytes] = [4, 12, 16, 20].map((field) =>
      file.u32(at + field, 'a program header'),
    ) as [number, number, number, number];
    if (memoryBytes < fileBytes)
      throw file.fail(at + 20, `a segment of 0x${fileBytes.toString(16)} file bytes`, 'no more than its memory size');
    if (memoryBytes === 0) continue;
    try {
      machine.memory.write(address, file.slice(offset, fileBytes, 'a segment'));
      zero(machine, address + fileBytes, memoryBytes - fileBytes);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw file.fail(
        at + 12,
        `a segment at 0x${address.toString(16)} does not fit: ${error.message}`,
        'guest memory there (--memory)',
      );
    }
    loaded.push({ from: address, to: address + memoryBytes });
  }
  if (loaded.length === 0) throw file.fail(tableAt, 'an ELF file with nothing to load', 'a PT_LOAD segment');
  return { entry, loaded };
}

/** The lowest place in conventional memory that the image leaves free, or the one behind the image. */
function placeForInformation(loaded: readonly Range[]): number {
  const pageFrom = (address: number): number => Math.ceil(address / pageBytes) * pageBytes;
  let from: number = infoArea.from;
  for (const range of [...loaded].sort((a, b) => a.from - b.from)) {
    if (range.from < from + infoBytes && range.to > from) from = pageFrom(range.to);
  }
  return from + infoBytes <= infoArea.to ? from : pageFrom(Math.max(...loaded.map(({ to }) => to)));
}

function zero(machine: Machine, address: number, bytes: number): void {
  const chunk = new Uint8Array(Math.min(bytes, 1 << 20));
  for (let done = 0; done < bytes; done += chunk.length) {
    machine.memory.write(address + done, chunk.subarray(0, Math.min(chunk.length, bytes - done)));
  }
}

/** Boot information, memory map, command line and module list (section 3.3). Gives its address. */
function writeInformation(
  machine: Machine,
  options: BootOptions,
  loaded: readonly Range[],
  alignModules: boolean,
): number {
  const place = placeForInformation(loaded);
  const imageEnd = Math.max(place + infoBytes, ...loaded.map(({ to }) => to));
  const writer = new Writer(machine, place);
  const info = writer.reserve(120);
  const commandLine = writer.text(options.append ? `${options.name} ${options.append}` : options.name);
  const loader = writer.text('vtkit');
  const ram = [...machine.memory.slots.values()];
  const low = ram.find(({ guestPhysical }) => guestPhysical === 0n)?.bytes ?? 0n;

  const map = availableMemory(machine);
  const mapAt = writer.reserve(24 * map.length);
  for (const [i, { base, length }] of map.entries()) {
    machine.memory.writeUint32(mapAt + 24 * i, 20);
    machine.memory.writeBigUint64(mapAt + 24 * i + 4, base);
    machine.memory.writeBigUint64(mapAt + 24 * i + 12, length);
    machine.memory.writeUint32(mapAt + 24 * i + 20, 1);
  }

  let flags = 0x1 | 0x4 | 0x40 | 0x200; // memory sizes, command line, memory map, loader name
  if (options.initrd !== undefined) {
    flags |= 0x8;
    const align = alignModules ? pageBytes : 16;
    const start = Math.ceil(Math.max(imageEnd, 0x10_0000) / align) * align;
    machine.memory.write(start, options.initrd.bytes);
    const list = writer.reserve(16);
    machine.memory.writeUint32(list, start);
    machine.memory.writeUint32(list + 4, start + options.initrd.bytes.length);
    machine.memory.writeUint32(list + 8, writer.text(options.initrd.name));
    machine.memory.writeUint32(info + 20, 1);
    machine.memory.writeUint32(info + 24, list);
  }
  const upper = low > 0x10_0000n ? Number((low - 0x10_0000n) / 1024n) : 0;
  machine.memory.writeUint32(info, flags);
  machine.memory.writeUint32(info + 4, Math.min(640, Number(low / 1024n)));
  machine.memory.writeUint32(info + 8, Math.min(upper, 0xffff_ffff));
  machine.memory.writeUint32(info + 16, commandLine);
  machine.memory.writeUint32(info + 44, 24 * map.length);
  machine.memory.writeUint32(info + 48, mapAt);
  machine.memory.writeUint32(info + 64, loader);
  return info;
}

/** Places data one after the other in the area for boot information. */
class Writer {
  #next: number;
  readonly #end: number;
  readonly #machine: Machine;
  constructor(machine: Machine, place: number) {
    this.#machine = machine;
    this.#next = place;
    this.#end = place + infoBytes;
  }
  reserve(bytes: number): number {
    const at = this.#next;
    this.#next = (at + bytes + 7) & ~7;
    if (this.#next > this.#end)
      throw new RangeError(`the command line is too long: boot information has ${infoBytes} bytes`);
    return at;
  }
  text(text: string): number {
    const bytes = new TextEncoder().encode(`${text}\0`);
    const at = this.reserve(bytes.length);
    this.#machine.memory.write(at, bytes);
    return at;
  }
}
