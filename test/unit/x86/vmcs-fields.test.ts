/** The fields of the VMCS, which TypeScript and C++ both name. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { readKernelLog } from '../../../src/vmcs/kernel-log.ts';
import { vmcsFields } from '../../../src/x86/vmcs-fields.ts';

it('are the same in the emulated processor', () => {
  const header = readFileSync(new URL('../../../native/emulator/vmx/fields.h', import.meta.url), 'utf8');
  const native = [...header.matchAll(/^ {2}(\w+) = (0x[0-9a-f]{4}),$/gm)].map(([, name, value]) => [
    name,
    Number(value),
  ]);
  expect(native).toEqual(Object.entries(vmcsFields));
});

it('have an encoding each, and none for an upper half', () => {
  const encodings = Object.values(vmcsFields);
  expect(new Set(encodings).size).toBe(encodings.length);
  expect(encodings.filter((encoding) => (encoding & 1) !== 0)).toEqual([]);
});

it('are what the dumps of kvm_intel are read into', () => {
  const log = '*** Guest State ***\nRFLAGS=0x00000002 DR7 = 0x400\n';
  for (const name of readKernelLog(log, 'log')[0]?.fields.keys() ?? []) expect(Object.keys(vmcsFields)).toContain(name);
});
