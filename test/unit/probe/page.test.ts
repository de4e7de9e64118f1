import { describe, expect, it } from 'vitest';
import { areas, documentOf } from '../../../src/probe/document.ts';
import { page } from '../../../src/probe/page.ts';
import { wrap } from '../../../src/probe/wrap.ts';
import { cpuidBit, cpus, host, intel, modules, msrs, workingKvm } from '../../support/host-facts.ts';

const plain = { width: 80, colour: false, verbose: false };
const facts = host({ msrs: msrs({ 58: 5n, 1154: 'EACCES' }), modules: modules({ kvm_intel: {} }), ...workingKvm() });
const document = documentOf(facts, areas);

describe('the page', () => {
  it('begins with the host and a verdict line for each area', () => {
    const lines = page(document, plain).split('\n');
    expect(lines[0]).toContain('GenuineIntel');
    expect(lines.filter((line) => /^[✓✗?] (VT-x|VT-d|VT-c|KVM) /.test(line))).toHaveLength(4);
    expect(lines.find((line) => line.startsWith('✓ VT-x'))).toContain('usable');
  });

  it.each([40, 60, 80, 120])('keeps to a width of %i', (width) => {
    for (const verbose of [false, true]) {
      for (const line of page(document, { ...plain, width, verbose }).split('\n')) {
        expect(line.length, line).toBeLessThanOrEqual(width);
      }
    }
  });

  it('says a remedy once an area, under what failed', () => {
    const text = page(document, { ...plain, width: 120 });
    expect(text.split('run as root').length - 1).toBe(1);
    expect(text.split('\n').findIndex((line) => line.includes('→'))).toBeGreaterThan(5);
  });

  it('gathers findings with one reason in one entry', () => {
    const none = documentOf(host({ cpuid: cpus(intel(cpuidBit.hypervisor)) }), ['vt-x']);
    const text = page(none, plain);
    expect(text.split('the processor announces no VMX').length - 1).toBe(1);
    expect(text).not.toContain('KVM uses EPT');
    expect(page(none, { ...plain, verbose: true })).toContain('id vt-x.ept.kernel');
  });

  it('lists features by name, and tells of their use only where there is none', () => {
    const able = msrs({ 58: 5n, 1154: (1n << 63n) | (1n << 53n), 1163: 0x0000_00ff_0000_0000n });
    const loaded = modules({ kvm_intel: { ept: 'Y', vpid: 'N', flexpriority: 'Y', unrestricted_guest: 'Y' } });
    const text = page(documentOf(host({ msrs: able, modules: loaded }), ['vt-x']), plain);
    expect(text).toContain('✓ EPT, VPID, unrestricted guest, FlexPriority');
    expect(text).toContain('✗ KVM uses VPID');
    expect(text).toContain('→ load kvm_intel with vpid=1');
    expect(text.match(/KVM uses/g)).toHaveLength(1);
  });

  it('shows evidence when asked for it, with the error of what was not read', () => {
    const text = page(document, { ...plain, verbose: true });
    expect(text).toContain('id vt-x.flex-priority');
    expect(text).toMatch(/MSR 0x482 .* not read,\s+EACCES/);
  });

  it('has colour only when asked', () => {
    expect(page(document, plain)).not.toContain('\x1b[');
  });
});

describe('wrap', () => {
  it('breaks at spaces, and a word that is too long where it must', () => {
    expect(wrap('one two three four', 16)).toEqual(['one two three', 'four']);
    expect(wrap('x'.repeat(40), 16)).toEqual(['x'.repeat(16), 'x'.repeat(16), 'x'.repeat(8)]);
  });
});
