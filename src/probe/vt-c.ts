/** What VT-c can do here: SR-IOV (VMDc) and VMDq. */
import { vmdqPools } from '../pci/vmdq-pools.ts';
import type { Check } from './check.ts';
import { from } from './check.ts';

export const vtC: readonly Check[] = [
  {
    id: 'vt-c.sr-iov',
    area: 'vt-c',
    title: 'a device has SR-IOV',
    rule: (facts) =>
      from(
        facts.pci,
        (functions) => {
          const able = functions.filter(({ sriov }) => sriov !== null);
          if (able.length === 0) return ['no', `none of ${functions.length} PCI functions has SR-IOV`];
          return ['yes', able.map(({ address, sriov }) => `${address} (${sriov?.total} VFs)`).join(', ')];
        },
        {
          show: (functions) => functions.map(({ address }) => address).join(' ') || 'no functions',
          absent: 'there is no PCI bus',
        },
      ),
    remedy: { no: 'use a controller with SR-IOV, and enable SR-IOV in the firmware setup and in the controller' },
  },
  {
    id: 'vt-c.sr-iov.vfs',
    area: 'vt-c',
    title: 'virtual functions are enabled',
    rule: (facts) =>
      from(
        facts.pci,
        (functions) => {
          const enabled = functions.filter(({ physicalFunction }) => physicalFunction !== null);
          return enabled.length > 0
            ? ['yes', `${enabled.length} virtual functions`]
            : ['no', 'there are no virtual functions'];
        },
        {
          show: (functions) =>
            functions
              .filter(({ physicalFunction }) => physicalFunction !== null)
              .map(({ address }) => address)
              .join(' ') || 'none',
          absent: 'there is no PCI bus',
        },
      ),
    remedy: { no: 'write a number to sriov_numvfs of a physical function' },
  },
  {
    id: 'vt-c.vmdq',
    area: 'vt-c',
    title: 'VMDq pools (driver limit)',
    rule: (facts) =>
      from(
        facts.pci,
        (functions) => {
          const found = functions.flatMap(({ address, vendorId, deviceId }) => {
            const limit = vmdqPools(vendorId, deviceId);
            return limit === undefined ? [] : [`${address}: ${limit.controller}, ${limit.pools} pools by its driver`];
          });
          return found.length > 0
            ? ['yes', found.join(', ')]
            : ['no', 'no controller here is in the table of VMDq drivers'];
        },
        {
          show: (functions) =>
            functions.map(({ vendorId, deviceId }) => `${vendorId}:${deviceId}`).join(' ') || 'no functions',
          absent: 'there is no PCI bus',
        },
      ),
  },
  {
    id: 'vt-c.usable',
    area: 'vt-c',
    title: 'usable now',
    rule: (facts) =>
      from(
        facts.pci,
        (functions) => {
          const ready = functions.filter(({ sriov, driver }) => sriov !== null && sriov.total > 0 && driver !== null);
          return ready.length > 0
            ? ['yes', `${ready.map(({ address }) => address).join(', ')} can be split`]
            : ['no', 'no function with SR-IOV has a driver'];
        },
        { show: (functions) => `${functions.length} functions`, absent: 'there is no PCI bus' },
      ),
  },
];
