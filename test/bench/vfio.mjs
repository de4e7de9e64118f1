// Inside the lab: vtkit and test/bench/vfio-peer.c take turns with one device. Usage: vfio.mjs PEER ADDRESS; prints JSON.
import { execFileSync } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { planAssignment, VfioDevice } from '../../dist/index.js';

const [peer, address] = process.argv.slice(2);
const rounds = 9;
const batch = 1000;
const version = 0x08;
const interruptMaskSet = 0x0c;

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

/** Nanoseconds an operation, of which `work` does `count`: medians of short samples, as the peer takes them. */
function timed(count, work) {
  for (let i = 0; i < 1000; i++) work(); // V8 compiles
  const samples = Array.from({ length: 200 }, () => {
    const from = performance.now();
    work();
    return ((performance.now() - from) * 1e6) / count;
  });
  return median(samples);
}

function ours() {
  const device = VfioDevice.open(address, { by: 'group' });
  try {
    const bar = device.region('bar0');
    const offsets = new Uint32Array(batch).fill(version);
    const values = new Uint32Array(batch);
    const pairs = Uint32Array.from({ length: 2 * batch }, (_, i) => (i % 2 === 0 ? interruptMaskSet : 0));
    const each = (count, work) =>
      timed(count, () => {
        for (let i = 0; i < count; i++) work();
      });
    return {
      read32: each(10, () => bar.read32(version)),
      read32s: timed(batch, () => bar.read32s(offsets, values)),
      write32: each(10, () => bar.write32(interruptMaskSet, 0)),
      write32s: timed(batch, () => bar.write32s(pairs)),
      mapUnmap: timed(1, () => device.dma.allocate({ bytes: 4096, iova: 0x10_0000n }).unmap()),
    };
  } finally {
    device.close();
  }
}

const assigned = await planAssignment([address]).apply();
try {
  const group = basename(readlinkSync(`/sys/bus/pci/devices/${address}/iommu_group`));
  const runs = [];
  for (let round = 0; round < rounds; round++) {
    runs.push({ peer: JSON.parse(execFileSync(peer, [group, address], { encoding: 'utf8' })), ours: ours() });
  }
  console.log(JSON.stringify(runs));
} finally {
  await assigned.release();
}
