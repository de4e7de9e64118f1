/** Extended page tables that a program builds: mappings in, tables in host-physical memory out. */
import { type EptMemoryType, eptAddressMask, eptBits, eptMemoryTypes } from '../x86/ept-entries.ts';
import { type Walk, type WalkOptions, walkEpt } from './walk.ts';

type Address = number | bigint;

/** An entry of a table, and where it lies. */
export interface EptChange {
  readonly address: bigint;
  readonly value: bigint;
}

/** Letters of what is allowed: `r`, `rw`, `rx`, `rwx`, or `x` alone. */
export type EptAccess = 'r' | 'rw' | 'rx' | 'rwx' | 'x';

export interface EptOptions {
  /** 4 unless given; 5 where the processor has them. */
  readonly levels?: 4 | 5;
  /** Accessed and dirty flags: off unless given. */
  readonly accessedDirty?: boolean;
  /** Where the tables will lie in host-physical memory: 0x2000_0000_0000 unless given. */
  readonly at?: Address;
}

export interface EptMapping {
  readonly guestPhysical: Address;
  /** Host-physical address: of the machine's memory. */
  readonly host: Address;
  readonly bytes: Address;
  readonly access?: EptAccess;
  readonly memoryType?: EptMemoryType;
}

/** A mapping as it was asked for, with its defaults. */
export interface EptRange {
  readonly guestPhysical: bigint;
  readonly host: bigint;
  readonly bytes: bigint;
  readonly access: EptAccess;
  readonly memoryType: EptMemoryType;
}

const pageBytes = 4096n;
const accesses: Readonly<Record<EptAccess, bigint>> = { r: 1n, rw: 3n, rx: 5n, rwx: 7n, x: 4n };
const anywhere = 7n;
const large = 1n << BigInt(eptBits.large);
/** 2 MiB and 1 GiB, where a mapping is large enough and aligned; 4 KiB else. */
const leafLevels = [3, 2, 1] as const;

export class Ept {
  readonly levels: 4 | 5;
  readonly base: bigint;
  readonly #flags: bigint;
  /** Tables in the order of their pages from `base`; the first is the root. */
  readonly #tables: BigUint64Array[] = [new BigUint64Array(512)];
  readonly #ranges: EptRange[] = [];
  #changes: EptChange[] = [];

  constructor(options: EptOptions = {}) {
    this.levels = options.levels ?? 4;
    if (this.levels !== 4 && this.levels !== 5) throw new RangeError('levels must be 4 or 5');
    this.base = BigInt(options.at ?? 0x2000_0000_0000);
    if (this.base % pageBytes !== 0n) throw new RangeError('at must be a multiple of 4096');
    this.#flags = options.accessedDirty === true ? 1n << 6n : 0n;
  }

  /** The EPT pointer (EPTP), with write-back tables (SDM Vol. 3C, table 25-9). */
  get pointer(): bigint {
    return this.base | this.#flags | (BigInt(this.levels - 1) << 3n) | BigInt(eptMemoryTypes.wb);
  }

  /** What is mapped, in the order of the calls. */
  get ranges(): readonly EptRange[] {
    return this.#ranges;
  }

  /** The entries that changed since the last call, in order: whoever has the tables in memory writes them there. @internal */
  takeChanges(): readonly EptChange[] {
    const changes = this.#changes;
    this.#changes = [];
    return changes;
  }

  /** Bytes of the tables. */
  get tableBytes(): number {
    return this.#tables.length * Number(pageBytes);
  }

  /**
   * Maps guest-physical addresses, with the largest pages that fit.
   * @throws RangeError if the range is empty, misaligned, too high, or mapped in part already; nothing is changed then
   */
  map(mapping: EptMapping): this {
    const range: EptRange = {
      guestPhysical: BigInt(mapping.guestPhysical),
      host: BigInt(mapping.host),
      bytes: BigInt(mapping.bytes),
      access: mapping.access ?? 'rwx',
      memoryType: mapping.memoryType ?? 'wb',
    };
    this.#check(range);
    const flags = (accesses[range.access] ?? 0n) | (BigInt(eptMemoryTypes[range.memoryType]) << 3n);
    for (let done = 0n; done < range.bytes; ) {
      const guest = range.guestPhysical + done;
      const host = range.host + done;
      const level = leafLevels.find((each) => fits(each, guest, host, range.bytes - done)) ?? 1;
      this.#put(guest, level, host | flags | (level > 1 ? large : 0n));
      done += sizeOf(level);
    }
    this.#ranges.push(range);
    return this;
  }

