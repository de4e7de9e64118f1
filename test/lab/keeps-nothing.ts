/** What is done many times in one process keeps neither descriptors, threads and mappings nor memory. */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'vitest';

const held = () => ({
  descriptors: readdirSync('/proc/self/fd').length,
  threads: readdirSync('/proc/self/task').length,
  mappings: readFileSync('/proc/self/maps', 'utf8').match(/kvm|vfio/g)?.length ?? 0,
});

/** Growth that is V8's own affair: 0.1 MiB for each of 500 guests of 1 MiB. */
const mostBytes = 50 << 20;

/** Does it a tenth of the times more at first: what engines keep for the next one, and V8 for its compiler, is there after these. */
export async function keepsNothing(times: number, once: (n: number) => Promise<void>): Promise<void> {
  const several = async (count: number) => {
    for (let n = 0; n < count; n++) await once(n);
    await delay(100);
  };
  await several(Math.ceil(times / 10));
  const before = held();
  const memory = process.memoryUsage.rss();
  await several(times);
  expect(held()).toEqual(before);
  const grown = process.memoryUsage.rss() - memory;
  console.log(`${times} times: ${(grown / (1 << 20)).toFixed(1)} MiB more`);
  expect(grown).toBeLessThan(mostBytes);
}
