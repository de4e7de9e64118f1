/** Files that were taken of real hosts, where they lie beside the checkout. */
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { TestContext } from 'vitest';

const root = new URL('../../', import.meta.url);
const folder = ['../shared/data/', '../../shared/data/']
  .map((path) => fileURLToPath(new URL(path, root)))
  .find((path) => existsSync(path));

export type DumpKind = 'cpu' | 'dmar' | 'pci';

/** All of a kind; none where they are not there. */
export function dumps(kind: DumpKind): string[] {
  if (folder === undefined) return [];
  return readdirSync(`${folder}${kind}`)
    .sort()
    .map((name) => `${folder}${kind}/${name}`);
}

/** The one whose name has this part; skips the test where it is not there. */
export function dumpOrSkip(context: TestContext, kind: DumpKind, part: string): string {
  const file = dumps(kind).find((path) => path.includes(part));
  if (file === undefined) context.skip(`the dump ${part} is not beside this checkout`);
  return file;
}
