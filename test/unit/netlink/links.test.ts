/** The codec of rtnetlink's virtual functions against bytes that iproute2 6.1 sent for the same words. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CorruptInputError, KernelError } from '../../../src/errors.ts';
import type { NativeNetlinkSocket } from '../../../src/native/contract.ts';
import { attributesOf, nest } from '../../../src/netlink/attributes.ts';
import { decodeLink, readLink, setVf } from '../../../src/netlink/links.ts';
import { decode, encode } from '../../../src/netlink/message.ts';
import { NetlinkSocket } from '../../../src/netlink/socket.ts';
import { decodeVfs, encodeSetting } from '../../../src/netlink/vf-settings.ts';
import { parseSetting } from '../../../src/sriov/settings.ts';

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replaceAll(/\s/g, ''), 'hex'));
const hex = (data: Uint8Array): string => Buffer.from(data).toString('hex');

/** `ip link set lo vf 3 …`: the IFLA_VFINFO_LIST of its RTM_SETLINK. */
const sent = [
  {
    typed: 'mac 52:54:00:12:34:56',
    key: 'mac',
    text: '52:54:00:12:34:56',
    list: `30001600 2c000100 28000100 03000000 52540012 3456${'00'.repeat(26)}`,
  },
  {
    typed: 'vlan 100 qos 3 proto 802.1ad',
    key: 'vlan',
    text: '100:3:802.1ad',
    list: '20001600 1c000100 18000c00 14000100 03000000 64000000 03000000 88a80000',
  },
  {
    typed: 'max_tx_rate 1000 min_tx_rate 100',
    key: 'rate',
    text: '100-1000',
    list: '18001600 14000100 10000600 03000000 64000000 e8030000',
  },
  { typed: 'spoofchk on', key: 'spoofCheck', text: 'on', list: '14001600 10000100 0c000400 03000000 01000000' },
  { typed: 'trust off', key: 'trust', text: 'off', list: '14001600 10000100 0c000900 03000000 00000000' },
  { typed: 'state disable', key: 'linkState', text: 'disable', list: '14001600 10000100 0c000500 03000000 02000000' },
  { typed: 'query_rss on', key: 'queryRss', text: 'on', list: '14001600 10000100 0c000700 03000000 01000000' },
] as const;

const vfInfoList = 22;
/** A socket whose kernel answers with these datagrams; what it was sent is kept. */
function socketOf(...answers: readonly Uint8Array[]): { socket: NetlinkSocket; asked: Uint8Array[] } {
  const asked: Uint8Array[] = [];
  const left = [...answers];
  const native: NativeNetlinkSocket = {
    send: (message) => asked.push(message),
    receive: () => left.shift() ?? new Uint8Array(),
    close: () => {},
  };
  return { socket: new NetlinkSocket(0, native), asked };
}

/** NLMSG_ERROR with this errno, and with NLMSGERR_ATTR_MSG where there are words (no header is echoed but its own 16 bytes). */
function answer(errno: number, words?: string): Uint8Array {
  const payload = new Uint8Array(20);
  new DataView(payload.buffer).setInt32(0, -errno, true);
  if (words === undefined) return encode({ type: 2, flags: 0x100, sequence: 1, payload });
  const said = nest(1, Buffer.from(`${words}\0`));
  return encode({ type: 2, flags: 0x300, sequence: 1, payload: Uint8Array.from([...payload, ...said]) });
}

describe('a setting of a virtual function', () => {
  it.each(sent)('$typed is what iproute2 sends', ({ key, text, list }) => {
    expect(hex(nest(vfInfoList, encodeSetting(3, parseSetting(key, text))))).toBe(hex(bytes(list)));
  });

  it('is sent to the interface by name, with an acknowledgement asked for', () => {
    const { socket, asked } = socketOf(answer(0));
    setVf(socket, 'lo', 3, parseSetting('spoofCheck', 'on'));
    const [message] = decode(asked[0] ?? new Uint8Array());
    expect([message?.type, message?.flags]).toEqual([19, 0x5]);
    expect(attributesOf(message?.payload.subarray(16) ?? new Uint8Array())).toMatchObject([
      { type: 3, data: Uint8Array.from(Buffer.from('lo\0')) },
      { type: vfInfoList },
    ]);
  });
});

describe('virtual functions of a link', () => {
  /** What the kernel puts into one IFLA_VF_INFO (net/core/rtnetlink.c, rtnl_fill_vfinfo): the structures are those that are sent. */
  const all = sent.map(({ list }) => hex(bytes(list)).slice(16)).join('');
  const info = nest(1, bytes(all));

  it('are read as they were typed', () => {
    expect(decodeVfs(info)).toEqual([
      {
        index: 3,
        mac: '52:54:00:12:34:56',
        vlan: { id: 100, qos: 3, protocol: '802.1ad' },
        rate: { min: 100, max: 1000 },
        spoofCheck: true,
        trust: false,
        queryRss: true,
        linkState: 'disable',
      },
    ]);
  });

  it('tell nothing where the driver says nothing', () => {
    const mac = hex(bytes(sent[0].list)).slice(16);
    const quiet = nest(1, bytes(`${mac} 0c000400 03000000 ffffffff 0c000900 03000000 ffffffff`));
    expect(decodeVfs(quiet)).toMatchObject([{ spoofCheck: null, trust: null, queryRss: null, linkState: null }]);
  });

  it('are found in the answer that names the interface', () => {
    const payload = Uint8Array.from([
      ...bytes('00000100 02000000 00000000 00000000'),
      ...bytes('07000300 6c6f0000'),
      ...nest(vfInfoList, info),
    ]);
    const { socket } = socketOf(encode({ type: 16, flags: 0, sequence: 1, payload }), answer(0));
    expect(readLink(socket, 'lo')).toMatchObject({ index: 2, name: 'lo', virtualFunctions: [{ index: 3 }] });
  });

  it('of hostile bytes are an error with its offset, or nothing', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
        for (const read of [decodeLink, decodeVfs, decode, attributesOf]) {
          try {
            read(noise);
          } catch (error) {
            expect(error).toBeInstanceOf(CorruptInputError);
          }
        }
      }),
    );
  });
});

describe('an error of the kernel', () => {
  it('has its name, the operation, and the words of the driver', () => {
    const { socket } = socketOf(answer(95, 'VF trust is not supported'));
    const set = (): void => setVf(socket, 'eth0', 0, parseSetting('trust', 'on'));
    expect(set).toThrow(KernelError);
    const again = socketOf(answer(22));
    expect(() => setVf(again.socket, 'eth0', 9, parseSetting('trust', 'on'))).toThrow(
      expect.objectContaining({ code: 'EINVAL', errno: -22, operation: 'RTM_SETLINK eth0 vf 9 trust' }),
    );
    const worded = socketOf(answer(95, 'VF trust is not supported'));
    expect(() => setVf(worded.socket, 'eth0', 0, parseSetting('trust', 'on'))).toThrow(
      'RTM_SETLINK eth0 vf 0 trust: ENOTSUP: VF trust is not supported',
    );
  });

  it('of another conversation is not this one’s', () => {
    const stray = encode({ ...(decode(answer(1))[0] as ReturnType<typeof decode>[number]), sequence: 77 });
    const { socket } = socketOf(stray, answer(0));
    expect(() => setVf(socket, 'eth0', 0, parseSetting('trust', 'on'))).not.toThrow();
  });

  it('is not needed for a name that no interface can have', () => {
    const { socket, asked } = socketOf();
    expect(() => readLink(socket, 'a-name-of-sixteen')).toThrow(TypeError);
    expect(asked).toEqual([]);
  });
});
