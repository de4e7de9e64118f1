/** A host from a file that was taken of it: the format is recognised by its content. */
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { looksLikeAcpidump, readAcpiTables } from '../acpi/acpidump.ts';
import { decodeDmar } from '../acpi/dmar.ts';
import { CorruptInputError, UsageError } from '../errors.ts';
import { looksLikeConfigSpace, unknown } from '../pci/config-space.ts';
import { looksLikeLspci, parseLspci } from '../pci/lspci.ts';
import { dumped } from '../pci/record.ts';
import { looksLikeCapture, parseCapture } from './capture.ts';
import { looksLikeAida64, parseAida64 } from './dumps/aida64.ts';
import { looksLikeCpuidRaw, looksLikeLibvirt, parseCpuidRaw, parseLibvirt } from './dumps/cpuid-raw.ts';
import { type DumpKind, type Fact, type HostRecord, known, recordOf } from './facts.ts';

type Part = (Partial<Omit<HostRecord, 'source'>> & { readonly release?: string | null }) | undefined;

interface Format<Content> {
  readonly kind: DumpKind;
  readonly name: string;
  readonly matches: (content: Content) => boolean;
  /** Undefined where nothing of the format is in the file after all. */
  readonly read: (content: Content, file: string) => Part;
}

const binaryFormats: readonly Format<Uint8Array>[] = [
  {
    kind: 'acpi-dump',
    name: 'a raw DMAR table',
    matches: (bytes) => Buffer.from(bytes.subarray(0, 4)).toString('latin1') === 'DMAR' && bytes.includes(0),
    read: (bytes, file) => ({ dmarTable: dmarOf(bytes, file), acpiTables: known(file, ['DMAR']) }),
  },
];

/** Behind the table: its first four bytes are a maker's and a device's number. */
const bareSpace: Format<Uint8Array> = {
  kind: 'pci-dump',
  name: 'a raw configuration space',
  matches: looksLikeConfigSpace,
  read: (config, file) => ({ pciRecords: known(file, [dumped(unknown, config)]) }),
};

const textFormats: readonly Format<string>[] = [
  { kind: 'capture', name: 'a vtkit capture', matches: looksLikeCapture, read: readCapture },
  { kind: 'cpuid-dump', name: 'libvirt CPU data', matches: looksLikeLibvirt, read: parseLibvirt },
  { kind: 'cpu-dump', name: 'CPUID and MSR text (AIDA64, InstLatx64)', matches: looksLikeAida64, read: parseAida64 },
  { kind: 'acpi-dump', name: 'acpidump', matches: looksLikeAcpidump, read: readAcpidump },
  { kind: 'pci-dump', name: 'lspci -x, -xxx or -xxxx', matches: looksLikeLspci, read: readLspci },
  { kind: 'cpuid-dump', name: 'cpuid -r', matches: looksLikeCpuidRaw, read: parseCpuidRaw },
];

/** A file that is nothing but a table should be one: of a host, a broken table is a fact among others. */
function dmarOf(bytes: Uint8Array, file: string): Fact<Uint8Array> {
  decodeDmar(bytes, file);
  return known(file, bytes);
}

/** The table of a machine that has one; without, firmware offers none. */
function readAcpidump(text: string, file: string): Part {
  const tables = readAcpiTables(text);
  if (tables.length === 0) return undefined;
  const dmar = tables.find(({ signature }) => signature === 'DMAR');
  const absent = { source: file, error: 'there is no DMAR table in it', code: 'ENOENT' };
  return {
    acpiTables: known(file, [...new Set(tables.map(({ signature }) => signature))].sort()),
    dmarTable: dmar === undefined ? absent : dmarOf(dmar.bytes, file),
  };
}

function readLspci(text: string, file: string): Part {
  const records = parseLspci(text, file).map(({ address, bytes, faults }) => dumped(address, bytes, faults));
  return { pciRecords: known(file, records) };
}

function readCapture(text: string, file: string): Part {
  // Texts are read as single bytes; this one is of people's words too.
  const { release, facts } = parseCapture(Buffer.from(text, 'latin1').toString('utf8'), file);
  return { release, ...facts };
}

/** What `--from` reads, for messages. */
export const formatNames: readonly string[] = [...binaryFormats, bareSpace, ...textFormats].map(({ name }) => name);

/** More than a whole machine's lspci -xxxx, and little enough to read at once. */
const largestBytes = 64 << 20;
const headBytes = 4096;

/**
 * @throws UsageError where the file cannot be opened
 * @throws CorruptInputError where it is none of the formats, or breaks off: with its offset or line and what was expected
 */
export function readHostFile(path: string): HostRecord {
  return readHostBytes(contentOf(path), path);
}

/** The same of a file's content. @param path for errors */
export function readHostBytes(bytes: Uint8Array, path: string): HostRecord {
  const binary = readAs([...binaryFormats, bareSpace], bytes, path);
  if (binary !== undefined) return binary;
  const text = textOf(bytes);
  const found = text === undefined ? undefined : readAs(textFormats, text, path);
  if (found !== undefined) return found;
  const expected = `one of: ${formatNames.join('; ')}`;
  throw new CorruptInputError(`${path}: not a dump that is known`, {
    file: path,
    offset: 0,
    expected,
    hint: `expected ${expected}`,
  });
}

function readAs<Content>(formats: readonly Format<Content>[], content: Content, file: string): HostRecord | undefined {
  for (const { kind, matches, read } of formats) {
    const part = matches(content) ? read(content, file) : undefined;
    if (part === undefined) continue;
    const { release = null, ...facts } = part;
    return recordOf({ kind, file, release }, facts);
  }
  return undefined;
}

function contentOf(path: string): Uint8Array {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (cause) {
    throw new UsageError(`'${path}' cannot be read: ${(cause as Error).message}`, { cause });
  }
  try {
    const { size } = fstatSync(file);
    if (size > largestBytes) {
      throw new CorruptInputError(`${path}: ${size} bytes are more than any dump has`, {
        file: path,
        offset: largestBytes,
        expected: `at most ${largestBytes} bytes`,
      });
    }
    return readFileSync(file);
  } catch (cause) {
    if (cause instanceof CorruptInputError) throw cause;
    throw new UsageError(`'${path}' cannot be read: ${(cause as Error).message}`, { cause });
  } finally {
    closeSync(file);
  }
}

/** Undefined for what is no text: a NUL in its first bytes, unless a byte order mark says UTF-16. */
function textOf(bytes: Uint8Array): string | undefined {
  const [first, second] = bytes;
  if (first === 0xff && second === 0xfe) return Buffer.from(bytes).toString('utf16le');
  if (bytes.subarray(0, headBytes).includes(0)) return undefined;
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}
