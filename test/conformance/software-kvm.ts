/** A KVM on a processor that shows neither VT-x nor AMD-V: it interprets ring 0, and not every instruction. */
import { readFileSync } from 'node:fs';

export const kvmIsSoftware: boolean = !/^flags\s*:.*\b(vmx|svm)\b/m.test(readFileSync('/proc/cpuinfo', 'latin1'));

/** The first line in which two texts differ. */
export function firstDifference(actual: string, expected: string): string {
  const lines = actual.split('\n');
  const wanted = expected.split('\n');
  const at = wanted.findIndex((line, index) => line !== lines[index]);
  return `got '${lines[at] ?? ''}' where '${wanted[at] ?? ''}' is right`;
}
