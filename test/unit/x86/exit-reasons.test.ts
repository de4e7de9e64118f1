/** Exit reasons, beside those that the kernel's header names. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { exitReasons } from '../../../src/x86/exit-reasons.ts';

const header = '/usr/include/x86_64-linux-gnu/asm/vmx.h';

describe('exit reasons', () => {
  it('have one number and one name each', () => {
    expect(new Set(exitReasons.map(({ number }) => number)).size).toBe(exitReasons.length);
    expect(new Set(exitReasons.map(({ name }) => name)).size).toBe(exitReasons.length);
  });

  it('have the numbers of the kernel’s header, and none of its is missing', (context) => {
    if (!existsSync(header)) return context.skip(`${header} is not there (linux-libc-dev)`);
    const defined = [...readFileSync(header, 'utf8').matchAll(/^#define EXIT_REASON_(\w+)\s+(\d+)$/gm)];
    const ours = new Map(exitReasons.map(({ number, name }) => [number, name.toLowerCase()]));
    expect(defined.length).toBeGreaterThan(50);
    for (const [, name = '', number] of defined) {
      const called = ours.get(Number(number));
      expect(called, `exit reason ${number}, ${name}`).toBeDefined();
      // Where both take the instruction's mnemonic, it is the same one.
      if (
        /^(CPUID|HLT|INVD|INVLPG|RDPMC|RDTSC|VM[A-Z]+|INVEPT|RDTSCP|INVVPID|WBINVD|XSETBV|RDRAND|UMWAIT)$/.test(name)
      ) {
        const own: Readonly<Record<string, string>> = { VMOFF: 'vmxoff', VMON: 'vmxon' };
        expect(called).toBe(own[name] ?? name.toLowerCase());
      }
    }
  });
});
