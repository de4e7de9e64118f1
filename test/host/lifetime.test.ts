/** What must hold whatever a script does: no leak, no abort, no hang, in every state in which a process can end. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { firstOf, onEveryBackend, realMode } from '../support/backends.ts';
import { run } from '../support/process.ts';
import { requireOrSkip } from '../support/require.ts';

/** More of them than a test run has time for: MACHINES=2000 PROCESS_ENDS=1000 npx vitest run --project host lifetime */
const machines = Number(process.env.MACHINES ?? 1000);
const rounds = Number(process.env.PROCESS_ENDS ?? 3);
const patience = { timeout: Math.max(60_000, rounds * 5000, machines * 100) };

const library = fileURLToPath(new URL('../../dist/index.js', import.meta.url));
const jump = [0xeb, 0xfe];

const held = () => ({
  files: readdirSync('/proc/self/fd').length,
  threads: readdirSync('/proc/self/task').length,
  mappings: readFileSync('/proc/self/maps', 'utf8').split('\n').length,
});

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as () => void;
/** Memory is unmapped by the finalizers of what shares it, which run on the event loop behind the collector. */
async function collect(): Promise<void> {
  for (let i = 0; i < 5; i++) {
    gc();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

onEveryBackend('machines that come and go', (backend) => {
  it('leave no descriptor, thread or mapping behind', patience, async () => {
    const once = async (): Promise<void> => {
      const machine = await realMode(backend, [0xe6, 0x10, 0xf4]);
      await firstOf(machine).run();
      machine.close();
    };
    for (let i = 0; i < 50; i++) await once();
    await collect();
    const before = held();
    for (let i = 0; i < machines; i++) await once();
    await collect();
    const after = held();
    // Node's own threads and V8's heap come and go too, but not with the number of machines.
    expect(after.files).toBeLessThanOrEqual(before.files + 2);
    expect(after.threads).toBeLessThanOrEqual(before.threads + 2);
    // What the collector has not reached yet may remain, but not a mapping for each machine.
    expect(after.mappings).toBeLessThan(before.mappings + machines / 4);
  });
});

describe.each(['kvm', 'emulated'] as const)('a process that ends (%s)', (backend) => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'vtkit-exit-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  const script = async (body: string): Promise<{ status: number | string; output: string }> => {
    const file = join(folder, 'script.mjs');
    const begin = `
      import { Machine } from ${JSON.stringify(library)};
      import { Worker, isMainThread } from 'node:worker_threads';
      const make = async (code) => {
        const machine = await Machine.create({ backend: '${backend}', memoryBytes: 1 << 20 });
        machine.memory.write(0x1000, Uint8Array.from(code));
        machine.vcpus[0].setSregs({ cs: { base: 0n, selector: 0 } });
        Object.assign(machine.vcpus[0].regs, { rip: 0x1000n, rflags: 2n });
        return machine;
      };
      const jump = ${JSON.stringify(jump)};
    `;
    writeFileSync(file, begin + body);
    const { status, stdout, stderr } = await run(process.execPath, [file], 20_000);
    return { status, output: stdout + stderr };
  };

  it.for([
    ['with an idle machine', `await make(jump); console.log('end');`, 0],
    [
      'by process.exit while a vCPU runs',
      `const m = await make(jump); m.vcpus[0].run(); setTimeout(() => process.exit(7), 5);`,
      7,
    ],
    [
      'by process.exit with an exit unanswered',
      `const m = await make([0xe4, 0x60]); await m.vcpus[0].run(); process.exit(7);`,
      7,
    ],
    [
      'by process.exit inside a handler',
      `const m = await make([0xe4, 0x60]); m.ports.map({ from: 0x60, count: 1 }, { read: () => process.exit(7) }); await m.vcpus[0].run();`,
      7,
    ],
    [
      'by process.exit inside runSync',
      // On a busy machine the budget of one runSync may end before the guest has begun.
      `const m = await make([0xe6, 0x60]); for (;;) m.vcpus[0].runSync(() => process.exit(7));`,
      7,
    ],
    [
      'by an uncaught exception while a vCPU runs',
      `const m = await make(jump); m.vcpus[0].run(); setTimeout(() => { throw new Error('mine'); }, 5);`,
      1,
    ],
    ['with a vCPU running after unref', `const m = await make(jump); m.vcpus[0].run(); m.unref();`, 0],
    [
      'while the guest still posts writes that nobody will hear',
      `const m = await make([0xe6, 0x80, 0xeb, 0xfc]); m.ports.map({ from: 0x80, count: 1 }, { write() {} }, { posted: true }); m.vcpus[0].run().catch(() => {}); m.unref(); setTimeout(() => {}, 3);`,
      0,
    ],
    [
      'after terminating a worker whose vCPU runs',
      `if (isMainThread) { const w = new Worker(new URL(import.meta.url)); w.on('message', async () => { await w.terminate(); process.exit(7); }); }
       else { const { parentPort } = await import('node:worker_threads'); const m = await make(jump); m.vcpus[0].run(); setTimeout(() => parentPort.postMessage(1), 5); }`,
      7,
    ],
    [
      'after terminating a worker that is inside runSync',
      `if (isMainThread) { const w = new Worker(new URL(import.meta.url)); w.on('message', () => setTimeout(async () => { await w.terminate(); process.exit(7); }, 5)); }
       else { const { parentPort } = await import('node:worker_threads'); const m = await make(jump); parentPort.postMessage(1); for (;;) m.vcpus[0].runSync(() => {}, { maxMs: 10_000 }); }`,
      7,
    ],
  ] as const)('ends %s', patience, async ([, body, expected], context) => {
    if (backend === 'kvm') requireOrSkip(context, 'kvm');
    for (let round = 0; round < rounds; round++) {
      const { status, output } = await script(body);
      expect(status, output).toBe(expected);
    }
  });

  it('hears SIGINT within runSync although the event loop waits', async (context) => {
    if (backend === 'kvm') requireOrSkip(context, 'kvm');
    const { status, output } = await script(`
      const m = await make(jump);
      process.on('SIGINT', () => { console.log('heard', Math.round(performance.now() - sent)); process.exit(7); });
      await new Promise((resolve) => setImmediate(resolve));
      let sent = performance.now();
      const { spawn } = await import('node:child_process');
      spawn('sh', ['-c', 'sleep 0.1; kill -INT ' + process.pid]);
      for (;;) { sent = performance.now(); const exit = m.vcpus[0].runSync(() => {}, { maxMs: 5000 }); await new Promise((resolve) => setImmediate(resolve)); }
    `);
    expect(output).toMatch(/heard \d+/);
    expect(status).toBe(7);
  });

  it('warns of a machine that nobody closed', async (context) => {
    if (backend === 'kvm') requireOrSkip(context, 'kvm');
    const { output } = await script(`
      const { setFlagsFromString } = await import('node:v8');
      const { runInNewContext } = await import('node:vm');
      setFlagsFromString('--expose-gc');
      const gc = runInNewContext('gc');
      await (async () => { await make(jump); })();
      for (let i = 0; i < 20; i++) { gc(); await new Promise((resolve) => setTimeout(resolve, 10)); }
    `);
    expect(output).toContain('VTKIT_MACHINE_NOT_CLOSED');
  });
});
