/** JSON files with a schema: versions, and errors that name the place. Zod takes 30 ms to load, and only these need it. */
import { createRequire } from 'node:module';
import type * as zod from 'zod';
import { CorruptInputError } from './errors.ts';

export const loadZod = (): typeof zod => createRequire(import.meta.url)('zod') as typeof zod;

/** A schema that is made when it is first asked for. */
export function lazySchema<T>(build: (z: typeof zod) => zod.ZodType<T>): () => zod.ZodType<T> {
  let built: zod.ZodType<T> | undefined;
  return () => {
    built ??= build(loadZod());
    return built;
  };
}

/** Values that JSON has no type for. */
export const codecs = (z: typeof zod) => ({
  hex64: z.codec(z.string().regex(/^0x[0-9a-f]{1,16}$/), z.bigint(), {
    decode: (digits) => BigInt(digits),
    encode: (value) => `0x${value.toString(16)}`,
  }),
  bytes: z.codec(z.string().regex(/^(?:[0-9a-f]{2})*$/), z.instanceof(Uint8Array), {
    decode: (digits) => Uint8Array.from(Buffer.from(digits, 'hex')),
    encode: (value) => Buffer.from(value).toString('hex'),
  }),
});

/** What a kind of document is: the key of its version, and words for messages. */
export interface DocumentKind<T> {
  readonly noun: string;
  readonly writer: string;
  readonly key: string;
  readonly version: number;
  readonly described: string;
  readonly schema: () => zod.ZodType<T>;
}

/** @throws CorruptInputError naming the place in the document and what was expected there */
export function parseDocument<T>(kind: DocumentKind<T>, text: string, file: string): T {
  const { value, fault } = parsed(text);
  if (fault !== undefined) throw corrupt(file, fault, `a whole JSON document, as ${kind.writer} writes it`);
  const version = (value as Record<string, unknown> | null)?.[kind.key];
  if (version !== kind.version) {
    const found = `a ${kind.noun} of version ${String(version)}`;
    throw corrupt(file, found, `version ${kind.version}; a newer vtkit may read it`);
  }
  const { success, data, error } = kind.schema().safeDecode(value as never);
  if (success) return data;
  const [issue] = flattened(error.issues);
  const place = issue?.path.join('.') || 'the document';
  throw corrupt(file, `${place} is wrong (${issue?.message})`, kind.described);
}

function parsed(text: string): { value?: unknown; fault?: string } {
  try {
    return { value: JSON.parse(text) };
  } catch (error) {
    return { fault: (error as Error).message };
  }
}

function corrupt(file: string, found: string, expected: string): CorruptInputError {
  return new CorruptInputError(`${file}: ${found}; expected ${expected}`, { file, expected });
}

/** A union's own message says nothing; the deepest of its branches tells the place. */
function flattened(issues: readonly zod.core.$ZodIssue[]): { path: PropertyKey[]; message: string }[] {
  return issues.flatMap((issue) => {
    if (issue.code !== 'invalid_union') return [issue];
    const branches = issue.errors.map((branch) => flattened(branch));
    const depth = (branch: { path: PropertyKey[] }[]): number => branch[0]?.path.length ?? 0;
    const deepest = branches.sort((a, b) => depth(b) - depth(a))[0] ?? [];
    return deepest.map(({ path, message }) => ({ path: [...issue.path, ...path], message }));
  });
}
