/** Recordings: all that came to a guest from outside, and what became of it, as a JSON file. */
import { createHash } from 'node:crypto';
import type * as zod from 'zod';
import { codecs, type DocumentKind, lazySchema, parseDocument } from '../json-document.ts';

export const recordingVersion = 1;

/** Instructions between two checkpoints, where record and replay are compared, and where snapshots are taken. */
export const checkpointInterval = 1n << 24n;

/** A file that the run was started with. */
export interface RecordedFile {
  readonly name: string;
  readonly sha256: string;
}

/** What COM1 took, and when. */
export interface RecordedInput {
  /** Retired by all processors. */
  readonly instructions: bigint;
  /** Nanoseconds of virtual time. */
  readonly tick: bigint;
  readonly bytes: Uint8Array;
}

/** What was seen of the guest at a moment. */
export interface Checkpoint {
  readonly instructions: bigint;
  /** SHA-256 of registers, time and what the guest has sent. */
  readonly digest: string;
}

export interface Recording {
  readonly vtkitRecording: typeof recordingVersion;
  readonly image: RecordedFile;
  readonly initrd: RecordedFile | null;
  readonly cpu: RecordedFile | null;
  readonly options: {
    readonly memoryBytes: number;
    readonly cpus: number;
    readonly debugExitPort: number;
    readonly append: string | null;
    readonly seed: bigint;
  };
  readonly interval: bigint;
  readonly inputs: readonly RecordedInput[];
  readonly checkpoints: readonly Checkpoint[];
  /** How the run ended: an outcome of the guest's, or `stopped` by somebody. */
  readonly end: Checkpoint & { readonly outcome: string };
}

export const sha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');

function build(z: typeof zod): zod.ZodType<Recording> {
  const { hex64, bytes } = codecs(z);
  const digest = z.string().regex(/^[0-9a-f]{64}$/);
  const file = z.strictObject({ name: z.string(), sha256: digest });
  const count = (most: number) => z.number().int().min(0).max(most);
  const checkpoint = { instructions: hex64, digest };
  return z.strictObject({
    vtkitRecording: z.literal(recordingVersion),
    image: file,
    initrd: file.nullable(),
    cpu: file.nullable(),
    options: z.strictObject({
      memoryBytes: count(2 ** 42),
      cpus: count(255),
      debugExitPort: count(0xfffc),
      append: z.string().nullable(),
      seed: hex64,
    }),
    interval: hex64.refine((value) => value > 0n, 'must be above 0'),
    inputs: z.array(z.strictObject({ instructions: hex64, tick: hex64, bytes })),
    checkpoints: z.array(z.strictObject(checkpoint)),
    end: z.strictObject({ ...checkpoint, outcome: z.string() }),
  }) as unknown as zod.ZodType<Recording>;
}

const schema = lazySchema(build);

const kind: DocumentKind<Recording> = {
  noun: 'recording',
  writer: 'vtkit run --record',
  key: 'vtkitRecording',
  version: recordingVersion,
  described: 'what docs/replay.md describes',
  schema,
};

export function encodeRecording(recording: Recording): string {
  return `${JSON.stringify(schema().encode(recording), null, 1)}\n`;
}

/** @throws CorruptInputError naming the place in the document and what was expected there */
export const parseRecording = (text: string, file: string): Recording => parseDocument(kind, text, file);
