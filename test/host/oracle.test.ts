/** Random sequences in ring 3 of 64-bit mode: the emulated processor leaves what this host's processor leaves. */
import { expect, it } from 'vitest';
import { disassemble } from '../../src/machine/disassemble.ts';
import { differences } from '../oracle/differences.ts';
import { sequence } from '../oracle/sequences.ts';
import { World } from '../oracle/world.ts';
import { requireOrSkip } from '../support/require.ts';

/** ORACLE_SEQUENCES and ORACLE_SEED choose others. */
const count = Number(process.env.ORACLE_SEQUENCES ?? 20_000);
const first = BigInt(process.env.ORACLE_SEED ?? 1);

async function listing(code: Uint8Array): Promise<string[]> {
  const lines: string[] = [];
  const { Decoder, DecoderOptions } = await import('iced-x86');
  for (let at = 0; at < code.length; ) {
    const decoder = new Decoder(64, code.subarray(at), DecoderOptions.None);
    const { length } = decoder.decode();
    lines.push((await disassemble(code.subarray(at), 0x50000n + BigInt(at), 64)) ?? '?');
    at += Math.max(length, 1);
  }
  return lines;
}

it(
  `does what the host does with ${count} sequences`,
  async (context) => {
    requireOrSkip(context, 'kvm');
    const [host, emulated] = [await World.create('kvm'), await World.create('emulated')];
    const found: unknown[] = [];
    try {
      for (let seed = first; seed < first + BigInt(count) && found.length < 10; seed++) {
        const given = sequence(seed);
        const differs = differences(await host.run(given), await emulated.run(given));
        if (differs.length > 0)
          found.push({
            seed,
            code: Buffer.from(given.code).toString('hex'),
            listing: await listing(given.code),
            differs,
          });
      }
    } finally {
      host.close();
      emulated.close();
    }
    expect(found).toEqual([]);
  },
  60_000 + count * 10,
);
