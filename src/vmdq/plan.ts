/** Pools of queues (VMDq) as Linux offers them: macvlan interfaces whose frames the port sorts itself, beside its virtual functions. */

import { virtualFunctions } from '../change/attribute-steps.ts';
import { RefusedError } from '../change/errors.ts';
import { type ApplyOptions, Change } from '../change/plan.ts';
import type { Step } from '../change/steps.ts';
import { Sysfs } from '../change/sysfs.ts';
import { UsageError } from '../errors.ts';
import { type Features, readFeatures } from '../netlink/features.ts';
import { NetlinkSocket, protocol } from '../netlink/socket.ts';
import { type VmdqLimit, vmdqLimit } from '../pci/vmdq-pools.ts';

export interface PoolOptions {
  readonly pools: number;
  /** Another root than `/`, for tests. */
  readonly root?: string;
  /** What the interface can switch; asked of the kernel, unless tests say it. */
  readonly features?: (name: string) => Features;
}

export class VmdqPlan extends Change {
  readonly limit: VmdqLimit;

  constructor(address: string, steps: readonly Step[], sysfs: Sysfs, limit: VmdqLimit) {
    super([address], steps, sysfs);
    this.limit = limit;
  }

  /** The interfaces stay when this process ends. */
  async apply(options: ApplyOptions = {}): Promise<void> {
    if (this.steps.length > 0) (await this.run(options)).end();
  }
}

const offload = 'l2-fwd-offload';

/**
 * Plans interfaces with pools of their own; those that are there already need no step.
 * @throws RefusedError where the controller has no pools, its driver does not offer them, or too few are left
 */
export function planPools(address: string, { pools, root, features = askFeatures }: PoolOptions): VmdqPlan {
  const sysfs = new Sysfs(root);
  const [vendor, device] = ['vendor', 'device'].map((file) => sysfs.read(sysfs.device(address, file)) ?? '');
  if (!sysfs.exists(address)) throw new UsageError(`${address} is not there`, { hint: 'vtkit devices shows what is' });
  const enabled = virtualFunctions(address, sysfs).length;
  const limit = vmdqLimit(vendor ?? '', device ?? '', enabled);
  if (limit === undefined)
    throw new RefusedError([`${address} (${vendor}:${device}) is no controller of which VMDq pools are known`]);
  if (limit.offer === null) {
    throw new RefusedError(
      [
        `${address}: the Linux driver of the ${limit.controller} uses its ${limit.pools} pools for virtual functions alone`,
      ],
      `vtkit sriov create ${address}; or take the port with vtkit vfio bind and program its pools`,
    );
  }
  const most = limit.left ?? limit.pools;
  if (pools > most)
    throw new RefusedError([budget(address, limit, enabled, pools)], 'ask for fewer, or have fewer virtual functions');
  const [name] = sysfs.list(sysfs.device(address, 'net'));
  if (name === undefined) {
    throw new RefusedError([`${address} has no network interface`], `its driver is ${sysfs.driver(address) ?? 'none'}`);
  }
  const { active, changeable } = features(name);
  if (!active.has(offload) && !changeable.has(offload)) {
    throw new RefusedError(
      [`${name}: its driver (${sysfs.driver(address)}) keeps ${offload} off`],
      'use a kernel whose driver offers it',
    );
  }
  const names = Array.from({ length: pools }, (_, index) => `${name}p${index}`);
  const steps: Step[] = active.has(offload)
    ? []
    : [{ kind: 'feature', address, interface: name, feature: offload, to: true }];
  for (const each of names) {
    if (sysfs.list(sysfs.at('sys/class/net', each)).length === 0) {
      steps.push({ kind: 'macvlan', address, interface: name, name: each });
    }
  }
  return new VmdqPlan(address, steps, sysfs, limit);
}

function budget(address: string, { controller, pools, left }: VmdqLimit, enabled: number, wanted: number): string {
  if (left === null) return `${address}: the ${controller} has ${pools} pools at most, not ${wanted}`;
  return `${address}: of the ${pools} pools of the ${controller} 1 is the port's and ${enabled} its virtual functions': ${left} are left, not ${wanted}`;
}

function askFeatures(name: string): Features {
  using socket = new NetlinkSocket(protocol.generic);
  return readFeatures(socket, name);
}
