/** The echo service (RFC 862) of a virtual function: each datagram goes back to who sent it. */
import type { VirtualFunction } from './virtual-function.ts';

/** Where a datagram in an Ethernet frame has its two MAC addresses, its two IPv4 addresses and its two ports. */
const pairs = [
  { at: 0, bytes: 6 },
  { at: 26, bytes: 4 },
  { at: 34, bytes: 2 },
] as const;

/** Exchanging two words leaves a checksum over both as it is. */
export function returned(frame: Uint8Array): Uint8Array {
  const back = Uint8Array.from(frame);
  for (const { at, bytes } of pairs) {
    back.set(frame.subarray(at, at + bytes), at + bytes);
    back.set(frame.subarray(at + bytes, at + 2 * bytes), at);
  }
  return back;
}

/** Answers what came since the last time; how many that were. */
export async function echo(vf: VirtualFunction): Promise<number> {
  const frames = vf.received.take();
  for (const frame of frames) await vf.send(returned(frame));
  return frames.length;
}
