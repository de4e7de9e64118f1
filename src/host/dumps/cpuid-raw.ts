/** Raw CPUID as other tools print it: `cpuid -r`, and the XML that libvirt's tests keep of processors. */
import { CorruptInputError } from '../../errors.ts';
import { lines } from './lines.ts';
import { type ProcessorFacts, Processors } from './processors.ts';

/** `   0x00000004 0x01: eax=0x1c004122 ebx=0x01c0003f ecx=0x0000003f edx=0x00000000`, under `CPU 3:`. */
const row =
  /^\s{0,32}0x([0-9a-f]{8}) 0x([0-9a-f]{1,8}): eax=0x([0-9a-f]{8}) ebx=0x([0-9a-f]{8}) ecx=0x([0-9a-f]{8}) edx=0x([0-9a-f]{8})/i;
const beginsRow = /^\s{0,32}0x[0-9a-f]{8} 0x[0-9a-f]{1,8}:/i;
const header = /^CPU (\d{1,6}):?\s*$/;

export function looksLikeCpuidRaw(text: string): boolean {
  return new RegExp(row.source, 'im').test(text);
}

/** @throws CorruptInputError naming the line and what was expected there */
export function parseCpuidRaw(text: string, file: string): ProcessorFacts | undefined {
  const processors = new Processors();
  let cpu = 0;
  for (const [line, number] of lines(text)) {
    const named = header.exec(line)?.[1];
    if (named !== undefined) cpu = Number(named);
    if (!beginsRow.test(line)) continue;
    const match = row.exec(line);
    if (match === null) {
      const expected = 'eax=0x… ebx=0x… ecx=0x… edx=0x…, eight digits each';
      throw new CorruptInputError(
        `${file}, line ${number}: the registers of a CPUID leaf cannot be read; expected ${expected}`,
        {
          file,
          line: number,
          expected,
        },
      );
    }
    const [leaf = 0, subleaf = 0, eax = 0, ebx = 0, ecx = 0, edx = 0] = match
      .slice(1)
      .map((digits) => Number.parseInt(digits, 16));
    processors.leaf(cpu, { leaf, subleaf, eax, ebx, ecx, edx });
  }
  return processors.facts();
}

/** `<cpuid eax_in='0x00000001' ecx_in='0x00' eax='0x…' …/>` and `<msr index='0x10a' edx='0x…' eax='0x…'/>`. */
const element = /<(cpuid|msr)((?:\s{1,80}[a-z_]{1,16}=(?:'[^'<>]{0,32}'|"[^"<>]{0,32}"))*)\s{0,80}\/>/g;
const attribute = /([a-z_]{1,16})=['"]([^'"]*)['"]/g;

export function looksLikeLibvirt(text: string): boolean {
  return /<cpudata\b/.test(text) && /<cpuid\s/.test(text);
}

/** Older files name the leaf `function` and have no subleaf. Libvirt keeps the first processor alone. */
export function parseLibvirt(text: string, file: string): ProcessorFacts | undefined {
  const processors = new Processors();
  for (const { 0: whole, 1: kind, 2: attributes = '', index } of text.matchAll(element)) {
    const given = new Map(
      [...attributes.matchAll(attribute)].map(([, name, value]) => [name as string, value as string]),
    );
    const word = (...names: readonly string[]): number => {
      const value = names.map((name) => given.get(name)).find((each) => each !== undefined);
      if (value !== undefined && /^0x[0-9a-f]{1,8}$/i.test(value)) return Number.parseInt(value, 16);
      const line = text.slice(0, index).split('\n').length;
      const expected = `${names[0]}='0x…'`;
      throw new CorruptInputError(`${file}, line ${line}: ${whole} lacks a number; expected ${expected}`, {
        file,
        line,
        expected,
      });
    };
    if (kind === 'msr') {
      processors.msr(0, word('index'), (BigInt(word('edx')) << 32n) | BigInt(word('eax')));
    } else {
      const subleaf = given.has('ecx_in') ? word('ecx_in') : 0;
      processors.leaf(0, {
        leaf: word('eax_in', 'function'),
        subleaf,
        eax: word('eax'),
        ebx: word('ebx'),
        ecx: word('ecx'),
        edx: word('edx'),
      });
    }
  }
  return processors.facts();
}
