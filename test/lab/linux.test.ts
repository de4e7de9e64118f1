/**
 * Debian's Linux on the emulated processor, and its kvm_intel there: guests of a guest, on the processor's own VMX. The
 * conformance guests do in non-root operation what they do outside.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cpio } from '../../scripts/lab.d/cpio.mjs';
import { debianKernel } from '../../scripts/lab.d/kernel.mjs';
import '../../src/backends.ts';
import { Pc } from '../../src/machine/pc.ts';
import { imageOf } from '../conformance/manifest.ts';
import { compile, expectedLines, runnable, sectionsOf } from './programs.ts';

/** The emulated processor of this Linux is one. */
const guests = runnable.filter(({ cpus }) => cpus === 1);

/** With and without what 2005's processors lacked, and 2008's had. */
const parameters = ['ept=1', 'ept=0', 'ept=1 flexpriority=0', 'ept=0 flexpriority=0'];

const init = `#!/bin/busybox sh
export PATH=/bin
busybox mount -t proc none /proc
busybox mount -t sysfs none /sys
busybox mount -t devtmpfs none /dev
echo "user space of $(busybox uname -r)"
echo "clocks: $(busybox cat /sys/class/rtc/rtc0/name /sys/devices/system/clocksource/clocksource0/available_clocksource)"
echo +2 > /sys/class/rtc/rtc0/wakealarm
echo mem > /sys/power/state
echo "woken: $?, $(busybox dmesg | busybox grep -c 'Waking up from system sleep state S3')"
for module in irqbypass kvm; do busybox insmod /modules/$module.ko; done
try() {
  busybox insmod /modules/kvm_intel.ko $*
  cd /sys/module/kvm_intel/parameters
  echo "kvm_intel $*: $(busybox cat ept flexpriority vpid unrestricted_guest | busybox tr -d '\\n')"
  cd /
  kvm-hello
  busybox rmmod kvm_intel
}
${parameters.map((each) => `try ${each}`).join('\n')}
busybox insmod /modules/kvm_intel.ko
for image in /guests/*; do
  echo "=== $(busybox basename $image)"
  busybox timeout 5 kvm-run $image
done
echo "==="
busybox poweroff -f
`;

/** STALE_TRANSLATIONS=1: in that test mode, which takes longer. LINUX_SECONDS: what a slow host needs. */
const stale = process.env.STALE_TRANSLATIONS === '1';
const limitMs = Number(process.env.LINUX_SECONDS ?? 220) * 1000;

const scratch = mkdtempSync(join(tmpdir(), 'vtkit-linux-'));
afterAll(() => rmSync(scratch, { recursive: true }));

/** What Linux sent to COM1 from its first process on, and how the machine ended. */
async function bootLinux(): Promise<{ lines: readonly string[]; outcome: string; release: string }> {
  const { release, kernel, initrd } = debianKernel();
  execFileSync(fileURLToPath(new URL('../../scripts/build-guests', import.meta.url)));
  const program = (name: string) => ({
    path: `bin/${name}`,
    mode: 0o100755,
    content: readFileSync(compile(name, scratch)),
  });
  const own = cpio([
    { path: 'init', mode: 0o100755, content: Buffer.from(init) },
    program('kvm-hello'),
    program('kvm-run'),
    { path: 'guests', mode: 0o40755 },
    ...guests.map((guest) => ({
      path: `guests/${guest.name}`,
      mode: 0o100644,
      content: readFileSync(imageOf(guest)),
    })),
  ]);
  // Linux unpacks one archive behind the other: the lab's modules, and then what is done with them here.
  const bytes = Buffer.concat([readFileSync(initrd), own]);
  let text = '';
  const pc = await Pc.create({
    backend: 'emulated',
    memoryBytes: 512 << 20,
    ...(stale ? { translations: 'stale' as const } : {}),
    onSerial: (byte) => {
      text += String.fromCharCode(byte);
    },
  });
  const started = performance.now();
  const late = setTimeout(() => pc.machine.stop(), limitMs);
  try {
    pc.load(readFileSync(kernel), {
      name: 'vmlinuz',
      append: 'console=ttyS0 panic=-1 loglevel=1',
      initrd: { name: 'initrd', bytes },
    });
    const { kind } = await pc.run();
    const instructions = pc.machine.vcpus[0]?.instructions;
    if (stale) console.log(`${instructions} instructions, ${Math.round(performance.now() - started)} ms`);
    if (process.env.KEEP_LINUX_LOG !== undefined) writeFileSync(process.env.KEEP_LINUX_LOG, text);
    const lines = text.split(/\r?\n/).filter((line) => line !== '');
    return { lines, outcome: kind, release };
  } finally {
    clearTimeout(late);
    pc.machine.close();
  }
}

describe("Debian's Linux on the emulated processor", () => {
  let booted: Awaited<ReturnType<typeof bootLinux>>;
  beforeAll(async () => {
    booted = await bootLinux();
  }, limitMs + 20_000);

  it('comes to its first process, and turns the machine off', () => {
    expect(booted.lines[0]).toBe(`user space of ${booted.release}`);
    expect(booted.outcome).toBe('powered-off');
  });

  it('finds the clocks, sleeps with its memory kept, and is woken by the alarm', () => {
    const at = booted.lines.findIndex((line) => line.startsWith('clocks:'));
    expect(booted.lines.slice(at, at + 3)).toEqual(['clocks: rtc_cmos rtc_cmos', 'tsc hpet acpi_pm ', 'woken: 0, 1']);
  });

  it.each(parameters)('has a KVM that runs a guest, with %s', (given) => {
    const at = booted.lines.findIndex((line) => line.startsWith(`kvm_intel ${given}:`));
    const ept = given.includes('ept=1');
    const flags = [ept, !given.includes('flexpriority=0'), true, ept].map((on) => (on ? 'Y' : 'N')).join('');
    expect(booted.lines.slice(at, at + 2), booted.lines.join('\n')).toEqual([`kvm_intel ${given}: ${flags}`, 'hello']);
  });

  it.for(guests)('runs $name in non-root operation as outside', (guest) => {
    expect(sectionsOf(booted.lines.join('\n')).get(guest.name)).toEqual(expectedLines(guest));
  });
});
