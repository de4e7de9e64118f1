/** Multiboot kernels of Debian packages on the emulated processor, as far as they come without what they would start. */
import { describe, expect, it } from 'vitest';
import { bootImage, runImage } from '../support/boot-images.ts';

describe('on the emulated processor', () => {
  it('Xen finds ACPI, timers, VMX and both processors, and misses a kernel', { timeout: 60_000 }, async (context) => {
    const image = bootImage(context, /^xen-[\d.]+-amd64\.gz$/, 'xen-hypervisor-4.17-amd64');
    const { text, outcome } = await runImage(image, {
      name: 'xen',
      append: 'com1=115200,8n1 console=com1 noreboot loglvl=all',
      initrd: { name: 'dom0', bytes: new Uint8Array(65536) },
      memoryBytes: 128 << 20,
      cpus: 2,
      milliseconds: 55_000,
    });
    expect(text).toContain('ACPI: PM-Timer IO Port: 0x608');
    expect(text).toMatch(/Detected (999\.999|1000\.00\d) MHz processor/);
    expect(text).toContain('HVM: VMX enabled');
    expect(text).toContain('Brought up 2 CPUs');
    expect(text).toContain('Could not construct domain 0');
    expect(outcome).toBe('halted');
  });

  it('tboot reads the memory map, finds neither SMX nor modules, and halts', { timeout: 60_000 }, async (context) => {
    const image = bootImage(context, /^tboot\.gz$/, 'tboot');
    const { text, outcome } = await runImage(image, {
      name: 'tboot',
      append: 'logging=serial',
      memoryBytes: 128 << 20,
      milliseconds: 55_000,
    });
    expect(text).toContain('0000000000100000 - 0000000008000000  (1)');
    expect(text).toContain('CPU does not support SMX');
    expect(text).toContain('TB_SHUTDOWN_HALT');
    expect(outcome).toBe('halted');
  });
});
