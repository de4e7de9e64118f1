// The part of the pool that runs in the lab: a vitest worker that speaks lines of base64 on descriptors 3 and 4.
import { createReadStream, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { deserialize, serialize } from 'node:v8';
import { init, runBaseTests, setupEnvironment } from 'vitest/worker';

const lines = createInterface({ input: createReadStream('', { fd: 3 }) });
const listeners = new Map();

function post(message) {
  const bytes = Buffer.from(`${serialize(message).toString('base64')}\n`);
  for (let at = 0; at < bytes.length; ) at += writeSync(4, bytes, at);
}

init({
  post,
  on: (callback) => {
    const listener = (line) => callback(deserialize(Buffer.from(line, 'base64')));
    listeners.set(callback, listener);
    lines.on('line', listener);
  },
  off: (callback) => lines.off('line', listeners.get(callback)),
  runTests: (state, traces) => runBaseTests('run', state, traces),
  collectTests: (state, traces) => runBaseTests('collect', state, traces),
  setup: setupEnvironment,
});
post('listening');