  /** Takes away a mapping that map() made, as a whole. @throws RangeError if there is none from that address on */
  unmap(guestPhysical: Address): this {
    const start = BigInt(guestPhysical);
    const at = this.#ranges.findIndex((range) => range.guestPhysical === start);
    const range = this.#ranges[at];
    if (range === undefined) throw new RangeError(`nothing is mapped from 0x${start.toString(16)} on`);
    for (let done = 0n; done < range.bytes; ) {
      const guest = range.guestPhysical + done;
      const level = leafLevels.find((each) => fits(each, guest, range.host + done, range.bytes - done)) ?? 1;
      this.#put(guest, level, 0n);
      done += sizeOf(level);
    }
    this.#ranges.splice(at, 1);
    return this;
  }

  /** The mapping that holds an address. */
  find(guestPhysical: Address): EptRange | undefined {
    const address = BigInt(guestPhysical);
    return this.#ranges.find((range) => address >= range.guestPhysical && address < range.guestPhysical + range.bytes);
  }

  /** Walks these tables as the processor will. */
  walk(guestPhysical: Address, options: WalkOptions = {}): Walk {
    const read = (address: bigint) => {
      const offset = address - this.base;
      return this.#tables[Number(offset / pageBytes)]?.[Number((offset % pageBytes) / 8n)];
    };
    return walkEpt(read, this.pointer, BigInt(guestPhysical), options);
  }

  #check(range: EptRange): void {
    const { guestPhysical, host, bytes, access, memoryType } = range;
    if (!Object.hasOwn(accesses, access))
      throw new RangeError(`access must be one of ${Object.keys(accesses).join(', ')}`);
    if (!Object.hasOwn(eptMemoryTypes, memoryType)) {
      throw new RangeError(`memoryType must be one of ${Object.keys(eptMemoryTypes).join(', ')}`);
    }
    if (bytes <= 0n || guestPhysical < 0n || host < 0n || (guestPhysical | host | bytes) % pageBytes !== 0n) {
      throw new RangeError('guestPhysical, host and bytes must be multiples of 4096, and bytes above 0');
    }
    if ((guestPhysical + bytes - 1n) >> BigInt(12 + 9 * this.levels) !== 0n) {
      throw new RangeError(`${this.levels} levels translate ${12 + 9 * this.levels} bits of an address`);
    }
    if ((host + bytes - 1n) >> 52n !== 0n) throw new RangeError('a host-physical address has at most 52 bits');
    const other = this.#ranges.find(
      (each) => guestPhysical < each.guestPhysical + each.bytes && each.guestPhysical < guestPhysical + bytes,
    );
    if (other !== undefined) {
      throw new RangeError(
        `0x${other.guestPhysical.toString(16)}..0x${(other.guestPhysical + other.bytes).toString(16)} is mapped already: unmap it first`,
      );
    }
  }

  #put(guest: bigint, leaf: number, value: bigint): void {
    let number = 0;
    for (let level: number = this.levels; level > leaf; level--) {
      const table = this.#tables[number] as BigUint64Array;
      const index = Number((guest >> BigInt(12 + 9 * (level - 1))) & 511n);
      const entry = table[index] as bigint;
      if (entry === 0n || (level <= 3 && (entry & large) !== 0n)) {
        this.#set(number, index, (this.base + BigInt(this.#tables.length) * pageBytes) | anywhere);
        this.#tables.push(new BigUint64Array(512));
      }
      number = Number((((table[index] as bigint) & eptAddressMask) - this.base) / pageBytes);
    }
    this.#set(number, Number((guest >> BigInt(12 + 9 * (leaf - 1))) & 511n), value);
  }

  #set(table: number, index: number, value: bigint): void {
    (this.#tables[table] as BigUint64Array)[index] = value;
    this.#changes.push({ address: this.base + BigInt(table) * pageBytes + BigInt(index * 8), value });
  }
}

const sizeOf = (level: number): bigint => pageBytes << BigInt(9 * (level - 1));

function fits(level: number, guest: bigint, host: bigint, bytes: bigint): boolean {
  const size = sizeOf(level);
  return bytes >= size && (guest | host) % size === 0n;
}
