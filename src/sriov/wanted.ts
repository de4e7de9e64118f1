/** The wanted state of a host's ports, as a YAML file says it. */
import { readFileSync, statSync } from 'node:fs';
import { LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import { CorruptInputError, UsageError } from '../errors.ts';
import type { Setting } from '../netlink/vf-settings.ts';
import { parseAddress } from '../pci/address.ts';
import { parseSetting, settingOptions } from './settings.ts';

export interface WantedPort {
  readonly address: string;
  /** 0 for none. */
  readonly vfs: number;
  /** Of each virtual function; undefined leaves them as they are. */
  readonly driver: string | undefined;
  readonly queues: number | undefined;
  /** By number of the virtual function. */
  readonly settings: ReadonlyMap<number, readonly Setting[]>;
}

/** What a person writes: `100`, `100-1000`, `on`, `true`. */
const word = z
  .union([z.string(), z.number(), z.boolean().transform((value) => (value ? 'on' : 'off'))])
  .transform(String);

const settings = z.strictObject(
  Object.fromEntries(settingOptions.map(({ key }) => [key, word.optional()])) as Record<
    string,
    z.ZodOptional<typeof word>
  >,
);

const file = z.strictObject({
  ports: z.record(
    z.string().refine((text) => parseAddress(text) !== undefined, 'no PCI address'),
    z.strictObject({
      vfs: z.int().min(0).max(0xffff),
      driver: z
        .string()
        .regex(/^[\w-]+$/)
        .optional(),
      queues: z.int().min(1).optional(),
      settings: z.record(z.string().regex(/^\d{1,5}$/, 'no number of a virtual function'), settings).optional(),
    }),
  ),
});

/** Far more than every virtual function of a large host needs. */
const largestBytes = 4 << 20;

/** @throws CorruptInputError naming the line, or the place in the file and what is wrong there */
export function readWanted(path: string): WantedPort[] {
  let text: string;
  try {
    if (statSync(path).size > largestBytes) throw new Error(`more than ${largestBytes} bytes`);
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new UsageError(`'${path}' cannot be read: ${(cause as Error).message}`, { cause });
  }
  return parseWanted(text, path);
}

export function parseWanted(text: string, path: string): WantedPort[] {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const [fault] = document.errors;
  if (fault !== undefined) {
    const { line } = lines.linePos(fault.pos[0]);
    throw new CorruptInputError(`${path}:${line}: ${fault.message}`, { file: path, line, expected: 'YAML' });
  }
  const checked = file.safeParse(toValue(document, path));
  if (!checked.success) {
    const [issue] = checked.error.issues;
    const place = issue?.path.join('.') || 'the file';
    throw new CorruptInputError(`${path}: ${place}: ${issue?.message}`, { file: path, hint: example });
  }
  return Object.entries(checked.data.ports).map(([address, port]) => {
    const given = Object.entries(port.settings ?? {}).map(([index, values]) => [Number(index), values] as const);
    const beyond = given.find(([index]) => index >= port.vfs);
    if (beyond !== undefined) {
      throw new CorruptInputError(`${path}: ports.${address}.settings.${beyond[0]}: there are to be ${port.vfs}`, {
        file: path,
      });
    }
    const parsed = given.map(([index, values]) => [index, settingsOf(values)] as const);
    return { address, vfs: port.vfs, driver: port.driver, queues: port.queues, settings: new Map(parsed) };
  });
}

/** Aliases that multiply are refused here. */
function toValue(document: ReturnType<typeof parseDocument>, path: string): unknown {
  try {
    return document.toJS();
  } catch (cause) {
    throw new CorruptInputError(`${path}: ${(cause as Error).message}`, { file: path, cause });
  }
}

const settingsOf = (values: Readonly<Record<string, string | undefined>>): Setting[] =>
  settingOptions.flatMap(({ key }) => {
    const text = values[key];
    return text === undefined ? [] : [parseSetting(key, text)];
  });

const example = 'ports: { "0000:03:00.0": { vfs: 2, driver: vfio-pci, settings: { 0: { mac: 52:54:00:00:00:01 } } } }';
