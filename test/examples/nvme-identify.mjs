// Takes an NVMe controller from its driver, asks it who it is, and gives it back. Usage: nvme-identify.mjs 0000:02:00.0
import { planAssignment, VfioDevice } from 'vtkit';

const CAP = 0x00,
  CC = 0x14,
  CSTS = 0x1c,
  AQA = 0x24,
  ASQ = 0x28,
  ACQ = 0x30,
  DOORBELLS = 0x1000;
const entries = 16;

const address = process.argv[2] ?? '0000:02:00.0';
const assigned = await planAssignment([address]).apply();
try {
  const nvme = VfioDevice.open(address);
  try {
    console.log((await identify(nvme)).trim());
  } finally {
    nvme.close();
  }
} finally {
  await assigned.release();
}

async function identify(nvme) {
  const registers = nvme.region('bar0');
  const ready = async (wanted) => {
    while ((registers.read32(CSTS) & 1) !== wanted) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  nvme.enableBusMaster();
  registers.write32(CC, 0);
  await ready(0);

  const queues = nvme.dma.allocate({ bytes: 8192 }); // submissions in the first page, completions in the second
  const answer = nvme.dma.allocate({ bytes: 4096 });
  registers.write32(AQA, ((entries - 1) << 16) | (entries - 1));
  registers.write64(ASQ, queues.iova);
  registers.write64(ACQ, queues.at(4096));
  const [completed] = nvme.interrupts('msix', 1);
  registers.write32(CC, (4 << 20) | (6 << 16) | 1); // 16-byte completions, 64-byte submissions, on
  await ready(1);

  const command = queues.data;
  command.setUint32(0, 0x06 | (1 << 16), true); // Identify, command 1
  command.setBigUint64(24, answer.iova, true);
  command.setUint32(40, 1, true); // the controller
  registers.write32(DOORBELLS, 1);
  await completed.next();

  const status = queues.data.getUint32(4096 + 12, true) >>> 17;
  if (status !== 0) throw new Error(`Identify ended with status 0x${status.toString(16)}`);
  const text = (offset, bytes) => String.fromCharCode(...answer.read(offset, bytes)).trim();
  const version = registers.read32(CAP + 8);
  return `${text(24, 40)}, serial ${text(4, 20)}, firmware ${text(64, 8)}, NVMe ${version >>> 16}.${(version >>> 8) & 255}, by ${nvme.by}`;
}
