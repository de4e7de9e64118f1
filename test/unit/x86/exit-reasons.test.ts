/** Exit reasons, beside those that the kernel's header names. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type ExitReasonName, exitReasons } from '../../../src/x86/exit-reasons.ts';

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

  it('are given by the emulated processor, and each is made in a test, or say what it lacks', () => {
    const enumeration =
      sourceOf('native/emulator/vmx/exit.h').match(/enum class ExitReason[^{]*\{([^}]*)\}/)?.[1] ?? '';
    const given = new Map(
      [...enumeration.matchAll(/(\w+) = (\d+),/g)].map(([, name, number]) => [name, Number(number)]),
    );
    const made = sourceOf('test/native/emulator/vmx-exits.cc').matchAll(/^ {4}\{ExitReason::(\w+),/gm);
    expect(new Set([...made].map(([, name]) => name))).toEqual(new Set(given.keys()));
    const absent = Object.keys(lacking).map((name) => exitReasons.find((reason) => reason.name === name)?.number);
    const all = exitReasons.map(({ number }) => number).sort((a, b) => a - b);
    expect([...given.values(), ...absent].sort((a, b) => Number(a) - Number(b))).toEqual(all);
  });
});

const sourceOf = (path: string): string => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8');

/** What the emulated processor would need for an exit reason that it never gives. */
const lacking: Partial<Record<ExitReasonName, string>> = {
  ioSmi: 'SMM',
  otherSmi: 'SMM',
  rsm: 'SMM',
  getsec: 'SMX',
  entryFailureMachineCheck: 'machine checks',
  encls: 'SGX',
  enclv: 'SGX',
  sgxConflict: 'SGX',
  xsaves: 'a component that IA32_XSS selects: without one no bit of the XSS-exiting bitmap counts',
  xrstors: 'a component that IA32_XSS selects',
  pconfig: 'PCONFIG',
  sppRelatedEvent: 'sub-page permissions',
  umwait: 'WAITPKG',
  tpause: 'WAITPKG',
  loadiwkey: 'key locker',
  enqcmdPasidFailure: 'ENQCMD',
  enqcmdsPasidFailure: 'ENQCMD',
  busLock: 'bus-lock detection',
  instructionTimeout: 'instruction timeout',
  seamcall: 'TDX',
  tdcall: 'TDX',
  rdmsrlist: 'MSRLIST',
  wrmsrlist: 'MSRLIST',
  urdmsr: 'USER_MSR',
  uwrmsr: 'USER_MSR',
  rdmsrImmediate: 'MSR_IMM',
  wrmsrnsImmediate: 'MSR_IMM',
};
