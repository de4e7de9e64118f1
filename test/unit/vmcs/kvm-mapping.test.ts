/** docs/vmcs.md lists what KVM has of a VMCS, as the mapping says. UPDATE_DOCS=1 writes it anew. */
import { readFileSync, writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { kvmControls, kvmFields, whyNoField } from '../../../src/vmcs/kvm-mapping.ts';
import { fieldShape, vmcsFieldNames } from '../../../src/x86/vmcs-fields.ts';

const file = new URL('../../../docs/vmcs.md', import.meta.url);
const section = /<!-- kvm-mapping -->\n[\s\S]*?<!-- \/kvm-mapping -->/;

/** Fields of one area that share their answer, in one row. */
function rows(): string {
  const mapped = kvmFields as Readonly<Record<string, string>>;
  const groups = new Map<string, string[]>();
  for (const name of vmcsFieldNames) {
    const answer = mapped[name] === undefined ? `no: ${whyNoField(name)}` : mapped[name];
    const key = `${fieldShape(name).area} | ${answer}`;
    groups.set(key, [...(groups.get(key) ?? []), `\`${name}\``]);
  }
  return [...groups].map(([key, names]) => `| ${names.join(', ')} | ${key} |`).join('\n');
}

function table(): string {
  const controls = Object.entries(kvmControls).flatMap(([word, bits]) =>
    Object.entries(bits).map(([name, by]) => `| \`${word}.${name}\` | ${by === 'always' ? 'always on' : by} |`),
  );
  return `<!-- kvm-mapping -->
Of ${vmcsFieldNames.length} fields ${Object.keys(kvmFields).length} map:

| field | area | on KVM |
|---|---|---|
${rows()}

| control | on KVM |
|---|---|
${controls.join('\n')}
<!-- /kvm-mapping -->`;
}

it('docs/vmcs.md has the mapping', () => {
  const text = readFileSync(file, 'utf8');
  const wanted = text.replace(section, () => table());
  if (process.env['UPDATE_DOCS'] !== undefined) writeFileSync(file, wanted);
  else expect(text).toBe(wanted);
});
