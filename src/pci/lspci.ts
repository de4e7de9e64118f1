/** Dumps in the form of `lspci -x`, `-xxx` and `-xxxx`: one function or a whole machine, with or without -v text between. */
import { CorruptInputError } from '../errors.ts';
import { formatAddress, parseAddress } from './address.ts';
import { hex, type PciFault, spaceBytes } from './config-space.ts';

export interface PciDump {
  /** With its domain, as sysfs names it. */
  readonly address: string;
  readonly description?: string;
  /** From offset 0 on, without a gap. */
  readonly bytes: Uint8Array;
  readonly faults: readonly PciFault[];
}

/** Lines of a dump are short; what is longer is text of something else. */
const longestLine = 1000;
/** Its first bytes come early, even behind the text of `-vvv`. */
const recognisedWithin = 0x40_0000;
const rowBytes = 16;
/** As many as one domain has room for; machines have a few thousand, virtual ones included. */
const mostFunctions = 0x1_0000;

export function looksLikeLspci(text: string): boolean {
  let inFunction = false;
  for (const { line } of linesOf(text.slice(0, recognisedWithin))) {
    if (functionLine(line) !== undefined) inFunction = true;
    else if (inFunction && rowOffset(line) === 0 && parseRow(line) !== undefined) return true;
  }
  return false;
}

/** @throws CorruptInputError naming the line, where no function can be read */
export function parseLspci(text: string, file: string): PciDump[] {
  const found = new Map<string, Reading>();
  let reading: Reading | undefined;
  let firstFault: { line: number; message: string } | undefined;
  for (const { line, number } of linesOf(text)) {
    const heading = functionLine(line);
    if (heading !== undefined) {
      keep(found, reading);
      if (found.size >= mostFunctions) throw tooMany(file, number);
      reading = new Reading(heading.address, heading.description);
      continue;
    }
    const offset = rowOffset(line);
    if (offset === undefined) continue;
    const wrong = reading === undefined ? 'a row that belongs to no function' : reading.add(offset, line, number);
    if (wrong !== undefined) firstFault ??= { line: number, message: wrong };
  }
  keep(found, reading);
  if (![...found.values()].some(({ length }) => length > 0)) {
    const expected =
      'lines such as "00:02.0 VGA compatible controller: ...", each with rows of 16 bytes such as "00: 86 80 ..."';
    const { line, message } = firstFault ?? { line: 1, message: 'no bytes of a configuration space' };
    const hint = 'lspci prints them with -x, -xxx or -xxxx';
    throw new CorruptInputError(`${file}: ${message} at line ${line}; expected ${expected}`, {
      ...{ file, line, expected, hint },
    });
  }
  return [...found.values()].map((each) => each.dump());
}

function tooMany(file: string, line: number): CorruptInputError {
  const expected = `at most ${mostFunctions} functions`;
  return new CorruptInputError(`${file}: one more function at line ${line}; expected ${expected}`, {
    file,
    line,
    expected,
  });
}

/** A log may hold a function twice, as of `lspci -v` and of `lspci -xxxx`: what shows more of it is kept. */
function keep(found: Map<string, Reading>, reading: Reading | undefined): void {
  if (reading === undefined) return;
  const before = found.get(reading.address);
  if (before === undefined || before.length < reading.length) found.set(reading.address, reading);
}

class Reading {
  readonly address: string;
  readonly description: string;
  readonly #bytes: number[] = [];
  readonly #faults: PciFault[] = [];
  #broken = false;

  constructor(address: string, description: string) {
    this.address = address;
    this.description = description;
  }

  get length(): number {
    return this.#bytes.length;
  }

  /** What is wrong with the row, if something is. Rows behind a bad one have no place: they are left out. */
  add(offset: number, line: string, number: number): string | undefined {
    if (this.#broken) return undefined;
    const bytes = parseRow(line);
    const end = this.#bytes.length;
    if (bytes !== undefined && offset === end && end % rowBytes === 0 && end < spaceBytes.express) {
      this.#bytes.push(...bytes);
      return undefined;
    }
    this.#broken = true;
    const message =
      bytes === undefined || offset === end
        ? 'a row that cannot be read'
        : `row ${hex(offset)} where ${hex(end)} was due`;
    this.#faults.push({ message: `line ${number}: ${message}`, offset });
    return message;
  }

  dump(): PciDump {
    return {
      address: this.address,
      ...(this.description === '' ? {} : { description: this.description }),
      bytes: Uint8Array.from(this.#bytes),
      faults: this.#faults,
    };
  }
}

function functionLine(line: string): { address: string; description: string } | undefined {
  const end = line.search(/\s|$/);
  // The shortest is 00:00.0; of most lines the first word tells enough.
  if (end < 7 || end > 16 || line[end - 2] !== '.') return undefined;
  const location = parseAddress(line.slice(0, end));
  return location === undefined ? undefined : { address: formatAddress(location), description: line.slice(end).trim() };
}

/** The offset that a line of bytes begins with: two or three digits, a colon, a space. */
function rowOffset(line: string): number | undefined {
  const colon = line.charCodeAt(2) === 0x3a ? 2 : line.charCodeAt(3) === 0x3a ? 3 : 0;
  if (colon === 0 || line.charCodeAt(colon + 1) !== 0x20) return undefined;
  let offset = 0;
  for (let at = 0; at < colon; at++) {
    const digit = digitOf(line.charCodeAt(at));
    if (digit < 0) return undefined;
    offset = offset * 16 + digit;
  }
  return offset;
}

/** Up to 16 bytes of two digits, each behind a space; undefined for anything else. */
function parseRow(line: string): number[] | undefined {
  const bytes: number[] = [];
  for (let at = line.indexOf(':') + 1; at < line.length; at += 3) {
    const [high, low] = [digitOf(line.charCodeAt(at + 1)), digitOf(line.charCodeAt(at + 2))];
    if (line.charCodeAt(at) !== 0x20 || high < 0 || low < 0 || bytes.length === rowBytes) return undefined;
    bytes.push(high * 16 + low);
  }
  return bytes.length === 0 ? undefined : bytes;
}

function digitOf(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const letter = code | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

function* linesOf(text: string): Generator<{ line: string; number: number }> {
  let number = 1;
  for (let at = text.startsWith('\ufeff') ? 1 : 0; at < text.length; number++) {
    const newline = text.indexOf('\n', at);
    const end = newline < 0 ? text.length : newline;
    if (end - at <= longestLine) yield { line: text.slice(at, end).trimEnd(), number };
    at = end + 1;
  }
}
