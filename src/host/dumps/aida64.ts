/** Dumps of CPUID and MSRs as EVEREST and AIDA64 write them, and InstLatx64 collects them: all their layouts. */
import { CorruptInputError } from '../../errors.ts';
import { lines } from './lines.ts';
import { type ProcessorFacts, Processors } from './processors.ts';

/** `CPUID 0000000D: …`, with a colon, a tab or spaces after the leaf; `MSR 00000480: …`. */
const row = /^\s{0,64}(CPUID|MSR) ([0-9A-F]{8})(?![0-9A-F])[:\s]{0,80}/i;
const registers = /^([0-9A-F]{8})[-\s]{1,8}([0-9A-F]{8})[-\s]{1,8}([0-9A-F]{8})[-\s]{1,8}([0-9A-F]{8})(?![0-9A-F])/i;
const subleafTag = /\[SL ([0-9A-F]{1,8})\]/i;
const msrValue = /^([0-9A-F]{4})-([0-9A-F]{4})-([0-9A-F]{4})-([0-9A-F]{4})(?![0-9A-F-])/i;
const failed = /^<\s*FAILED\s*>/i;

/** `------[ MSR Registers / Logical CPU #3 ]------` counts from 0, `CPUID Registers (CPU #1):` from 1. */
const section = /^-+\[ (.*) \]-+\s*$/;
const fromZero = /Logical CPU #(\d{1,6})/;
const fromOne = /^\s{0,64}(?:CPUID|MSR) Registers \((?:Logical )?CPU #(\d{1,6})\)/;

export function looksLikeAida64(text: string): boolean {
  return /^[ \t]{0,64}CPUID [0-9A-F]{8}(?![0-9A-F])[: \t]{0,80}[0-9A-F]{8}[- \t]/im.test(text);
}

/** @throws CorruptInputError naming the line and what was expected there */
export function parseAida64(text: string, file: string): ProcessorFacts | undefined {
  const processors = new Processors();
  let cpu = 0;
  let named = false;
  /** Rows of one leaf without a tag, in a row: they count subleaves. */
  let untagged = { leaf: -1, count: 0 };
  for (const [line, number] of lines(text)) {
    const first = line.charCodeAt(0);
    const header = first === dash ? section.exec(line)?.[1] : undefined;
    const counted = header === undefined ? fromOne.exec(line)?.[1] : undefined;
    if (header !== undefined || counted !== undefined) {
      const digits = header === undefined ? undefined : fromZero.exec(header)?.[1];
      cpu = digits !== undefined ? Number(digits) : counted !== undefined ? Math.max(Number(counted) - 1, 0) : 0;
      named = digits !== undefined || counted !== undefined;
      untagged = { leaf: -1, count: 0 };
      continue;
    }
    const match = row.exec(line);
    if (match === null) continue;
    const [prefix, kind = '', digits = ''] = match;
    const index = Number.parseInt(digits, 16);
    const rest = line.slice(prefix.length);
    if (kind.toUpperCase() === 'MSR') {
      if (processors.wants(index)) processors.msr(cpu, index, msrOf(rest, file, number));
      continue;
    }
    const values = registers.exec(rest);
    if (values === null)
      throw corrupt(file, number, `the registers of CPUID leaf ${digits}`, 'XXXXXXXX-XXXXXXXX-XXXXXXXX-XXXXXXXX');
    // Without headers, the leaf that comes first begins the next processor.
    if (!named && index === 0 && processors.has(cpu, 0)) cpu++;
    const tag = subleafTag.exec(rest)?.[1];
    untagged = { leaf: index, count: untagged.leaf === index ? untagged.count + 1 : 0 };
    const [eax = 0, ebx = 0, ecx = 0, edx = 0] = values.slice(1).map((word) => Number.parseInt(word, 16));
    processors.leaf(cpu, {
      leaf: index,
      subleaf: tag === undefined ? subleafOf(index, untagged.count) : Number.parseInt(tag, 16),
      eax,
      ebx,
      ecx,
      edx,
    });
  }
  return processors.facts();
}

const dash = '-'.charCodeAt(0);

/** Writers that tag no subleaves leave 0Dh's subleaf 1 out: its second row is the state of AVX. */
function subleafOf(leaf: number, count: number): number {
  return leaf === 0xd && count > 0 ? count + 1 : count;
}

function msrOf(rest: string, file: string, line: number): bigint | undefined {
  if (failed.test(rest)) return undefined;
  const words = msrValue.exec(rest);
  if (words === null) throw corrupt(file, line, 'the value of an MSR', 'XXXX-XXXX-XXXX-XXXX or < FAILED >');
  return BigInt(`0x${words.slice(1).join('')}`);
}

function corrupt(file: string, line: number, what: string, expected: string): CorruptInputError {
  return new CorruptInputError(`${file}, line ${line}: ${what} cannot be read; expected ${expected}`, {
    file,
    line,
    expected,
  });
}
