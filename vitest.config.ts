import { defineConfig } from 'vitest/config';
import { hasSmallKernel } from './scripts/lab.d/kernel.mjs';
import { labPool } from './test/lab/pool.ts';

/** Labs are translated, two at a time: what takes seconds alone may take a minute there. */
const patient = { testTimeout: 240_000, hookTimeout: 240_000 };
const common = { testTimeout: 60_000, hookTimeout: 60_000, pool: 'forks' as const };

/** Files whose tests run inside the QEMU lab, in one machine or in two. */
const inside = ['test/lab/**/*.qemu.test.ts'];
/** Those that want a machine of their own: QEMU's NVMe keeps an INTx that another driver left, past a reset. */
const alone = ['test/lab/assigned.qemu.test.ts'];
/** Files that start Bochs, which takes minutes. */
const slow = ['test/lab/**/*.bochs.test.ts'];
/** The same in the lab with an 82576. */
const insideIgb = ['test/lab/**/*.igb.test.ts'];

/** Files that run on the small kernel too, where it is there: with IOMMUFD, and with simulated network cards. */
const small: Readonly<Record<string, string[]>> = hasSmallKernel()
  ? {
      netdevsim: ['test/lab/vf-settings.qemu.test.ts'],
      iommufd: ['vfio', 'given-back', 'vfio-features'].map((name) => `test/lab/${name}.qemu.test.ts`),
    }
  : {};
const machines = { ...small, igb: insideIgb, default: alone };

/** `unit` needs nothing but Node; `host` uses the built addon and this machine's /dev/kvm; the
 * labs' projects boot machines of their own. */
export default defineConfig({
  test: {
    maxWorkers: 2,
    projects: [
      { test: { ...common, name: 'unit', include: ['test/unit/**/*.test.ts', 'test/fuzz/**/*.test.ts'] } },
      { test: { ...common, name: 'host', include: ['test/host/**/*.test.ts'] } },
      {
        test: {
          ...common,
          name: 'conformance',
          globalSetup: ['test/conformance/setup.ts'],
          include: ['test/conformance/**/*.test.ts'],
          testTimeout: 120_000,
        },
      },
      {
        test: {
          ...common,
          name: 'package',
          include: ['test/package/**/*.test.ts'],
          testTimeout: 300_000,
          hookTimeout: 300_000,
        },
      },
      {
        test: {
          ...common,
          ...patient,
          name: 'lab',
          include: ['test/lab/**/*.test.ts'],
          exclude: [...inside, ...insideIgb, ...slow],
        },
      },
      {
        test: {
          ...common,
          ...patient,
          name: 'lab-qemu',
          pool: labPool,
          isolate: false,
          globalSetup: ['test/conformance/setup.ts'],
          include: inside,
          exclude: alone,
        },
      },
      {
        test: {
          ...common,
          name: 'bochs',
          fileParallelism: false,
          globalSetup: ['test/conformance/setup.ts'],
          include: slow,
        },
      },
      ...Object.entries(machines).map(([variant, include]) => ({
        test: {
          ...common,
          ...patient,
          name: `lab-${variant}`,
          pool: labPool,
          isolate: false,
          globalSetup: ['test/conformance/setup.ts'],
          expect: { poll: { timeout: 20_000 } },
          include,
        },
      })),
    ],
  },
});
