/** Steps that set a virtual function of a network interface, over netlink. */
import { readLink, setVf } from '../netlink/links.ts';
import { NetlinkSocket } from '../netlink/socket.ts';
import type { Rate, Setting, SettingName, VfSettings, Vlan } from '../netlink/vf-settings.ts';
import { StepError } from './errors.ts';
import type { Kind } from './step.ts';
import { until } from './until.ts';

export interface LinkStep {
  readonly kind: 'vf-setting';
  /** The physical function; an interface without one has its own name here. */
  readonly address: string;
  readonly interface: string;
  readonly vf: number;
  /** Null of a virtual function that is made in the same change: it goes with it. */
  readonly from: Setting | null;
  readonly to: Setting;
}

export const linkSteps: { readonly 'vf-setting': Kind<LinkStep> } = {
  'vf-setting': {
    files: () => [],
    describe: ({ interface: name, vf, to }) => asCommand(name, vf, to),
    describeUndo: ({ interface: name, vf, from }) => (from === null ? `goes with vf ${vf}` : asCommand(name, vf, from)),
    perform: async (step) => {
      using socket = new NetlinkSocket();
      if (step.to.name === 'rate') await carrierOf(socket, step.interface);
      set(socket, step, step.to);
      const { name, value } = step.to;
      const found = readLink(socket, step.interface).virtualFunctions.find(({ index }) => index === step.vf)?.[name];
      if (isSame(found, value)) return;
      throw new StepError(
        `${step.interface}: vf ${step.vf} has ${name} ${shown(found)} and should have ${shown(value)}`,
        {
          hint: 'its driver took the order and did otherwise: the kernel log may say why',
        },
      );
    },
    revert: (step) => {
      const { from } = step;
      if (from === null) return;
      using socket = new NetlinkSocket();
      const found = readLink(socket, step.interface).virtualFunctions.find(({ index }) => index === step.vf);
      if (found === undefined || isSame(found[from.name], from.value)) return;
      set(socket, step, from);
    },
  },
};

/** Drivers take a rate as a part of the link's own, and a port that was just given virtual functions negotiates that anew. */
function carrierOf(socket: NetlinkSocket, name: string): Promise<void> {
  return until(() => {
    const { up, carrier } = readLink(socket, name);
    return !up || carrier;
  });
}

/** What drivers and rtnetlink (net/core/rtnetlink.c, do_setvfinfo) mean. */
const meanings: Readonly<Record<string, string>> = {
  ENOTSUP: 'its driver cannot set this',
  EINVAL: 'no such virtual function, or its driver does not take this value (a rate only while the link is up)',
  EPROTONOSUPPORT: 'its driver does not have this VLAN protocol',
  EPERM: 'run as root (CAP_NET_ADMIN)',
  ENODEV: 'the interface is not there',
  EBUSY: 'the virtual function is not ready: its driver or guest must be there, or gone, first',
};

function set(socket: NetlinkSocket, step: LinkStep, setting: Setting): void {
  try {
    setVf(socket, step.interface, step.vf, setting);
  } catch (cause) {
    const { code = '', message } = cause as NodeJS.ErrnoException;
    const hint = meanings[code];
    throw new StepError(message, hint === undefined ? { cause } : { cause, hint });
  }
}

export function isSame(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  const keys = Object.keys(a) as (keyof typeof a)[];
  return keys.every((key) => a[key] === b[key]);
}

const onOff = (value: boolean): string => (value ? 'on' : 'off');

const words: { readonly [Name in SettingName]: (value: NonNullable<VfSettings[Name]>) => string } = {
  mac: (value) => `mac ${value}`,
  vlan: ({ id, qos, protocol }: Vlan) => `vlan ${id} qos ${qos} proto ${protocol}`,
  rate: ({ min, max }: Rate) => `min_tx_rate ${min} max_tx_rate ${max}`,
  spoofCheck: (value) => `spoofchk ${onOff(value)}`,
  trust: (value) => `trust ${onOff(value)}`,
  queryRss: (value) => `query_rss ${onOff(value)}`,
  linkState: (value) => `state ${value}`,
};

/** As iproute2 would have it typed. */
export function settingText({ name, value }: Setting): string {
  return (words[name] as (value: unknown) => string)(value);
}

const asCommand = (name: string, vf: number, setting: Setting): string =>
  `ip link set ${name} vf ${vf} ${settingText(setting)}`;

const shown = (value: unknown): string => (value === undefined ? 'none' : JSON.stringify(value));
