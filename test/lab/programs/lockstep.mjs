// lockstep.mjs DIST SECONDS IMAGE...: guests in step on the emulated processor and on KVM, each for at most so many seconds; below
// a line `=== NAME` what each came to, as JSON.
import { readFileSync } from 'node:fs';
import { basename, extname, join } from 'node:path';

const [, , dist, seconds, ...images] = process.argv;
// Not all of the package: in Bochs that takes its time to load.
await import(join(dist, 'backends.js'));
const { lockstepImage } = await import(join(dist, 'lockstep/index.js'));

async function lockstepOf(file) {
  const signal = AbortSignal.timeout(Number(seconds) * 1000);
  let serial = '';
  const options = {
    image: readFileSync(file),
    name: basename(file),
    memoryBytes: 34 << 20,
    signal,
    onSerial: (byte) => {
      serial += String.fromCharCode(byte);
    },
  };
  let progress;
  try {
    const { end, exits, steps, excused } = await lockstepImage({
      ...options,
      onProgress: (counts) => (progress = counts),
    });
    return { end, exits, steps, excused: Object.fromEntries(excused), serial };
  } catch (error) {
    const end = error === signal.reason ? { kind: 'late' } : { kind: 'failed', why: error.stack };
    return { end, ...progress, serial };
  }
}

for (const file of images) {
  console.log(`=== ${basename(file, extname(file))}`);
  const started = performance.now();
  const result = { ...(await lockstepOf(file)), seconds: Math.round(performance.now() - started) / 1000 };
  console.log(JSON.stringify(result, (_, value) => (typeof value === 'bigint' ? `0x${value.toString(16)}` : value)));
}
