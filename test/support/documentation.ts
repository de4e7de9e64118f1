/** What the documentation shows: its fenced blocks. */
import { readFileSync } from 'node:fs';

const root = new URL('../../', import.meta.url);

/** Blocks of a language in a file of this repository, in their order. */
export const snippets = (file: string, language: string): string[] =>
  [
    ...readFileSync(new URL(file, root), 'utf8').matchAll(new RegExp(`^\`\`\`${language}\n([\\s\\S]*?)^\`\`\`$`, 'gm')),
  ].map(([, code = '']) => code);
