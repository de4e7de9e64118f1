/** A machine's state as bytes: a header that says how long it is, a JSON document, then pages of memory as they are. */
import type * as zod from 'zod';
import { CorruptInputError } from '../errors.ts';
import { codecs, type DocumentKind, lazySchema, parseDocument } from '../json-document.ts';
import { registerNames } from './registers.ts';
import { type MachineState, type MemoryState, stateVersion } from './state.ts';

const magic = Buffer.from('vtkstate', 'latin1');
/** Behind the magic, the length of the document as 32 bits; numbers are little-endian. */
const headerBytes = magic.length + 4;
const pageBytes = 4096;

/** In the document, memory is told by how many pages follow. */
type Slot = Pick<MemoryState, 'guestPhysical' | 'bytes'> & { readonly pages: number };
type Document = Omit<MachineState, 'memory' | 'version'> & {
  readonly vtkitState: number;
  readonly memory: readonly Slot[];
};

export function encodeState(state: MachineState): Uint8Array {
  const { version, memory, ...rest } = state;
  const slots = memory.map(({ guestPhysical, bytes, numbers }) => ({ guestPhysical, bytes, pages: numbers.length }));
  const document = Buffer.from(JSON.stringify(schema().encode({ vtkitState: version, ...rest, memory: slots })));
  const header = Buffer.alloc(headerBytes);
  magic.copy(header);
  header.writeUInt32LE(document.length, magic.length);
  const pages = memory.flatMap(({ numbers, contents }) => {
    const words = Buffer.alloc(4 * numbers.length);
    for (const [i, number] of numbers.entries()) words.writeUInt32LE(number, 4 * i);
    return [words, contents];
  });
  return Buffer.concat([header, document, ...pages]);
}

/** @throws CorruptInputError naming the offset, or the place in the document, and what was expected there */
export function decodeState(bytes: Uint8Array, file: string): MachineState {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const take = (from: number, count: number, what: string): Buffer => {
    if (from + count <= buffer.length) return buffer.subarray(from, from + count);
    const expected = `${count} bytes of ${what} at offset ${from}`;
    throw new CorruptInputError(`${file}: ends at offset ${buffer.length}; expected ${expected}`, {
      file,
      offset: buffer.length,
      expected,
    });
  };
  if (!take(0, magic.length, 'a magic number').equals(magic)) {
    throw new CorruptInputError(`${file}: offset 0 is no state of a machine; expected '${magic}'`, { file, offset: 0 });
  }
  const length = take(magic.length, 4, 'a length').readUInt32LE(0);
  const text = take(headerBytes, length, 'the document').toString('utf8');
  const { vtkitState, memory: slots, ...rest } = parseDocument(kind, text, file);
  let at = headerBytes + length;
  const memory = slots.map(({ guestPhysical, bytes: size, pages }): MemoryState => {
    const words = take(at, 4 * pages, 'page numbers');
    const numbers = Uint32Array.from({ length: pages }, (_, i) => words.readUInt32LE(4 * i));
    const contents = Uint8Array.from(take(at + words.length, pageBytes * pages, 'pages'));
    at += words.length + contents.length;
    return { guestPhysical, bytes: size, numbers, contents };
  });
  if (at !== buffer.length) {
    const expected = 'the end of the file';
    throw new CorruptInputError(`${file}: something follows at offset ${at}; expected ${expected}`, {
      file,
      offset: at,
      expected,
    });
  }
  return { version: stateVersion, ...rest, memory };
}

function build(z: typeof zod): zod.ZodType<Document> {
  const { hex64, bytes } = codecs(z);
  const word = z.number().int().min(0).max(0xffff_ffff);
  const fields = <T>(names: readonly string[], type: T) => Object.fromEntries(names.map((name) => [name, type]));
  const small = ['selector', 'limit', 'type', 'present', 'dpl', 'db', 's', 'l', 'g', 'avl', 'unusable'];
  const segment = z.strictObject({ base: hex64, ...fields(small, word) });
  const table = z.strictObject({ base: hex64, limit: word });
  const vcpu = z.strictObject({
    registers: z.strictObject(fields(registerNames, hex64)),
    sregs: z.strictObject({
      ...fields(['cs', 'ds', 'es', 'fs', 'gs', 'ss', 'tr', 'ldt'], segment),
      ...fields(['gdt', 'idt'], table),
      ...fields(['cr0', 'cr2', 'cr3', 'cr4', 'cr8', 'efer', 'apicBase'], hex64),
    }),
    mpState: word,
    ...fields(['events', 'debugRegs', 'xcrs', 'xsave'], bytes),
    msrs: z.array(z.tuple([word, hex64])).max(256),
    cpuid: z.array(z.strictObject(fields(['leaf', 'subleaf', 'flags', 'eax', 'ebx', 'ecx', 'edx'], word))).max(256),
  });
  return z.strictObject({
    vtkitState: z.literal(stateVersion),
    backend: z.enum(['kvm', 'emulated']),
    irqchip: z.enum(['none', 'pic', 'kernel']),
    vcpus: z.array(vcpu).min(1).max(255),
    devices: bytes,
    engine: bytes.nullable(),
    kept: z.record(z.string(), z.json()),
    memory: z.array(z.strictObject({ guestPhysical: hex64, bytes: hex64, pages: word })).max(512),
  }) as unknown as zod.ZodType<Document>;
}

const schema = lazySchema(build);

const kind: DocumentKind<Document> = {
  noun: 'state',
  writer: 'encodeState()',
  key: 'vtkitState',
  version: stateVersion,
  described: 'what docs/replay.md describes',
  schema,
};
