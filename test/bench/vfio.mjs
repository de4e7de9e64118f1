// Inside the lab: vtkit and test/bench/vfio-peer.c take turns with one device. Usage: vfio.mjs PEER ADDRESS; prints JSON.
import { execFileSync } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { planAssignment, VfioDevice } from '../../dist/index.js';

const [peer, address] = process.argv.slice(2);
const rounds = 5;
const accesses = 20000;
const mappings = 2000;
const batch = 1000;
const version = 0x08;
const interruptMaskSet = 0x0c;

/** Nanoseconds an operation. */
function timed(count, work) {
  const from = process.hrtime.bigint();
  work();
  return Number(process.hrtime.bigint() - from) / count;
}

function ours() {
  const device = VfioDevice.open(address, { by: 'group' });
  try {
    const bar = device.region('bar0');
    const offsets = new Uint32Array(batch).fill(version);
    const pairs = Uint32Array.from({ length: 2 * batch }, (_, i) => (i % 2 === 0 ? interruptMaskSet : 0));
    const times = (count, work) =>
      timed(count, () => {
        for (let i = 0; i < count; i++) work();
      });
    const inBatches = (work) =>
      timed(accesses, () => {
        for (let i = 0; i < accesses / batch; i++) work();
      });
    return {
      read32: times(accesses, () => bar.read32(version)),
      read32s: inBatches(() => bar.read32s(offsets)),
      write32: times(accesses, () => bar.write32(interruptMaskSet, 0)),
      write32s: inBatches(() => bar.write32s(pairs)),
      mapUnmap: times(mappings, () => device.dma.allocate({ bytes: 4096, iova: 0x10_0000n }).unmap()),
    };
  } finally {
    device.close();
  }
}

const assigned = await planAssignment([address]).apply();
try {
  const group = basename(readlinkSync(`/sys/bus/pci/devices/${address}/iommu_group`));
  const runs = [];
  ours(); // V8 compiles
  for (let round = 0; round < rounds; round++) {
    runs.push({ peer: JSON.parse(execFileSync(peer, [group, address], { encoding: 'utf8' })), ours: ours() });
  }
  console.log(JSON.stringify(runs));
} finally {
  await assigned.release();
}
