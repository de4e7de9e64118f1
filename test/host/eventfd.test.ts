/** eventfds: counted, awaited, signalled by guests' writes (ioeventfd), and interrupts of guests (irqfd). */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EventFd, KernelError, type Machine, UsageError } from '../../src/index.ts';
import { firstOf, realMode } from '../support/backends.ts';
import { requireOrSkip } from '../support/require.ts';

describe('an eventfd', () => {
  it('counts what was signalled since it was taken', () => {
    using event = new EventFd();
    expect(event.take()).toBe(0n);
    event.signal();
    event.signal(41n);
    expect([event.take(), event.take()]).toEqual([42n, 0n]);
  });

  it('is awaited: at once where something was signalled, else when it is', async () => {
    using event = new EventFd();
    event.signal(3n);
    expect(await event.next()).toBe(3n);
    setTimeout(() => event.signal(2n), 5);
    expect(await event.next()).toBe(2n);
  });

  it('is iterated over', async () => {
    using event = new EventFd();
    const seen: bigint[] = [];
    event.signal();
    for await (const count of event) {
      seen.push(count);
      if (seen.length === 3) break;
      setImmediate(() => event.signal(10n));
    }
    expect(seen).toEqual([1n, 10n, 10n]);
  });

  it('tells whoever waits that it was closed, and that it was aborted', async () => {
    const event = new EventFd();
    const waiting = event.next();
    await expect(event.next()).rejects.toThrow(UsageError);
    event.close();
    await expect(waiting).rejects.toThrow(/closed/);
    expect(() => event.take()).toThrow(/closed/);
    using other = new EventFd();
    await expect(other.next({ signal: AbortSignal.timeout(5) })).rejects.toThrow(/timeout/);
    other.signal();
    expect(await other.next()).toBe(1n);
  });

  it('is listened to until it is closed', async () => {
    const event = new EventFd();
    const counts: bigint[] = [];
    const listening = event.listen((count) => {
      counts.push(count);
      if (counts.length < 2) event.signal(5n);
      else event.close();
    });
    event.signal(4n);
    await listening;
    expect(counts).toEqual([4n, 5n]);
  });

  it('keeps the process alive while somebody waits, and no longer', () => {
    const module = fileURLToPath(new URL('../../dist/index.js', import.meta.url));
    const run = (code: string) =>
      spawnSync(process.execPath, ['--input-type=module', '-e', `import { EventFd } from '${module}'; ${code}`], {
        encoding: 'utf8',
        timeout: 20_000,
      });
    expect(run('const event = new EventFd(); console.log("ends")')).toMatchObject({ status: 0, stdout: 'ends\n' });
    const woken = 'setTimeout(() => event.signal(7n), 20).unref(); console.log(await event.next());';
    expect(run(`const event = new EventFd(); ${woken}`)).toMatchObject({ status: 0, stdout: '7n\n' });
    const unheeded = 'void new EventFd().unref().listen(() => {}); console.log("ends")';
    expect(run(unheeded)).toMatchObject({ status: 0, stdout: 'ends\n' });
  });
});

describe('a machine of KVM', () => {
  let machine: Machine | undefined;
  beforeEach((context) => requireOrSkip(context, 'kvm'));
  afterEach(() => machine?.close());

  /** Writes 1, 2, 3 to port 500h, then 9 to port 501h. */
  const writer = [0xba, 0x00, 0x05, 0xb0, 1, 0xee, 0xb0, 2, 0xee, 0xb0, 3, 0xee, 0xb0, 9, 0x42, 0xee, 0xf4];

  it('signals an eventfd where a guest writes, without an exit', async () => {
    machine = await realMode('kvm', writer);
    using event = new EventFd();
    machine.connectIoeventfd({ space: 'ports', address: 0x500, bytes: 1 }, event.fd);
    const exit = await firstOf(machine).run();
    expect(exit).toMatchObject({ kind: 'io-out', port: 0x501 });
    expect(event.take()).toBe(3n);
    expect(machine.exitCounts).toEqual({ 'io-out': 1 });
  });

  it('signals it for one value only, where one is given', async () => {
    machine = await realMode('kvm', writer);
    using event = new EventFd();
    machine.connectIoeventfd({ space: 'ports', address: 0x500, bytes: 1, value: 2 }, event.fd);
    const ports: unknown[] = [];
    for (let i = 0; i < 3; i++) ports.push((await firstOf(machine).run()) as { port: number });
    expect(ports).toMatchObject([{ port: 0x500 }, { port: 0x500 }, { port: 0x501 }]);
    expect(event.take()).toBe(1n);
  });

  it('has exits again where the eventfd was disconnected', async () => {
    machine = await realMode('kvm', writer);
    using event = new EventFd();
    const target = { space: 'ports', address: 0x500, bytes: 1 } as const;
    machine.connectIoeventfd(target, event.fd);
    machine.connectIoeventfd(target, event.fd, false);
    expect(await firstOf(machine).run()).toMatchObject({ kind: 'io-out', port: 0x500 });
    expect(() => machine?.connectIoeventfd(target, event.fd, false)).toThrow(KernelError);
  });

  it('interrupts a guest when an eventfd is signalled', async () => {
    // Vectors from 8, all masked but line 5; the handler of vector 0Dh writes 5 to port 502h and ends the interrupt.
    const main = [
      0xfa, // cli
      0xb0,
      0x11,
      0xe6,
      0x20,
      0xb0,
      0x08,
      0xe6,
      0x21,
      0xb0,
      0x04,
      0xe6,
      0x21,
      0xb0,
      0x01,
      0xe6,
      0x21, // ICW 1 to 4
      0xb0,
      0xdf,
      0xe6,
      0x21, // OCW1
      0xba,
      0x03,
      0x05,
      0xee, // out 503h: ready
      0xfb, // sti
      0x90,
      0xeb,
      0xfd, // nop; jmp to it
    ];
    machine = await realMode('kvm', main, { irqchip: 'kernel' });
    machine.memory.write(0x2000, Uint8Array.of(0xba, 0x02, 0x05, 0xb0, 5, 0xee, 0xb0, 0x20, 0xe6, 0x20, 0xcf));
    machine.memory.write(0x0d * 4, Uint8Array.of(0x00, 0x20, 0, 0));
    using event = new EventFd();
    machine.connectIrqfd(5, event.fd);
    const vcpu = firstOf(machine);
    expect(await vcpu.run()).toMatchObject({ kind: 'io-out', port: 0x503 });
    const interrupted = vcpu.run();
    event.signal();
    expect(await interrupted).toMatchObject({ kind: 'io-out', port: 0x502 });
  });
});
