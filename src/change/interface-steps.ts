/** Steps that switch an offload of a network interface, and that put a macvlan interface on it. */
import { readFeatures, setFeature } from '../netlink/features.ts';
import { addMacvlan, deleteLink, hasLink, readLink } from '../netlink/links.ts';
import { NetlinkSocket, protocol } from '../netlink/socket.ts';
import { StepError } from './errors.ts';
import type { Kind } from './step.ts';

export type InterfaceStep =
  | {
      readonly kind: 'feature';
      readonly address: string;
      readonly interface: string;
      readonly feature: string;
      readonly to: boolean;
    }
  | { readonly kind: 'macvlan'; readonly address: string; readonly interface: string; readonly name: string };

type Of<K extends InterfaceStep['kind']> = Kind<Extract<InterfaceStep, { kind: K }>>;

export const interfaceSteps: { readonly [K in InterfaceStep['kind']]: Of<K> } = {
  feature: {
    files: () => [],
    describe: (step) => ethtool(step.interface, step.feature, step.to),
    describeUndo: (step) => ethtool(step.interface, step.feature, !step.to),
    perform: (step) => switchTo(step.interface, step.feature, step.to),
    revert: (step) => {
      using socket = new NetlinkSocket(protocol.generic);
      if (readFeatures(socket, step.interface).active.has(step.feature) !== step.to) return;
      switchTo(step.interface, step.feature, !step.to);
    },
  },
  macvlan: {
    files: () => [],
    describe: (step) => `ip link add ${step.name} link ${step.interface} up type macvlan mode bridge`,
    describeUndo: ({ name }) => `ip link delete ${name}`,
    perform: (step) => {
      using socket = new NetlinkSocket();
      addMacvlan(socket, step.name, readLink(socket, step.interface).index);
    },
    revert: ({ name }) => {
      using socket = new NetlinkSocket();
      if (hasLink(socket, name)) deleteLink(socket, name);
    },
  },
};

const ethtool = (name: string, feature: string, on: boolean): string =>
  `ethtool -K ${name} ${feature} ${on ? 'on' : 'off'}`;

function switchTo(name: string, feature: string, on: boolean): void {
  using socket = new NetlinkSocket(protocol.generic);
  setFeature(socket, name, feature, on);
  if (readFeatures(socket, name).active.has(feature) === on) return;
  throw new StepError(`${name}: ${feature} is still ${on ? 'off' : 'on'}`, { hint: 'its driver does not switch it' });
}
